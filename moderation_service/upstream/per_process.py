"""A part that every process makes for itself: connections, threads and locks do not survive a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerProcess"]

_Part = TypeVar("_Part")

_making = threading.Lock()


def _renew_lock() -> None:
    global _making
    _making = threading.Lock()


# Another thread of the parent may have held it while the process was forked.
os.register_at_fork(after_in_child=_renew_lock)


class PerProcess(Generic[_Part]):
    """Makes the part on the first call in a process. What a parent left behind is not touched: it is the parent's."""

    def __init__(self, make: Callable[[], _Part]) -> None:
        self._make = make
        self._made: tuple[int, _Part] | None = None

    @property
    def known(self) -> _Part | None:
        """The part that was made last, in this process or before it was forked; to look at only."""
        return None if self._made is None else self._made[1]

    def here(self) -> _Part:
        """This process's part."""
        made = self._made
        if made is None or made[0] != os.getpid():
            with _making:
                made = self._made
                if made is None or made[0] != os.getpid():
                    made = self._made = (os.getpid(), self._make())
        return made[1]

    def take(self) -> _Part | None:
        """This process's part, to be closed, or None if it has none; a later call makes another."""
        made, self._made = self._made, None
        return made[1] if made is not None and made[0] == os.getpid() else None
