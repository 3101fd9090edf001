"""Counts the requests of apps, exactly, over all workers of this machine.

The counters lie in anonymous memory that is mapped before the workers are forked. One lock guards it: a counter that
two workers read and then write would let both have the last request.

Windows are fixed: one begins with the first request in it. Nothing is charged for a request that is refused.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from ..core.app import Window
from .process_lock import ProcessLock

__all__ = ["Counted", "Counters", "SharedCounters", "Windows", "nearest"]

Windows = Sequence[tuple[Window, int]]
"""Limits over time, the smallest window first."""

_ROWS = 2048
"""Twice as many as there may be apps in a file; a table that is half empty is searched in one or two steps."""
_SLOTS = 512
"""Processes that count: as many workers as there may be, and as many that a reload has not yet seen the end of."""
_PID = struct.Struct("<I")
_WINDOW = struct.Struct("<Id")  # used, begun
_IN_USE = struct.Struct("<H")
_KEY_BYTES = 16
_WINDOWS_AT = _KEY_BYTES
_PLACES = {window: _WINDOWS_AT + index * _WINDOW.size for index, window in enumerate(Window)}
_TOTAL_AT = _WINDOWS_AT + len(Window) * _WINDOW.size
_IN_USE_AT = _TOTAL_AT + _PID.size
_ROW_BYTES = _IN_USE_AT + _SLOTS * _IN_USE.size
_ROWS_AT = _SLOTS * _PID.size


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of a request: how it stands with the limit that is nearest, or with the one that it is over."""

    limit: int
    remaining: int
    reset_s: float
    """Until the window ends."""
    over: Window | None = None


class Counters(Protocol):
    """Where requests are counted."""

    def take(self, app: str, windows: Windows, cost: int = 1) -> Counted | None:
        """Count a request in all windows, or in none if it is over one of them; None without windows."""

    def enter(self, app: str, most: int) -> bool:
        """Count a request as under way; False if that would be one too many. `leave` follows, after True only."""

    def leave(self, app: str) -> None:
        """A request is not under way any more."""


class SharedCounters:
    """Counters for the process that makes it and all that are forked from it. Safe under threads."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._memory = mmap.mmap(-1, _ROWS_AT + _ROWS * _ROW_BYTES)
        self._clock = clock
        self._alone = ProcessLock()
        self.close = self._alone.close
        self._places: dict[str, tuple[bytes, int]] = {}
        self._slot: tuple[int, int] | None = None

    def take(self, app: str, windows: Windows, cost: int = 1) -> Counted | None:
        """See `Counters`."""
        if not windows:
            return None
        with self._alone:
            now, row = self._clock(), self._row(app)
            found = [(window, most, *self._used(row, window, now)) for window, most in windows]
            for window, most, used, begun in found:
                if used + cost > most:
                    return Counted(most, max(0, most - used), begun + window.value - now, over=window)
            for window, _, used, begun in found:
                _WINDOW.pack_into(self._memory, row + _PLACES[window], used + cost, begun)
        return nearest([(most, most - used - cost, begun + window.value - now) for window, most, used, begun in found])

    def enter(self, app: str, most: int) -> bool:
        """See `Counters`."""
        with self._alone:
            row = self._row(app)
            total = _PID.unpack_from(self._memory, row + _TOTAL_AT)[0]
            if total >= most:
                total = self._without_the_dead(row)
                if total >= most:
                    return False
            self._add(row, 1)
        return True

    def leave(self, app: str) -> None:
        """See `Counters`."""
        with self._alone:
            self._add(self._row(app), -1)

    def _add(self, row: int, change: int) -> None:
        # The column comes first: taking over one of a process that is gone changes the total.
        at = row + _IN_USE_AT + self._own_slot() * _IN_USE.size
        total = _PID.unpack_from(self._memory, row + _TOTAL_AT)[0]
        own = _IN_USE.unpack_from(self._memory, at)[0] + change
        if own >= 0:  # else it was taken for dead, and its requests are not counted any more
            _IN_USE.pack_into(self._memory, at, own)
            _PID.pack_into(self._memory, row + _TOTAL_AT, max(0, total + change))

    def _used(self, row: int, window: Window, now: float) -> tuple[int, float]:
        used, begun = _WINDOW.unpack_from(self._memory, row + _PLACES[window])
        return (used, begun) if used and now < begun + window.value else (0, now)

    def _row(self, app: str) -> int:
        """Where this app's row begins. It is found again if another app has got its place in the meantime."""
        place = self._places.get(app)
        if place is not None and self._memory[place[1] : place[1] + _KEY_BYTES] == place[0]:
            return place[1]
        key = hashlib.blake2b(app.encode(), digest_size=_KEY_BYTES).digest()
        first = int.from_bytes(key[:4], "little") % _ROWS
        empty = bytes(_KEY_BYTES)
        for step in range(_ROWS):
            row = _ROWS_AT + (first + step) % _ROWS * _ROW_BYTES
            found = self._memory[row : row + _KEY_BYTES]
            if found in (key, empty):
                break
        else:
            row = self._emptied(first)
            found = empty
        if found == empty:
            self._memory[row : row + _KEY_BYTES] = key
        self._places[app] = (key, row)
        return row

    def _emptied(self, first: int) -> int:
        """The row of an app that was longest without a request: its app was most likely removed long ago."""
        rows = [_ROWS_AT + (first + step) % _ROWS * _ROW_BYTES for step in range(_ROWS)]
        latest = {row: max(_WINDOW.unpack_from(self._memory, row + at)[1] for at in _PLACES.values()) for row in rows}
        row = min(rows, key=lambda one: latest[one])
        self._memory[row : row + _ROW_BYTES] = bytes(_ROW_BYTES)
        return row

    def _own_slot(self) -> int:
        """This process's column; the first time it takes one that nobody has, or whose process is gone."""
        pid = os.getpid()
        if self._slot is not None and self._slot[0] == pid:
            return self._slot[1]
        owners = [_PID.unpack_from(self._memory, index * _PID.size)[0] for index in range(_SLOTS)]
        slot = next((index for index, owner in enumerate(owners) if owner in (0, pid) or not _is_alive(owner)), None)
        if slot is None:
            raise RuntimeError("more processes count requests than there are places for")
        if owners[slot]:
            self._forget(slot)
        _PID.pack_into(self._memory, slot * _PID.size, pid)
        self._slot = (pid, slot)
        return slot

    def _forget(self, slot: int) -> None:
        """Take what a process that is gone had under way out of all rows."""
        for index in range(_ROWS):
            row = _ROWS_AT + index * _ROW_BYTES
            if self._memory[row : row + _KEY_BYTES] != bytes(_KEY_BYTES):
                self._clear(row, slot)

    def _clear(self, row: int, slot: int) -> None:
        at = row + _IN_USE_AT + slot * _IN_USE.size
        left = _IN_USE.unpack_from(self._memory, at)[0]
        total = _PID.unpack_from(self._memory, row + _TOTAL_AT)[0]
        _IN_USE.pack_into(self._memory, at, 0)
        _PID.pack_into(self._memory, row + _TOTAL_AT, max(0, total - left))

    def _without_the_dead(self, row: int) -> int:
        """How many are under way, once those of processes that were killed are taken out."""
        for slot in range(_SLOTS):
            if _IN_USE.unpack_from(self._memory, row + _IN_USE_AT + slot * _IN_USE.size)[0]:
                owner = _PID.unpack_from(self._memory, slot * _PID.size)[0]
                if not _is_alive(owner):
                    self._clear(row, slot)
        return int(_PID.unpack_from(self._memory, row + _TOTAL_AT)[0])


def nearest(found: Sequence[tuple[int, int, float]]) -> Counted:
    """Of (limit, remaining, seconds left) of several windows, the one that will refuse first."""
    limit, remaining, reset_s = min(found, key=lambda one: (one[1], -one[2]))
    return Counted(limit, remaining, reset_s)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
