"""Threads that answer requests, and the bounded queue in front of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from ..observability.logs import write_access_lines
from .exchange import Exchange

__all__ = ["ThreadPool"]

# The time is what keeps replies quick under overload; the count bounds the memory, and must be well above what an
# uneven moment brings.
_PLACES_PER_THREAD = 4
_PATIENCE_S = 0.5
_ASIDE_THREADS = 2
_ASIDE_PLACES = 32
_ASIDE_PATIENCE_S = 5.0


class _Seat:
    """Where one thread waits for an exchange of its own; None is the end."""

    __slots__ = ("_given", "_is_given")

    def __init__(self) -> None:
        self._is_given = threading.Lock()
        self._is_given.acquire()
        self._given: Exchange | None = None

    def give(self, exchange: Exchange | None) -> None:
        self._given = exchange
        self._is_given.release()

    def wait(self) -> Exchange | None:
        self._is_given.acquire()
        return self._given


class ThreadPool:
    """`answer` is called for each exchange by one of the threads, in the order in which they came.

    Of several threads that are free the one that was busy last is woken: what it needs is still in the caches, and
    those that are not needed keep no memory of earlier work.

    At most `places` wait, and none for longer than `patience_s`: under more load than there is room for, those that
    are taken are answered about as quickly as ever, and the others know at once.
    """

    def __init__(
        self, name: str, answer: Callable[[Exchange], None], *, threads: int, places: int, patience_s: float
    ) -> None:
        self._answer = answer
        self._places = places
        self._patience_s = patience_s
        # Nothing is in the queue while a thread is free, and no thread is free while something is in it.
        self._lock = threading.Lock()
        self._queue: deque[Exchange | None] = deque()
        self._free: list[_Seat] = []
        # Who takes an exchange out of here, in one step, is the only one to touch it. In order of arrival.
        self._waiting: dict[Exchange, None] = {}
        self._running: dict[Exchange, None] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]

    @classmethod
    def for_requests(cls, answer: Callable[[Exchange], None], *, threads: int) -> ThreadPool:
        """The threads that judge."""
        return cls("request", answer, threads=threads, places=threads * _PLACES_PER_THREAD, patience_s=_PATIENCE_S)

    @classmethod
    def aside(cls, answer: Callable[[Exchange], None]) -> ThreadPool:
        """A few more for `/metrics` and the like, which is answered whatever the others do."""
        return cls("aside", answer, threads=_ASIDE_THREADS, places=_ASIDE_PLACES, patience_s=_ASIDE_PATIENCE_S)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let the threads end, each after what it is doing."""
        for _ in self._threads:
            self._put(None)

    def has_waiting(self) -> bool:
        """Whether an exchange waits for a thread."""
        return bool(self._waiting)

    def is_idle(self) -> bool:
        """Whether no exchange waits or is being answered."""
        return not self._running and not self._waiting

    def offer(self, exchange: Exchange) -> bool:
        """Take an exchange in; False if there is no place."""
        if len(self._waiting) >= self._places:
            return False
        exchange.since = monotonic()
        self._waiting[exchange] = None
        self._put(exchange)
        return True

    def overdue(self, *, most: int) -> list[Exchange]:
        """Take out those that have waited for too long, at most so many at once."""
        latest = monotonic() - self._patience_s
        found: list[Exchange] = []
        while len(found) < most:
            try:
                first = next(iter(self._waiting))
            except (StopIteration, RuntimeError):
                break  # none is left, or a thread took one out at this very moment
            if first.since > latest:
                break
            if self._waiting.pop(first, self) is None:
                found.append(first)
        return found

    def _put(self, exchange: Exchange | None) -> None:
        with self._lock:
            seat = self._free.pop() if self._free else None
            if seat is None:
                self._queue.append(exchange)
        if seat is not None:
            seat.give(exchange)

    def _next(self, seat: _Seat) -> Exchange | None:
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self._free.append(seat)
        return seat.wait()

    def _work(self) -> None:
        seat = _Seat()
        while (exchange := self._next(seat)) is not None:
            if self._waiting.pop(exchange, self) is None:
                self._running[exchange] = None
                self._answer(exchange)
                del self._running[exchange]
                if self.is_idle():
                    write_access_lines()
