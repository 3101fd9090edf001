"""Records of decisions for tests: made up, or by a moderator around a fake engine."""

from __future__ import annotations

from typing import Any

from moderation_service.core.policy import BUILT_IN, Policy
from moderation_service.ids import random_hex
from moderation_service.store.database import Database
from moderation_service.store.record import Record
from moderation_service.store.writing import DatabaseSink

__all__ = ["Events", "a_record", "policy_named", "written"]

NOW = 1_800_000_000_000


class Events:
    """Counts what the recorder tells."""

    def __init__(self) -> None:
        self.written = 0
        self.dropped = 0
        self.waiting = 0

    def records_written(self, count: int) -> None:
        self.written += count

    def records_dropped(self, count: int) -> None:
        self.dropped += count

    def records_waiting(self, count: int) -> None:
        self.waiting = count


def a_record(**fields: Any) -> Record:
    """A blocked prompt about violence, but for these fields."""
    usual: dict[str, Any] = {
        "at": NOW,
        "decision_id": f"mod_{random_hex(24)}",
        "request_id": random_hex(32),
        "app": "shop",
        "key": "shop:1",
        "door": "moderate",
        "target": 0,
        "severity": 2,
        "p_unsafe": 0.95,
        "p_flagged": 0.99,
        "categories": 1,
        "detail": 0,
        "read_in_part": 0,
        "refusal": None,
        "coverage": None,
        "is_sure": True,
        "action": 2,
        "policy": "balanced",
        "policy_version": BUILT_IN["balanced"].version,
        "tool": None,
        "engine": "vllm",
        "model": "guard",
        "reason": None,
        "error": None,
        "degraded": False,
        "cached": False,
        "windows": 1,
        "span_start": None,
        "span_end": None,
        "chars": 10,
        "latency_ms": 12.5,
        "text_hash": "00" * 16,
        "user_hash": None,
        "list_entry": None,
        "list_action": None,
        "escalated": None,
        "shadow": [],
        "kept": None,
    }
    assert fields.keys() <= usual.keys()
    return Record(**(usual | fields))


def policy_named(name: str, version: str) -> Policy | None:
    found = BUILT_IN.get(name)
    return found if found is not None and found.version == version else None


def written(database: Database, *records: Record, again: bool = False) -> int:
    """Write them, and return how many were refused."""
    return DatabaseSink(database, records_days=90).write(records, policy_named, again=again)
