"""Threads that answer requests, and the bounded queue in front of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from time import monotonic

from .exchange import Exchange

__all__ = ["ThreadPool"]


class ThreadPool:
    """`answer` is called for each exchange by one of the threads, in the order in which they came.

    At most `places` wait, and none for longer than `patience_s`: under more load than there is room for, those that
    are taken are answered about as quickly as ever, and the others know at once.
    """

    def __init__(
        self, name: str, answer: Callable[[Exchange], None], *, threads: int, places: int, patience_s: float
    ) -> None:
        self._answer = answer
        self._places = places
        self._patience_s = patience_s
        self._queue: SimpleQueue[Exchange | None] = SimpleQueue()
        # Who takes an exchange out of here, in one step, is the only one to touch it. In order of arrival.
        self._waiting: dict[Exchange, None] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let the threads end, each after what it is doing."""
        for _ in self._threads:
            self._queue.put(None)

    def has_waiting(self) -> bool:
        """Whether an exchange waits for a thread."""
        return bool(self._waiting)

    def offer(self, exchange: Exchange) -> bool:
        """Take an exchange in; False if there is no place."""
        if len(self._waiting) >= self._places:
            return False
        exchange.since = monotonic()
        self._waiting[exchange] = None
        self._queue.put(exchange)
        return True

    def overdue(self) -> Iterator[Exchange]:
        """Take out those that have waited for too long."""
        latest = monotonic() - self._patience_s
        while self._waiting:
            try:
                first = next(iter(self._waiting))
            except (StopIteration, RuntimeError):
                return  # a thread took one out at this very moment
            if first.since > latest:
                return
            if self._waiting.pop(first, self) is None:
                yield first

    def _work(self) -> None:
        while (exchange := self._queue.get()) is not None:
            if self._waiting.pop(exchange, self) is None:
                self._answer(exchange)
