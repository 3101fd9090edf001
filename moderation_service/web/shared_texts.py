"""Texts in memory that all processes of a service share: what the latest of them has read of the database.

The workers ask the database again and again; the process that makes the next ones asks at its own start only.
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
_HEAD = struct.Struct("<II")


class SharedTexts:
    """Made before the workers are forked. One that is killed while it writes leaves nothing that could be read."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE_BYTES)
        self._lock = process_lock()

    def put(self, texts: Mapping[str, str]) -> None:
        """These were read."""
        data = zlib.compress(json.dumps(texts).encode())
        if _HEAD.size + len(data) > _SIZE_BYTES:
            data = b""
        with self._lock:
            self._memory[: _HEAD.size + len(data)] = _HEAD.pack(len(data), zlib.crc32(data)) + data

    def get(self) -> dict[str, str] | None:
        """What was read last; None where nothing was."""
        with self._lock:
            length, checksum = _HEAD.unpack_from(self._memory)
            data = self._memory[_HEAD.size : _HEAD.size + length]
        if not data or len(data) != length or zlib.crc32(data) != checksum:
            return None
        found: dict[str, str] = json.loads(zlib.decompress(data))
        return found
