"""Messages of webhooks that could not be delivered yet: they outlive the process that made them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, func, select, update

from ..observability.webhooks import Message
from .database import Database, insert_new
from .schema import webhook_messages
from .trail import now_ms

__all__ = ["StoredOutbox"]

_MOST = 10_000
# Others get what a process has taken when this is over: it was killed, or hangs in one attempt for so long. What it has
# not begun it gives back after a quarter (`webhooks`), so that a message is not sent by two at once but then.
_LEASE_MS = 120_000


class StoredOutbox:
    """The outbox of `observability.webhooks`, for all processes that share a database."""

    def __init__(self, database: Database, *, most: int = _MOST) -> None:
        self._database = database
        self._most = most

    def keep(self, messages: Sequence[Message], *, next_at_ms: int) -> int:
        """Keep messages for a later attempt; for how many of them there was room. Raises StoreUnavailable."""
        with self._database.write() as connection:
            there = connection.execute(select(func.count()).select_from(webhook_messages)).scalar_one()
            kept = messages[: max(0, self._most - there)]
            rows = [
                {
                    "id": one.id,
                    "event": one.event,
                    "body": one.body,
                    "at": one.at_ms,
                    "attempts": one.attempts,
                    "next_at": next_at_ms,
                }
                for one in kept
            ]
            insert_new(connection, webhook_messages, rows, unless=["id"])
        return len(kept)

    def take(self, most: int) -> list[Message]:
        """Those that are due; no other process has them meanwhile. Raises StoreUnavailable."""
        table, now = webhook_messages.c, now_ms()
        is_due = table.next_at <= now
        with self._database.read() as connection:
            if connection.execute(select(table.id).where(is_due).limit(1)).first() is None:
                return []
        chosen = select(webhook_messages).where(is_due).order_by(table.next_at).limit(most)
        with self._database.write() as connection:
            rows = connection.execute(chosen.with_for_update(skip_locked=True)).all()
            taken = update(webhook_messages).where(table.id.in_([row.id for row in rows]))
            connection.execute(taken.values(next_at=now + _LEASE_MS))
        return [Message(row.event, row.id, bytes(row.body), row.at, row.attempts) for row in rows]

    def put_off(self, messages: Sequence[Message], *, next_at_ms: int) -> None:
        """Give back what was taken, for a later attempt. Raises StoreUnavailable."""
        if not messages:
            return
        one = update(webhook_messages).where(webhook_messages.c.id == bindparam("which"))
        rows = [{"which": message.id, "attempts": message.attempts, "next_at": next_at_ms} for message in messages]
        with self._database.write() as connection:
            connection.execute(one, rows)

    def remove(self, message_id: str) -> None:
        """Forget a message that was delivered, or has failed for good. Raises StoreUnavailable."""
        with self._database.write() as connection:
            connection.execute(delete(webhook_messages).where(webhook_messages.c.id == message_id))
