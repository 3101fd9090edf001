"""Appeals of blocked people: filed for a decision of theirs, decided by a reviewer."""

from __future__ import annotations

from sqlalchemy import Connection, select

from ..core.review import Why
from ..core.verdict import Action
from .codes import ACTIONS
from .reviews import enqueue
from .schema import appeals, decisions, names

__all__ = ["OPEN", "file_appeal", "state_of"]

OPEN = "open"
"""The state of an appeal that nobody has decided."""


def file_appeal(connection: Connection, *, decision_id: str, app: str, text: str, now_ms: int) -> bool:
    """File an appeal of a block that this app asked for; False where there is nothing to appeal.

    That is: no such decision, one of another app, one that blocked nothing, or one that was appealed before.
    """
    wanted = select(decisions.c.user_hash).join_from(decisions, names, decisions.c.app == names.c.id)
    wanted = wanted.where(decisions.c.decision_id == decision_id, names.c.name == app)
    # The decision is held till the end: of two appeals at once, PostgreSQL would refuse the second as a fault of ours.
    wanted = wanted.where(decisions.c.action == ACTIONS.index(Action.BLOCK)).with_for_update(of=decisions)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        return False
    if connection.execute(select(appeals.c.id).where(appeals.c.decision_id == decision_id)).first() is not None:
        return False
    stored = text.replace("\0", "\ufffd")
    values = {"decision_id": decision_id, "app": app, "user_hash": row.user_hash, "text": stored, "at": now_ms}
    connection.execute(appeals.insert().values(**values, state=OPEN))
    enqueue(connection, decision_id, Why.APPEALED, at=now_ms)
    return True


def state_of(connection: Connection, decision_id: str, *, app: str) -> str | None:
    """How an appeal that this app has filed stands: `open`, `upheld` or `overturned`; None where there is none."""
    wanted = select(appeals.c.state, appeals.c.outcome)
    row = connection.execute(wanted.where(appeals.c.decision_id == decision_id, appeals.c.app == app)).one_or_none()
    if row is None:
        return None
    return OPEN if row.state == OPEN else str(row.outcome)
