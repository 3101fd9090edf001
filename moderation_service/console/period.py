"""The stretches of time that pages show."""

from __future__ import annotations

import enum
from collections.abc import Mapping

__all__ = ["DAY_MS", "Period", "read_period"]

DAY_MS = 86_400_000


class Period(enum.Enum):
    """So many days, up to now."""

    DAY = 1
    WEEK = 7
    MONTH = 30
    QUARTER = 90

    @property
    def ms(self) -> int:
        """Its length."""
        return self.value * DAY_MS

    @property
    def label(self) -> str:
        """Its name, in English."""
        return "Last 24 hours" if self is Period.DAY else f"Last {self.value} days"


def read_period(query: Mapping[str, str], *, default: Period = Period.DAY) -> Period:
    """What `days` in an address asks for; the default where it asks for nothing that there is."""
    return next((one for one in Period if str(one.value) == query.get("days")), default)
