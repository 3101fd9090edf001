"""What was let out to a caller, for as long as its next turn may refer to it instead of sending it again.

Clients of OpenAI's Responses refer to earlier turns (`previous_response_id`) and to single items of them
(`item_reference`). Model servers keep them in one process, if at all, and what the guard does not see it can't judge in
context. So what went through here is remembered: bounded, for a while, in memory that the workers share, never on disk,
and each caller finds its own only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from ..streaming.shared_store import SharedStore

__all__ = ["ItemMemory"]

_MAX_TURNS = 512
_MAX_PARTS = 64
_MARK_BYTES = 9
_SLICE = SharedStore.MAX_VALUE_BYTES - _MARK_BYTES


class ItemMemory:
    """Items and turns by caller and id. Safe under threads and across workers."""

    def __init__(self, store: SharedStore) -> None:
        self._store = store

    @property
    def is_on(self) -> bool:
        """Whether anything is remembered at all."""
        return self._store.is_on

    def put(
        self,
        caller: str | None,
        response_id: str,
        *,
        previous: str | None,
        asked: Sequence[object],
        output: Sequence[object],
    ) -> None:
        """Remember a turn: what its request added to the turn `previous`, and what was let out."""
        self._put(caller, "turn", response_id, {"previous": previous, "asked": asked, "output": output})
        for item in output:
            if isinstance(item, Mapping) and isinstance(item.get("id"), str):
                self._put(caller, "item", item["id"], item)

    def item(self, caller: str | None, item_id: str) -> Mapping[str, object] | None:
        """An item that was let out; None when it is not remembered."""
        return self._get(caller, "item", item_id)

    def turns(self, caller: str | None, response_id: str) -> list[object] | None:
        """All items of a conversation up to and with this turn; None when one of its turns is not remembered."""
        found: list[list[object]] = []
        following: object = response_id
        while isinstance(following, str):
            turn = self._get(caller, "turn", following)
            if turn is None or len(found) >= _MAX_TURNS:
                return None
            found.append([*_list(turn["asked"]), *_list(turn["output"])])
            following = turn["previous"]
        return [item for turn in reversed(found) for item in turn]

    def _put(self, caller: str | None, kind: str, name: str, value: object) -> None:
        data = json.dumps(value, separators=(",", ":")).encode()
        parts = [data[at : at + _SLICE] for at in range(0, len(data), _SLICE)]
        if len(parts) > _MAX_PARTS:
            return
        key = _name(caller, kind, name)
        # A mark of this value on each part, so that those of two values under one name are never put together.
        mark = bytes([len(parts)]) + hashlib.blake2b(data, digest_size=_MARK_BYTES - 1).digest()
        for index, part in enumerate(parts):
            self._store.put(key + bytes([index]), mark + part)

    def _get(self, caller: str | None, kind: str, name: str) -> Mapping[str, object] | None:
        key = _name(caller, kind, name)
        first = self._store.get(key + bytes([0]))
        if first is None:
            return None
        parts = [first, *(self._store.get(key + bytes([index])) for index in range(1, first[0]))]
        if any(part is None or part[:_MARK_BYTES] != first[:_MARK_BYTES] for part in parts):
            return None
        found = json.loads(b"".join(part[_MARK_BYTES:] for part in parts if part is not None))
        return found if isinstance(found, dict) else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _name(caller: str | None, kind: str, name: str) -> bytes:
    return json.dumps([caller, kind, name]).encode()
