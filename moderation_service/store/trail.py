"""The audit trail: every change that a person makes, in the transaction that makes it."""

from __future__ import annotations

import json
from time import time

from sqlalchemy import Connection

from .schema import trail

__all__ = ["now_ms", "record"]


def now_ms() -> int:
    """The time as the tables have it: milliseconds since 1970."""
    return int(time() * 1000)


def record(
    connection: Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    before: object = None,
    after: object = None,
    at: int | None = None,
) -> None:
    """Write down who did what to what, such as `people:anna`, `list_entry.add`, `lists/drugs#12`.

    `before` and `after` are what JSON can hold, without secrets; None where there was or is nothing. The end of an
    over-long subject is cut.
    """
    connection.execute(
        trail.insert().values(
            at=now_ms() if at is None else at,
            actor=actor[:200],
            action=action[:40],
            subject=subject[:200],
            before=None if before is None else json.dumps(before, ensure_ascii=False),
            after=None if after is None else json.dumps(after, ensure_ascii=False),
        )
    )
