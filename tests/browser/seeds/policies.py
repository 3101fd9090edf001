"""A policy of the database with hostile text in all of its texts, changed once."""

from __future__ import annotations

import json

from console_records import HOSTILE

from moderation_service.config.policy_file import load_policies
from moderation_service.store import policies
from moderation_service.store.database import Database

__all__ = ["seed"]


def seed(database: Database) -> list[str]:
    of_file = load_policies(None, default="balanced")
    text = f"# {HOSTILE}\npolicies:\n  pupils:\n    extends: strict\n    description: {json.dumps(HOSTILE)}\n"
    with database.write() as connection:
        for one in (text, f"{text}    message: {json.dumps(HOSTILE)}\n"):
            policies.put(connection, {"pupils": one}, of_file=of_file, lists=None, actor=HOSTILE)
    return ["/console/policies/edit/pupils", "/console/policies/edit/pupils?change=1", "/console/policies/one/pupils"]
