"""Counting: exact over threads and processes, and never more than was allowed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.app import Limits, Window
from moderation_service.web.rate_limits import Counted, SharedCounters

_fork = multiprocessing.get_context("fork")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters(clock: Clock) -> Iterator[SharedCounters]:
    made = SharedCounters(clock=clock)
    yield made
    made.close()


def windows(**limits: int) -> Any:
    return Limits(**limits).windows


def enters(counters: SharedCounters, app: str, most: int) -> bool:
    return counters.enter(app, (), most)[0]


def test_a_window_begins_with_its_first_request_and_is_empty_when_it_has_ended(
    counters: SharedCounters, clock: Clock
) -> None:
    two = windows(per_minute=2)
    assert counters.take("a", two) == Counted(2, 1, 60.0)
    clock.now += 59
    assert counters.take("a", two) == Counted(2, 0, 1.0)
    assert counters.take("a", two) == Counted(2, 0, 1.0, over=Window.MINUTE)
    clock.now += 1
    assert counters.take("a", two) == Counted(2, 1, 60.0)


def test_the_nearest_limit_is_told(counters: SharedCounters) -> None:
    assert counters.take("a", windows(per_second=10, per_minute=3)) == Counted(3, 2, 60.0)


def test_nothing_is_charged_for_a_refused_request(counters: SharedCounters, clock: Clock) -> None:
    both = windows(per_second=1, per_day=3)
    for _ in range(3):
        found = [counters.take("a", both) for _ in range(5)]
        assert [one is not None and one.over for one in found] == [None, *[Window.SECOND] * 4]
        clock.now += 1
    last = counters.take("a", both)
    assert last is not None
    assert last.over is Window.DAY


def test_a_batch_is_counted_whole_or_not_at_all(counters: SharedCounters) -> None:
    five = windows(per_day=5)
    assert counters.take("a", five, 3) == Counted(5, 2, 86400.0)
    assert counters.take("a", five, 3) == Counted(5, 2, 86400.0, over=Window.DAY)
    assert counters.take("a", five, 2) == Counted(5, 0, 86400.0)


@given(
    limits=st.builds(Limits, per_second=st.integers(1, 5), per_minute=st.integers(1, 9), per_day=st.integers(1, 12)),
    steps=st.lists(st.tuples(st.floats(0, 40), st.integers(1, 3)), max_size=60),
)
def test_no_window_ever_lets_more_through_than_its_limit(limits: Limits, steps: list[tuple[float, int]]) -> None:
    clock, counted = Clock(), []
    counters = SharedCounters(clock=clock)
    try:
        for pause, cost in steps:
            clock.now += pause
            found = counters.take("a", limits.windows, cost)
            assert found is not None
            assert 0 <= found.remaining < found.limit or found.over is not None
            assert 0 < found.reset_s <= Window.DAY.value
            if found.over is None:
                counted.append((clock.now, cost))
    finally:
        counters.close()
    for window, most in limits.windows:
        # Fixed windows begin with a request: from there to its end no more than the limit.
        begun = None
        for at, cost in counted:
            if begun is None or at >= begun + window.value:
                begun, used = at, 0
            used += cost
            assert used <= most


def in_processes(count: int, work: Callable[[], int]) -> list[int]:
    with contextlib.closing(_fork.SimpleQueue()) as results:
        processes = [_fork.Process(target=lambda: results.put(work())) for _ in range(count)]
        for one in processes:
            one.start()
        found = [results.get() for _ in processes]
        for one in processes:
            one.join()
        return found


def test_two_processes_with_threads_let_exactly_the_limit_through() -> None:
    counters, hundred, both = SharedCounters(), windows(per_day=100), _fork.Barrier(2)

    def work() -> int:
        found = []
        with ThreadPoolExecutor(4) as pool:
            # Neither is through before the other has begun.
            for requests in (30, 70):
                both.wait(20)
                found += pool.map(lambda _: counters.take("a", hundred), range(requests))
        return sum(one is not None and one.over is None for one in found)

    try:
        found = in_processes(2, work)
        assert sum(found) == 100
        assert min(found) >= 30
    finally:
        counters.close()


def test_what_is_under_way_is_counted_over_processes(counters: SharedCounters) -> None:
    assert enters(counters, "a", 2)
    assert in_processes(1, lambda: int(enters(counters, "a", 2))) == [1]
    assert enters(counters, "b", 1)
    counters.leave("b")
    assert enters(counters, "b", 1)


def killed_with(counters: SharedCounters, app: str, count: int) -> None:
    """A process that is killed while so many requests of an app are under way in it."""
    ready, wait = _fork.Event(), threading.Event()

    def enter_and_stay() -> None:
        for _ in range(count):
            enters(counters, app, count)
        ready.set()
        wait.wait()

    process = _fork.Process(target=enter_and_stay)
    process.start()
    assert ready.wait(20)
    assert not enters(counters, app, count)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def test_a_killed_process_leaves_nothing_under_way_and_nothing_locked(counters: SharedCounters) -> None:
    killed_with(counters, "a", 1)
    assert enters(counters, "a", 1)
    assert not enters(counters, "a", 1)
    counters.leave("a")
    assert enters(counters, "a", 1)


def test_the_process_that_takes_a_killed_ones_place_takes_its_requests_out(counters: SharedCounters) -> None:
    killed_with(counters, "a", 3)
    assert enters(counters, "a", 4)
    assert [enters(counters, "a", 4) for _ in range(4)] == [True, True, True, False]


def test_more_apps_than_there_are_places_for_are_counted_all_the_same(counters: SharedCounters, clock: Clock) -> None:
    one = windows(per_day=1)
    for number in range(2100):
        clock.now += 0.001
        found = counters.take(f"app-{number}", one)
        assert found is not None
        assert found.over is None
    last = counters.take("app-2099", one)
    assert last is not None
    assert last.over is Window.DAY


def test_a_request_over_a_window_is_not_under_way_and_one_too_many_at_once_is_not_counted(
    counters: SharedCounters,
) -> None:
    two = windows(per_minute=2)
    assert counters.enter("a", two, 1) == (True, Counted(2, 1, 60.0))
    assert counters.enter("a", two, 1) == (False, None)
    counters.leave("a")
    assert counters.enter("a", two, 1) == (True, Counted(2, 0, 60.0))
    counters.leave("a")
    assert counters.enter("a", two, 1) == (True, Counted(2, 0, 60.0, over=Window.MINUTE))
    assert enters(counters, "a", 1)


def test_threads_that_enter_and_leave_at_once_lose_no_count() -> None:
    counters = SharedCounters()

    def work() -> int:
        def come_and_go(_: int) -> int:
            has_place = enters(counters, "a", 1000)
            counters.leave("a")
            return has_place

        with ThreadPoolExecutor(4) as pool:
            return sum(pool.map(come_and_go, range(400)))

    try:
        assert in_processes(2, work) == [400, 400]
        assert [enters(counters, "a", 2) for _ in range(3)] == [True, True, False]
    finally:
        counters.close()
