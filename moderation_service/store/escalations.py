"""Repeat offenders on record: what began, until when, and what a person undid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from ..core.verdict import Action
from ..errors import NotFound
from .database import bump
from .schema import escalations
from .trail import now_ms, record

__all__ = ["SUBJECT", "StoredEscalation", "add", "latest", "undo", "undone_since"]

SUBJECT = "escalations"
_ACTIONS = tuple(Action)


@dataclass(frozen=True, slots=True)
class StoredEscalation:
    """One of them; times in milliseconds since 1970. `end_user` is the keyed hash."""

    id: int
    app: str
    end_user: str
    policy: str
    action: Action
    blocks: int
    at: int
    until: int
    undone_at: int | None
    undone_by: str | None

    def is_running(self, now: int) -> bool:
        """Whether it still makes decisions stricter."""
        return self.undone_at is None and now < self.until


def add(connection: Connection, rows: Sequence[StoredEscalation]) -> None:
    """Write down what began; `id` is not looked at."""
    if rows:
        values = [
            {
                "app": one.app,
                "user_hash": bytes.fromhex(one.end_user),
                "policy": one.policy,
                "action": _ACTIONS.index(one.action),
                "blocks": one.blocks,
                "at": one.at,
                "until": one.until,
            }
            for one in rows
        ]
        connection.execute(escalations.insert(), values)


def latest(connection: Connection, *, most: int = 100) -> list[StoredEscalation]:
    """The newest first."""
    rows = connection.execute(select(escalations).order_by(escalations.c.id.desc()).limit(most))
    return [_stored(row) for row in rows]


def undo(connection: Connection, identity: int, *, actor: str) -> None:
    """End it: this end user begins anew under its policy. Raises NotFound."""
    row = connection.execute(select(escalations).where(escalations.c.id == identity)).one_or_none()
    if row is None:
        raise NotFound("There is no such escalation.")
    if row.undone_at is None:
        values = {"undone_at": now_ms(), "undone_by": actor[:200]}
        connection.execute(escalations.update().where(escalations.c.id == identity).values(**values))
        subject = f"{SUBJECT}/{identity}"
        record(connection, actor=actor, action="escalation.undo", subject=subject, before={"until": row.until})
        bump(connection, SUBJECT)


def undone_since(connection: Connection, moment: int) -> list[StoredEscalation]:
    """What was undone at this moment (milliseconds since 1970) or later."""
    rows = connection.execute(select(escalations).where(escalations.c.undone_at >= moment))
    return [_stored(row) for row in rows]


def _stored(row: object) -> StoredEscalation:
    values = dict(row._mapping)  # type: ignore[attr-defined]
    end_user, action = bytes(values.pop("user_hash")).hex(), _ACTIONS[values.pop("action")]
    return StoredEscalation(end_user=end_user, action=action, **values)
