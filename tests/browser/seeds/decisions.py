"""A week of decisions, with hostile text wherever text can be."""

from __future__ import annotations

from console_records import HOSTILE, hashes_of, record, write_records

from moderation_service.core.verdict import Category
from moderation_service.store.codes import mask_of
from moderation_service.store.database import Database
from moderation_service.store.trail import now_ms

HOUR = 3_600_000


def seed(database: Database) -> list[str]:
    user = hashes_of(database).user("shop", "somebody").hex()
    now = now_ms()
    kinds = list(Category)
    shown = record(database, f"before {HOSTILE} after", keep=True, span_start=7, span_end=12, user_hash=user)
    rows = [
        shown,
        record(database, app=HOSTILE[:190], key=HOSTILE[:190], request_id="=cmd|' /C calc'!A0", door=HOSTILE[:190]),
        record(database, engine=HOSTILE, model=HOSTILE, tool=HOSTILE, degraded=True, reason="engine_unavailable"),
        record(
            database, action=3, severity=None, p_unsafe=None, p_flagged=None, categories=0, error="engine_unavailable"
        ),
        record(database, list_entry=f"drugs/{HOSTILE}", list_action=2, escalated=1),
    ]
    for hour in range(150):
        for number in range(1 + hour * 7 % 5):
            action = (0, 0, 1, 0, 2)[(hour + number) % 5]
            rows.append(
                record(
                    database,
                    at=now - hour * HOUR - number * 1000,
                    action=action,
                    severity=action,
                    p_unsafe=(0.01, 0.2, 0.95)[action],
                    p_flagged=(0.02, 0.7, 0.97)[action],
                    categories=mask_of([kinds[(hour + number) % 9]]) if action else 0,
                    app=("shop", "forum", "")[hour % 3],
                    door=("moderate", "chat", "dify")[number % 3],
                    latency_ms=3.0 + hour % 40,
                    cached=hour % 4 == 0,
                    target=number % 2,
                )
            )
    write_records(database, rows)
    return [
        "/console?days=7",
        f"/console/decisions/{shown.decision_id}",
        f"/console/decisions/{rows[1].decision_id}",
        f"/console/decisions/{rows[2].decision_id}",
        "/console/decisions?action=block&days=30&category=violent&app=shop",
        "/console/decisions?id=nothing-has-this",
    ]
