"""Changes, with hostile text in them."""

from __future__ import annotations

from console_records import HOSTILE

from moderation_service.store.database import Database
from moderation_service.store.trail import record


def seed(database: Database) -> list[str]:
    with database.write() as connection:
        for number in range(60):
            record(
                connection,
                actor=("anna", HOSTILE)[number % 2],
                action="list_entry.add",
                subject=f"lists/{HOSTILE}#{number}",
                before=None,
                after={"word": HOSTILE},
            )
    return ["/console/trail?actor=anna"]
