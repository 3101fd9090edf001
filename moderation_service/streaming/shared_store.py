"""A small memory that the workers share: short values by name, bounded in bytes and time, never on disk.

gunicorn's workers are forks and share no objects: what one of them remembers in a dict, a second worker finds once in
as many times as there are workers. The values here lie in anonymous memory that is mapped before the fork and so is the
same for all of them.

There is no lock, so there is nothing to wait for and nothing that a worker killed in the middle could leave locked.
The memory is cut into cells with a checksum each; a cell that two workers write at once, or that is written while it is
read, fails its checksum and counts as forgotten. Every user must be able to do without a value: it may be gone at any
time.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Callable
from time import monotonic
from zlib import crc32

__all__ = ["SharedStore"]

_CELL_BYTES = 1024
"""Larger cells waste more of their last one; smaller ones cost more headers and more calls."""
_WAYS = 8
"""Places where a cell may lie: of these the one that expires first makes room for a new one."""
# Name, the moment of expiry, the version of the value, its number of cells, bytes used in this cell; then the checksum.
_HEAD = struct.Struct("<16sd8sHH")
_CHECKSUM = struct.Struct("<I")
_PAYLOAD_AT = _HEAD.size + _CHECKSUM.size
_PAYLOAD_BYTES = _CELL_BYTES - _PAYLOAD_AT
_MAX_CELLS = 64


class SharedStore:
    """Values by name, for the process that makes it and for all that are forked from it. Safe under threads.

    `size_bytes` is the memory taken at most (pages that were never written cost nothing); 0 makes a store that forgets
    everything at once. `ttl_s` is how long a value is kept; it goes earlier when newer ones need its place.
    """

    MAX_VALUE_BYTES = _MAX_CELLS * _PAYLOAD_BYTES
    """The longest value."""

    def __init__(self, *, size_bytes: int, ttl_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._buckets = size_bytes // (_CELL_BYTES * _WAYS)
        self._memory = mmap.mmap(-1, max(1, self._buckets) * _CELL_BYTES * _WAYS)
        self._ttl_s = ttl_s
        self._clock = clock
        self._secret = os.urandom(32)

    @property
    def is_on(self) -> bool:
        """Whether there is room for anything at all."""
        return self._buckets > 0

    def put(self, name: bytes, value: bytes) -> bool:
        """Remember `value` in place of an earlier one; False if it is too long or the store is off."""
        count = max(1, -(-len(value) // _PAYLOAD_BYTES))
        if not self.is_on or count > _MAX_CELLS:
            return False
        now = self._clock()
        version = os.urandom(8)
        for index in range(count):
            part = value[index * _PAYLOAD_BYTES : (index + 1) * _PAYLOAD_BYTES]
            key = self._key(name, index)
            head = _HEAD.pack(key, now + self._ttl_s, version, count, len(part))
            cell = head + _CHECKSUM.pack(crc32(part, crc32(head))) + part
            at = self._place(key)
            self._memory[at : at + len(cell)] = cell
        return True

    def get(self, name: bytes) -> bytes | None:
        """The remembered value; None when it was never put, is too old, or had to make room."""
        if not self.is_on:
            return None
        first = self._read(self._key(name, 0))
        if first is None:
            return None
        version, count, part = first
        parts = [part]
        for index in range(1, count):
            following = self._read(self._key(name, index))
            if following is None or following[0] != version:
                return None
            parts.append(following[2])
        return b"".join(parts)

    def close(self) -> None:
        """Give the memory back, in this process."""
        self._memory.close()

    def _key(self, name: bytes, index: int) -> bytes:
        # Keyed, so that nobody who chooses names can make them all fall into one bucket.
        return hashlib.blake2b(name + index.to_bytes(2, "little"), key=self._secret, digest_size=16).digest()

    def _cells(self, key: bytes) -> range:
        """Where the cells of this key's bucket begin."""
        bucket = int.from_bytes(key[:8], "little") % self._buckets
        start = bucket * _WAYS * _CELL_BYTES
        return range(start, start + _WAYS * _CELL_BYTES, _CELL_BYTES)

    def _place(self, key: bytes) -> int:
        """The cell to write: the key's own, else the one that expires first; an empty one has expired long ago."""
        places: list[tuple[float, int]] = []
        for at in self._cells(key):
            found, expiry = _HEAD.unpack_from(self._memory, at)[:2]
            if found == key:
                return at
            places.append((expiry, at))
        return min(places)[1]

    def _read(self, key: bytes) -> tuple[bytes, int, bytes] | None:
        """Version, number of cells and payload of this key's cell."""
        for at in self._cells(key):
            if self._memory[at : at + len(key)] != key:
                continue
            # One copy, of which everything else is read: the memory may change at any moment.
            cell = self._memory[at : at + _CELL_BYTES]
            found, expiry, version, count, length = _HEAD.unpack_from(cell)
            part = cell[_PAYLOAD_AT : _PAYLOAD_AT + length]
            (checksum,) = _CHECKSUM.unpack_from(cell, _HEAD.size)
            is_whole = found == key and checksum == crc32(part, crc32(cell[: _HEAD.size]))
            return (version, count, part) if is_whole and expiry > self._clock() else None
        return None
