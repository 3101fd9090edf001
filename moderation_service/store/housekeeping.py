"""What is over its time goes, a little at a time: one large deletion would keep the writers waiting for seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, Table, delete, select, update

from ..config.webhook_settings import WEBHOOK_KEPT_S
from .database import Database, insert_new
from .people import TRIES_MS
from .schema import (
    appeals,
    decisions,
    escalations,
    review_items,
    reviews,
    revisions,
    sessions,
    shadow_decisions,
    sign_in_failures,
    sign_in_links,
    texts,
    webhook_messages,
)
from .trail import now_ms

__all__ = ["CHUNK", "Housekeeping", "delete_chunk", "delete_decisions"]

CHUNK = 500
_DAY_MS = 24 * 3_600_000
_EVERY_MS = 10 * 60_000
_TURN = "housekeeping"
_OF_DECISIONS: Sequence[Table] = (texts, appeals, review_items, reviews, shadow_decisions)


def delete_chunk(connection: Connection, table: Table, condition: ColumnElement[bool], *, most: int = CHUNK) -> int:
    """Delete so many rows at most; how many it were."""
    key = next(iter(table.primary_key.columns))
    chosen = select(key).where(condition).limit(most)
    return connection.execute(delete(table).where(key.in_(chosen))).rowcount


def delete_decisions(connection: Connection, condition: ColumnElement[bool], *, most: int = CHUNK) -> Mapping[str, int]:
    """Delete so many decisions at most, with all that hangs on them; how many rows it were of each table.

    A place in the queue for review that outlived its decision would be given out, and show nothing.
    """
    ids = connection.execute(select(decisions.c.decision_id).where(condition).limit(most)).scalars().all()
    return {
        table.name: connection.execute(delete(table).where(table.c.decision_id.in_(ids))).rowcount
        for table in (*_OF_DECISIONS, decisions)
    }


class Housekeeping:
    """Deletes texts, records, repeat offenders, sessions, tries to sign in and messages that are over their time.

    Hourly sums stay. Every ten minutes one of the processes that share a database takes its turn.
    """

    def __init__(self, database: Database, *, records_days: int) -> None:
        self._database = database
        self._records_days = records_days
        self._next_at = 0
        self._is_at_it = False

    def step(self) -> bool:
        """Delete a chunk if it is this process's turn; whether there is more to delete. Raises StoreUnavailable."""
        now = now_ms()
        if not self._is_at_it:
            if now < self._next_at:
                return False
            self._next_at = now + _EVERY_MS
            self._is_at_it = self._takes_turn(now)
        if self._is_at_it:
            self._is_at_it = self.delete_some(now)
        return self._is_at_it

    def delete_some(self, now: int) -> bool:
        """Delete a chunk of each table; whether one of them was full."""
        kept = now - self._records_days * _DAY_MS if self._records_days else 0
        over: list[tuple[Table, ColumnElement[bool]]] = [
            (texts, texts.c.until < now),
            (escalations, escalations.c.until < kept),
            (sessions, sessions.c.expires_at < now),
            (sign_in_links, sign_in_links.c.expires_at < now),
            (sign_in_failures, sign_in_failures.c.since <= now - TRIES_MS),
            # Where webhooks were switched off; else whoever sends gives up earlier.
            (webhook_messages, webhook_messages.c.at < now - 2 * WEBHOOK_KEPT_S * 1000),
        ]
        with self._database.write() as connection:
            deleted = [delete_decisions(connection, decisions.c.at < kept)[decisions.name]]
        for table, condition in over:
            with self._database.write() as connection:
                deleted.append(delete_chunk(connection, table, condition))
        return max(deleted) >= CHUNK

    def _takes_turn(self, now: int) -> bool:
        with self._database.write() as connection:
            insert_new(connection, revisions, [{"subject": _TURN, "number": 0}], unless=["subject"])
            is_due = (revisions.c.subject == _TURN) & (revisions.c.number < now - _EVERY_MS)
            return connection.execute(update(revisions).where(is_due).values(number=now)).rowcount == 1
