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
import sys
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple, Protocol

from ..core.app import Window
from .process_lock import process_lock

__all__ = ["Counted", "Counters", "SharedCounters", "Windows", "nearest"]

Windows = Sequence[tuple[Window, int]]
"""Limits over time, the smallest window first."""

_ROWS = 2048
"""Twice as many as there may be apps in a file; a table that is half empty is searched in one or two steps."""
_SLOTS = 512
"""Processes that count: as many workers as there may be, and as many that a reload has not yet seen the end of."""
# The memory is cells of eight bytes: how many slots were ever taken, whether a row was ever emptied, the process of
# each slot, and the rows. A row has the app's key in two cells, what is used of each window, when each window began,
# and then in two bytes per slot how many requests each process has under way.
_TAKEN_AT, _WAS_FULL_AT, _PIDS_AT = 0, 1, 2
_ROWS_AT = _PIDS_AT + _SLOTS
_USED_AT = 2
_BEGUN_AT = _USED_AT + len(Window)
_UNDER_WAY_AT = _BEGUN_AT + len(Window)
_SLOTS_PER_CELL = 4
_ROW_CELLS = _UNDER_WAY_AT + _SLOTS // _SLOTS_PER_CELL
# All windows of a row at once: each look into the memory costs as much as this one.
_WINDOW_COUNT = len(Window)
_WINDOWS = struct.Struct(f"={_WINDOW_COUNT}q{_WINDOW_COUNT}d")
_WINDOWS_AT = 8 * _USED_AT


class Counted(NamedTuple):
    """What came of a request: how it stands with the limit that is nearest, or with the one that it is over.

    `reset_s` is the time until the window ends.
    """

    limit: int
    remaining: int
    reset_s: float
    over: Window | None = None


class Counters(Protocol):
    """Where requests are counted."""

    def take(self, app: str, windows: Windows, cost: int = 1) -> Counted | None:
        """Count a request in all windows, or in none if it is over one of them; None without windows."""

    def enter(self, app: str, windows: Windows, most: int) -> tuple[bool, Counted | None]:
        """The same for a request that is under way from now on; False, and nothing counted, for one too many at once.

        `leave` follows, unless it was refused.
        """

    def leave(self, app: str) -> None:
        """A request is not under way any more."""


class _Place(NamedTuple):
    """Where an app's numbers are: by what its row is known, the row, what is under way, and of that this process's."""

    first: int
    second: int
    row: int
    under_way: int
    own: int


class SharedCounters:
    """Counters for the process that makes it and all that are forked from it. Safe under threads."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        memory = memoryview(mmap.mmap(-1, 8 * (_ROWS_AT + _ROWS * _ROW_CELLS)))
        self._memory = memory
        self._cells, self._times, self._under_way = memory.cast("q"), memory.cast("d"), memory.cast("H")
        self._clock = clock
        self._alone = process_lock()
        self.close = self._alone.close
        self._own = threading.Lock()
        """Over what this process has under way: no other one writes that, so the end of a request needs no more."""
        self._places: dict[str, _Place] = {}
        self._pid = 0
        """The process that the places are of."""
        self._slot = 0

    def take(self, app: str, windows: Windows, cost: int = 1) -> Counted | None:
        """See `Counters`."""
        if not windows:
            return None
        with self._alone:
            return self._taken(self._place(app).row, windows, cost)

    def enter(self, app: str, windows: Windows, most: int) -> tuple[bool, Counted | None]:
        """See `Counters`."""
        with self._alone:
            place = self._place(app)
            under_way = self._under_way[place.under_way : place.under_way + self._cells[_TAKEN_AT]]
            if sum(under_way) >= most and self._without_the_dead(place) >= most:
                return False, None
            counted = self._taken(place.row, windows, 1) if windows else None
            if counted is None or counted.over is None:
                with self._own:
                    self._under_way[place.own] += 1
        return True, counted

    def leave(self, app: str) -> None:
        """See `Counters`."""
        place = self._places.get(app)
        if place is None or self._cells[_WAS_FULL_AT] or self._pid != os.getpid():
            # Its row may become another app's at any moment.
            with self._alone:
                self._end_one(self._place(app))
        else:
            self._end_one(place)

    def _taken(self, row: int, windows: Windows, cost: int) -> Counted:
        now, at = self._clock(), 8 * row + _WINDOWS_AT
        numbers = list(_WINDOWS.unpack_from(self._memory, at))
        limit, remaining, reset_s = 0, sys.maxsize, 0.0
        for window, most in windows:
            rank = window.rank
            used, left_s = numbers[rank] + cost, numbers[rank + _WINDOW_COUNT] + window.seconds - now
            if used == cost or left_s <= 0:
                used, left_s = cost, float(window.seconds)
                numbers[rank + _WINDOW_COUNT] = now
            left = most - used
            if left < 0:
                return Counted(most, max(0, left + cost), left_s, window)
            numbers[rank] = used
            # Of all windows the one that will refuse first.
            if left < remaining or (left == remaining and left_s > reset_s):
                limit, remaining, reset_s = most, left, left_s
        _WINDOWS.pack_into(self._memory, at, *numbers)
        return Counted(limit, remaining, reset_s)

    def _end_one(self, place: _Place) -> None:
        with self._own:
            if self._under_way[place.own]:  # else it was taken for dead, and its requests are not counted any more
                self._under_way[place.own] -= 1

    def _is_of(self, place: _Place) -> bool:
        """Whether the row is still that of the app that was found there."""
        return self._cells[place.row] == place.first and self._cells[place.row + 1] == place.second

    def _place(self, app: str) -> _Place:
        """Where this app's numbers are. They are found again if another app has got the row in the meantime."""
        if self._pid != os.getpid():
            # Another process has another column.
            self._places, self._slot, self._pid = {}, self._own_slot(), os.getpid()
        place = self._places.get(app)
        if place is not None and (not self._cells[_WAS_FULL_AT] or self._is_of(place)):
            return place
        digest = hashlib.blake2b(app.encode(), digest_size=16).digest()
        first, second = (int.from_bytes(half, "little", signed=True) for half in (digest[:8], digest[8:]))
        start = int.from_bytes(digest[:4], "little") % _ROWS
        for step in range(_ROWS):
            row = _ROWS_AT + (start + step) % _ROWS * _ROW_CELLS
            found = self._cells[row], self._cells[row + 1]
            if found in ((first, second), (0, 0)):
                break
        else:
            row = self._emptied(start)
        self._cells[row], self._cells[row + 1] = first, second
        under_way = (row + _UNDER_WAY_AT) * _SLOTS_PER_CELL
        place = self._places[app] = _Place(first, second, row, under_way, under_way + self._slot)
        return place

    def _emptied(self, start: int) -> int:
        """The row of an app that was longest without a request: its app was most likely removed long ago."""
        rows = [_ROWS_AT + (start + step) % _ROWS * _ROW_CELLS for step in range(_ROWS)]
        row = min(rows, key=lambda one: max(self._times[one + _BEGUN_AT : one + _UNDER_WAY_AT]))
        self._cells[_WAS_FULL_AT] = 1
        for cell in range(row, row + _ROW_CELLS):
            self._cells[cell] = 0
        return row

    def _own_slot(self) -> int:
        """A column for this process: one that nobody has, or whose process is gone."""
        pid = os.getpid()
        owners = self._cells[_PIDS_AT:_ROWS_AT].tolist()
        slot = next((index for index, owner in enumerate(owners) if owner in (0, pid) or not _is_alive(owner)), None)
        if slot is None:
            raise RuntimeError("more processes count requests than there are places for")
        if owners[slot]:
            self._forget(slot)
        self._cells[_PIDS_AT + slot] = pid
        self._cells[_TAKEN_AT] = max(self._cells[_TAKEN_AT], slot + 1)
        return slot

    def _forget(self, slot: int) -> None:
        """Take what a process that is gone had under way out of all rows."""
        for index in range(_ROWS):
            self._under_way[(_ROWS_AT + index * _ROW_CELLS + _UNDER_WAY_AT) * _SLOTS_PER_CELL + slot] = 0

    def _without_the_dead(self, place: _Place) -> int:
        """How many are under way, once those of processes that were killed are taken out."""
        first = place.under_way
        for slot in range(self._cells[_TAKEN_AT]):
            if self._under_way[first + slot] and not _is_alive(self._cells[_PIDS_AT + slot]):
                self._under_way[first + slot] = 0
        return sum(self._under_way[first : first + self._cells[_TAKEN_AT]])


def nearest(found: Sequence[tuple[int, int, float]]) -> Counted:
    """Of (limit, remaining, seconds left) of several windows, the one that will refuse first."""
    least = found[0]
    for one in found:
        if one[1] < least[1] or (one[1] == least[1] and one[2] > least[2]):
            least = one
    return Counted(*least)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
