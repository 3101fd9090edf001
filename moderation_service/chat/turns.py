"""How many may do something at once, in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Turns"]


class Turns:
    """Like a semaphore, but fair: a turn that ends goes to who has waited longest, and nobody pushes in."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        with self._lock:
            return len(self._waiting)

    def try_take(self) -> bool:
        """Take a turn if there is one at once."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def take(self) -> None:
        """Take a turn, after all who wait already."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def give_back(self) -> None:
        """End a turn."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
