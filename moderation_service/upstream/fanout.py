"""A bound on the calls under way in one process, and the use of several of them for one request.

There is no queue: a request that finds no free slot is refused at once (429). A request with many parts (a batch, a
long text) works on them in its own thread and in as many helpers as there are slots free at that moment. What nobody
waits for (`aside`) takes no slot, and begins only while half of them are free.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Generic, TypeVar

from ..errors import Overloaded

__all__ = ["FanOut"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class FanOut:
    """`slots` calls at most; one request uses at most `per_request` of them."""

    def __init__(self, *, slots: int, per_request: int) -> None:
        self.limit = slots
        self._free = slots
        self._counting = threading.Lock()
        self._per_request = per_request
        self._aside = threading.local()
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A slot for the calling thread. Raises Overloaded when none is free."""
        if not self._take():
            raise Overloaded(f"This process already waits for {self.limit} verdicts, its limit.", retry_after_s=1.0)
        try:
            yield
        finally:
            self._give_back()

    @contextmanager
    def aside(self) -> Iterator[bool]:
        """Let the calling thread work without a slot and without helpers; false where it should not, as others do."""
        with self._counting:
            has_room = 2 * self._free > self.limit
        self._aside.is_on = has_room
        try:
            yield has_room
        finally:
            self._aside.is_on = False

    def _take(self) -> bool:
        """Take a slot if there is a free one."""
        if getattr(self._aside, "is_on", False):
            return False
        with self._counting:
            if self._free == 0:
                return False
            self._free -= 1
        return True

    def _give_back(self) -> None:
        with self._counting:
            self._free += 1

    def run(self, function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        """`function` of every item, in order, by the calling thread, which holds a slot, and helpers.

        The first exception is raised once all parts that had begun are over; parts not begun are then left out.
        """
        work = _Work(function, items)
        helpers: list[Future[None]] = []
        for _ in range(min(len(items), self._per_request) - 1):
            if not self._take():
                break
            # In the caller's context: what a helper asks belongs to the same request, and so to its trace.
            helpers.append(self._pool().submit(copy_context().run, self._help, work))
        work.run()
        for helper in helpers:
            # A helper that never began has no slot to give back of its own accord.
            if helper.cancel():
                self._give_back()
                continue
            helper.result()
        return work.results()

    def lend(self, function: Callable[[], None]) -> bool:
        """Have a helper run this beside the calling thread, which holds a slot; False when no slot is free."""
        if not self._take():
            return False

        def run() -> None:
            try:
                function()
            finally:
                self._give_back()

        try:
            self._pool().submit(copy_context().run, run)
        except RuntimeError:  # the process ends, or has no room for another thread
            self._give_back()
            return False
        return True

    def close(self) -> None:
        """End the helper threads."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=False)

    def _help(self, work: _Work[_Item, _Result]) -> None:
        try:
            work.run()
        finally:
            self._give_back()

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max_workers=self.limit, thread_name_prefix="windows")
            return self._executor


class _Work(Generic[_Item, _Result]):
    """Items that several threads take from, one at a time."""

    def __init__(self, function: Callable[[_Item], _Result], items: Sequence[_Item]) -> None:
        self._function = function
        self._items = items
        self._next = iter(range(len(items)))
        self._lock = threading.Lock()
        self._results: dict[int, _Result] = {}
        self._error: BaseException | None = None

    def run(self) -> None:
        while True:
            with self._lock:
                index = None if self._error is not None else next(self._next, None)
            if index is None:
                return
            try:
                result = self._function(self._items[index])
            except BaseException as error:
                with self._lock:
                    self._error = self._error or error
                return
            with self._lock:
                self._results[index] = result

    def results(self) -> list[_Result]:
        if self._error is not None:
            raise self._error
        return [self._results[index] for index in range(len(self._items))]
