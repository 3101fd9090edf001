"""A budget for the bodies of requests that are on their way or wait."""

from __future__ import annotations

import threading

__all__ = ["BodyMemory"]


class BodyMemory:
    """So many bytes that all connections of a worker share; used by the poller and by threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take this much; False, and nothing is taken, if there is not so much left."""
        with self._lock:
            if self._held_bytes + size > self._limit_bytes:
                return False
            self._held_bytes += size
            return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._held_bytes -= size
