"""Texts in memory that all processes of a service share: what the latest of them has read of the database.

The workers ask the database again and again; the process that makes the next ones asks at its own start only. A worker
may be slow: what it has read never takes the place of what another has read after it.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from collections.abc import Mapping

from .process_lock import process_lock

__all__ = ["SharedTexts"]

# As much as texts may be; memory that is never written costs nothing.
_SIZE_BYTES = 32 * 1024 * 1024
_HEAD = struct.Struct("<qqqII")
"""How many were put; how many when the database had gone back; the revision; length and checksum of the texts."""


class SharedTexts:
    """Made before the workers are forked. One that is killed while it writes leaves nothing that could be read."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE_BYTES)
        self._lock = process_lock()

    def moment(self) -> int:
        """Now, for `put`; to be asked before the database is."""
        with self._lock:
            return int(_HEAD.unpack_from(self._memory)[0])

    def put(self, texts: Mapping[str, str], *, revision: int, since: int) -> bool:
        """These were read at this revision of the database, after the moment `since`. False where others are newer.

        A database only counts up, so the higher revision is the newer. One that was restored or made anew has gone
        back: that is so where a reading finds a lower revision though it began after the higher one was put. What was
        read of the database before that no longer counts, however high its revision.
        """
        data = zlib.compress(json.dumps(texts).encode())
        if _HEAD.size + len(data) > _SIZE_BYTES:
            data = b""
        checksum = zlib.crc32(data)
        with self._lock:
            count, went_back, latest, *now = _HEAD.unpack_from(self._memory)
            if revision == latest and now == [len(data), checksum]:
                return True
            if since != count and (revision <= latest or since < went_back):
                return False
            count += 1
            head = _HEAD.pack(count, count if revision < latest else went_back, revision, len(data), checksum)
            self._memory[: _HEAD.size + len(data)] = head + data
            return True

    def get(self) -> dict[str, str] | None:
        """The newest that was read; None where nothing was."""
        with self._lock:
            *_, length, checksum = _HEAD.unpack_from(self._memory)
            data = self._memory[_HEAD.size : _HEAD.size + length]
        if not data or len(data) != length or zlib.crc32(data) != checksum:
            return None
        found: dict[str, str] = json.loads(zlib.decompress(data))
        return found
