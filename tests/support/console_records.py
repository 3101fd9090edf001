"""Records for the console's pages: what a service would have written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from moderation_service.core.keyed_hash import KeyedHashes
from moderation_service.core.policy import BUILT_IN
from moderation_service.core.verdict import Category
from moderation_service.ids import random_hex
from moderation_service.store.codes import mask_of
from moderation_service.store.database import Database
from moderation_service.store.opened import hash_key
from moderation_service.store.record import Kept, Record
from moderation_service.store.trail import now_ms
from moderation_service.store.writing import DatabaseSink

__all__ = ["HOSTILE", "hashes_of", "record", "write_records"]

HOSTILE = '<b class="planted">x</b><script>document.title="owned"</script>"\'&{{7*7}}'
"""What a page must show as it is."""


@cache
def hashes_of(database: Database) -> KeyedHashes:
    """Those of a service on this database."""
    with database.write() as connection:
        return KeyedHashes(hash_key(connection))


def record(database: Database, text: str = "How do I bake bread?", *, keep: bool = False, **fields: Any) -> Record:
    """A decision on this text, blocked as violent unless `fields` say otherwise."""
    usual: dict[str, Any] = {
        "at": now_ms(), "decision_id": "mod_" + random_hex(24), "request_id": random_hex(32), "app": "shop",
        "key": "shop", "door": "moderate", "target": 0, "severity": 2, "p_unsafe": 0.95, "p_flagged": 0.97,
        "categories": mask_of([Category.VIOLENT]), "detail": 0, "read_in_part": 0, "refusal": None, "coverage": 0,
        "is_sure": False, "action": 2, "policy": "balanced", "policy_version": BUILT_IN["balanced"].version,
        "tool": None, "engine": "vllm", "model": "Qwen3Guard-Gen-4B", "reason": None, "error": None, "degraded": False,
        "cached": False, "windows": 1, "span_start": None, "span_end": None, "chars": len(text), "latency_ms": 23.4,
        "text_hash": hashes_of(database).text(text).hex(), "user_hash": None, "list_entry": None, "list_action": None,
        "escalated": None, "kept": Kept(text, [], 30) if keep else None,
    }  # fmt: skip
    return Record(**{**usual, **fields})


def write_records(database: Database, records: Sequence[Record]) -> None:
    sink = DatabaseSink(database, records_days=0)
    refused = sink.write(records, lambda name, version: BUILT_IN.get(name), again=False)
    assert refused == 0
