"""A point in time as people write it on a command line: `12h` or `7d` ago, or a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

__all__ = ["PERIOD"]

_AGO = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class _Period(click.ParamType[datetime]):
    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value)
        try:
            if ago is not None:
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            moment = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither 12h, 7d or 4w nor a date such as 2026-01-31 or 2026-01-31T12:00", param, ctx
            )
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


PERIOD = _Period()
"""The type of such an option; a date without a zone is UTC."""
