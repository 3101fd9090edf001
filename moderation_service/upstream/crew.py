"""How many threads are awake: enough that nobody waits for one, but not so many that they wait for each other.

Only one thread of an interpreter runs at a time. If every request that arrives wakes a thread of its own, dozens of
them queue for the interpreter's lock, which knows no order and costs two switches of threads each time. Here a few
are awake, and a thread that begins to wait for something else (a model server) lets another one wake up. Windows'
completion ports work like that. The requests queue where they are first come, first served: in the kernel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Crew", "Pausing"]

_RELIEF = 4


class Crew:
    """The threads that serve requests. Each is asleep, or waits for a request, or runs, or pauses.

    At most `awake` wait or run, besides those that come back from a pause.

    `on_all_busy` is called when the last thread that waited got a request while others are asleep. From then on
    `relieve` is to be called every few milliseconds until it returns False: those that run may take long, or wait for
    something without saying so.
    """

    def __init__(self, *, awake: int, on_all_busy: Callable[[], None]) -> None:
        self._awake = awake
        self._on_all_busy = on_all_busy
        self._lock = threading.Lock()
        self._waiting = 0
        self._running = 0
        self._steps = 0
        self._steps_before = 0
        self._begun = 0
        self._begun_before = 0
        self._asleep: list[threading.Lock] = []
        self._has_ended = False

    @property
    def asleep(self) -> int:
        """How many threads are asleep."""
        return len(self._asleep)

    def enter(self) -> bool:
        """Return when the calling thread shall wait for a request; False at the end."""
        _local.crew = self
        with self._lock:
            if self._has_ended:
                return False
            if self._running + self._waiting < self._awake:
                self._waiting += 1
                return True
            alarm = threading.Lock()
            alarm.acquire()
            self._asleep.append(alarm)
        alarm.acquire()
        return not self._has_ended

    def begin(self) -> None:
        """The calling thread, which waited, has got a request."""
        with self._lock:
            self._waiting -= 1
            self._running += 1
            self._begun += 1
            is_last = self._waiting == 0 and bool(self._asleep)
        if is_last:
            self._on_all_busy()

    def finish(self) -> None:
        """The calling thread is done with its request."""
        with self._lock:
            self._running -= 1
            self._steps += 1

    def pause(self) -> None:
        """The calling thread begins to wait for something else; if nobody else is awake, another one wakes up."""
        with self._lock:
            self._running -= 1
            self._steps += 1
            if self._running == 0 and self._waiting == 0:
                self._wake(1)

    def resume(self) -> None:
        """The calling thread goes on."""
        with self._lock:
            self._running += 1

    def relieve(self) -> bool:
        """Wake a few if nobody waits and nobody got any further since the last call. False if that can't be needed.

        One is woken if others got further, but nobody with a new request: long ones such as streams can pause and go on
        for minutes without a moment at which none of them runs.
        """
        with self._lock:
            is_unattended = self._waiting == 0 and bool(self._asleep)
            if is_unattended and self._steps == self._steps_before:
                self._wake(_RELIEF)
            elif is_unattended and self._begun == self._begun_before:
                self._wake(1)
            self._steps_before, self._begun_before = self._steps, self._begun
            return is_unattended

    def end(self) -> None:
        """Wake all, for good."""
        with self._lock:
            self._has_ended = True
            self._wake(len(self._asleep))

    def _wake(self, count: int) -> None:
        """Wake the threads that fell asleep last; the lock is held."""
        for _ in range(min(count, len(self._asleep))):
            self._waiting += 1
            self._asleep.pop().release()


class _Local(threading.local):
    crew: Crew | None = None


_local = _Local()


class Pausing:
    """Around whatever may take long without the interpreter: in a thread of a crew, another may run meanwhile."""

    __slots__ = ("_crew",)

    def __enter__(self) -> None:
        self._crew = _local.crew
        if self._crew is not None:
            self._crew.pause()

    def __exit__(self, *error: object) -> None:
        if self._crew is not None:
            self._crew.resume()
