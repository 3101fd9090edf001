"""The queue in front of the threads: in order, bounded in number and in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from moderation_service.server.thread_pool import ThreadPool


class Waiting:
    """As much of an exchange as the queue needs."""

    def __init__(self) -> None:
        self.since = 0.0


class Crowd:
    """A pool with one thread, which waits before it answers until it is let go."""

    def __init__(self, *, places: int, patience_s: float) -> None:
        self.answered: list[Any] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.pool = ThreadPool("crowd", self._answer, threads=1, places=places, patience_s=patience_s)
        self.pool.start()

    def _answer(self, exchange: Any) -> None:
        self.entered.release()
        assert self.go.acquire(timeout=30)
        self.answered.append(exchange)

    def offer(self, exchange: Any) -> bool:
        return self.pool.offer(exchange)


@pytest.fixture(params=[(2, 30.0), (50, 0.0)])
def crowd(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    places, patience_s = request.param
    made = Crowd(places=places, patience_s=patience_s)
    yield made
    made.pool.end()
    made.go.release(100)
    for thread in threading.enumerate():
        if thread.name.startswith("crowd"):
            thread.join(30)


@pytest.mark.parametrize("crowd", [(2, 30.0)], indirect=True)
def test_those_that_wait_are_answered_in_order_and_no_more_than_there_are_places_for(crowd: Crowd) -> None:
    exchanges = [Waiting() for _ in range(4)]
    assert crowd.offer(exchanges[0])
    assert crowd.entered.acquire(timeout=30)
    assert not crowd.pool.has_waiting()
    assert [crowd.offer(one) for one in exchanges[1:]] == [True, True, False]
    assert crowd.pool.has_waiting()
    assert crowd.pool.overdue(most=9) == []
    crowd.go.release(3)
    for _ in range(2):
        assert crowd.entered.acquire(timeout=30)
    assert crowd.offer(exchanges[3])
    crowd.go.release()
    assert crowd.entered.acquire(timeout=30)
    crowd.pool.end()
    for thread in threading.enumerate():
        if thread.name.startswith("crowd"):
            thread.join(30)
    assert crowd.answered == exchanges


@pytest.mark.parametrize("crowd", [(50, 0.0)], indirect=True)
def test_those_that_waited_for_too_long_are_given_back_once(crowd: Crowd) -> None:
    busy, late, later = Waiting(), Waiting(), Waiting()
    assert crowd.offer(busy)
    assert crowd.entered.acquire(timeout=30)
    assert crowd.offer(late)
    assert crowd.offer(later)
    assert crowd.pool.overdue(most=1) == [late]
    assert crowd.pool.overdue(most=9) == [later]
    assert crowd.pool.overdue(most=9) == []
    crowd.go.release(3)
    crowd.pool.end()
    for thread in threading.enumerate():
        if thread.name.startswith("crowd"):
            thread.join(30)
    assert crowd.answered == [busy]


def test_of_free_threads_the_one_that_was_busy_last_is_woken() -> None:
    answered_by: list[str] = []
    answered = threading.Semaphore(0)

    def answer(exchange: Any) -> None:
        answered_by.append(threading.current_thread().name)
        answered.release()

    pool = ThreadPool("few", answer, threads=3, places=10, patience_s=30.0)
    pool.start()
    for _ in range(20):
        pool.offer(Waiting())  # type: ignore[arg-type]
        assert answered.acquire(timeout=30)
        while not pool.is_idle():
            pass
    pool.end()
    # A thread is free a moment after it has answered, so that another one may have been woken now and then.
    assert max(map(answered_by.count, answered_by)) > 10


def test_what_waits_is_answered_in_the_order_in_which_it_came() -> None:
    answered: list[Any] = []
    is_done = threading.Event()
    exchanges = [Waiting() for _ in range(200)]

    def answer(exchange: Any) -> None:
        answered.append(exchange)
        if len(answered) == len(exchanges):
            is_done.set()

    pool = ThreadPool("one", answer, threads=1, places=1000, patience_s=30.0)
    for exchange in exchanges[:100]:
        pool.offer(exchange)  # type: ignore[arg-type]
    pool.start()
    for exchange in exchanges[100:]:
        pool.offer(exchange)  # type: ignore[arg-type]
    assert is_done.wait(30)
    pool.end()
    assert answered == exchanges


def test_every_thread_ends() -> None:
    before = set(threading.enumerate())
    pool = ThreadPool("many", lambda exchange: None, threads=8, places=100, patience_s=30.0)
    pool.start()
    for _ in range(50):
        pool.offer(Waiting())  # type: ignore[arg-type]
    pool.end()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()
