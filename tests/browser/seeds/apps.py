"""Apps with and without limits, and repeat offenders, with hostile text wherever text can be."""

from __future__ import annotations

from console_records import HOSTILE

from moderation_service.core.verdict import Action
from moderation_service.store import apps, escalations
from moderation_service.store.database import Database
from moderation_service.store.escalations import StoredEscalation
from moderation_service.store.trail import now_ms

DAY_S = 86_400


def seed(database: Database) -> list[str]:
    now = now_ms()
    with database.write() as connection:
        limits = {"per_second": 20, "per_minute": 600, "per_day": 200_000, "at_once": 16}
        told = {"description": HOSTILE, "policies": ["strict", "balanced"], "policy": "strict", "limits": limits}
        apps.create(connection, "shop", told, policies=["strict", "balanced"], actor="anna")
        apps.rotate(connection, "shop", keep_s=7 * DAY_S, actor="anna")
        apps.create(connection, "forum", {"doors": ["moderate"]}, policies=[], actor="anna")
        apps.switch(connection, "forum", is_on=False, actor="anna")
        rows = [
            StoredEscalation(0, HOSTILE, "ab" * 16, HOSTILE, Action.BLOCK, 3, now, now + 3_600_000, None, None),
            StoredEscalation(0, "shop", "cd" * 16, "strict", Action.FLAG, 5, now - 9_000_000, now - 1, None, None),
        ]
        escalations.add(connection, rows)
        escalations.undo(connection, 2, actor=HOSTILE)
    return ["/console/apps/app/shop", "/console/apps/app/forum", "/console/apps/offenders", "/console/apps/new"]
