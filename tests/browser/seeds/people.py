"""People who sign in in every way, and one who is out."""

from __future__ import annotations

from console_records import HOSTILE

from moderation_service.core.person import Role
from moderation_service.store import people
from moderation_service.store.database import Database
from moderation_service.store.trail import now_ms

__all__ = ["seed"]


def seed(database: Database) -> list[str]:
    now = now_ms()
    with database.write() as connection:
        people.add_person(connection, "anna", Role.REVIEWER, now_ms=now, password="no hash")
        people.add_person(connection, HOSTILE[: people.MAX_NAME_CHARS], Role.VIEWER, now_ms=now)
        people.add_person(connection, "李雷", Role.ADMIN, now_ms=now, issuer="https://login.example", subject="4711")
        people.add_person(connection, "gone", Role.ADMIN, now_ms=now)
        account = people.find_person(connection, "gone")
        assert account is not None
        people.change_person(connection, account, disabled_at=now)
    return []
