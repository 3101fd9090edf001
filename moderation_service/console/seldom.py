"""What costs too much to be done at every click."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

__all__ = ["Seldom"]


class Seldom:
    """Due once in so many seconds, in this process. Safe under threads."""

    def __init__(self, interval_s: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0

    def is_due(self) -> bool:
        """Whether it is to be done now; whoever is told so does it."""
        with self._lock:
            now = self._clock()
            if now < self._next:
                return False
            self._next = now + self._interval_s
            return True
