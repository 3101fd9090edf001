"""Few threads are awake, and still nobody waits for one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from moderation_service.upstream.crew import Crew, Pausing

THREADS = 6
AWAKE = 2
WAIT_S = 10


class Hands:
    """The threads of a crew. Each says what it has come to, and does what it is told next."""

    def __init__(self) -> None:
        self.all_busy = 0
        self.crew = Crew(awake=AWAKE, on_all_busy=self._on_all_busy)
        self.said: queue.Queue[tuple[str, Hand]] = queue.Queue()
        self.hands = [Hand(self) for _ in range(THREADS)]

    def _on_all_busy(self) -> None:
        self.all_busy += 1

    def next(self, what: str, count: int = 1) -> list[Hand]:
        """The next so many threads that have come to this."""
        found = [self.said.get(timeout=WAIT_S) for _ in range(count)]
        assert {said for said, _ in found} == {what}
        return [hand for _, hand in found]

    def until_asleep(self, count: int) -> None:
        while self.crew.asleep < count:
            assert self.said.empty()
        assert self.crew.asleep == count

    def settled(self) -> list[Hand]:
        """Those that wait for a request once all others are asleep."""
        waiting = self.next("waits", AWAKE)
        self.until_asleep(THREADS - AWAKE)
        return waiting


class Hand(threading.Thread):
    def __init__(self, hands: Hands) -> None:
        super().__init__()
        self._crew, self._said = hands.crew, hands.said
        self._orders: queue.Queue[Callable[[], object]] = queue.Queue()
        self._wait_over = threading.Event()
        self.start()

    def run(self) -> None:
        while self._crew.enter():
            self._said.put(("waits", self))
            self._orders.get()()

    def answer(self, request: Callable[[], object] = lambda: None) -> None:
        """Tell it that it got this request."""

        def serve() -> None:
            self._crew.begin()
            self._said.put(("runs", self))
            request()
            self._crew.finish()

        self._orders.put(serve)

    def pause(self) -> None:
        with Pausing():
            self._said.put(("pauses", self))
            assert self._wait_over.wait(WAIT_S)
        self._said.put(("resumes", self))

    def go_on(self) -> None:
        self._wait_over.set()

    def leave(self) -> None:
        self._orders.put(lambda: None)


@pytest.fixture
def hands() -> Iterator[Hands]:
    made = Hands()
    yield made
    made.crew.end()
    for hand in made.hands:
        hand.go_on()
        hand.leave()
    for hand in made.hands:
        hand.join(WAIT_S)
        assert not hand.is_alive()


def test_two_wait_for_requests_and_the_others_sleep(hands: Hands) -> None:
    hands.settled()
    assert hands.all_busy == 0


def test_who_is_done_waits_for_the_next_request_and_nobody_is_woken(hands: Hands) -> None:
    first, _ = hands.settled()
    for _ in range(3):
        first.answer()
        hands.next("runs")
        assert hands.next("waits") == [first]
    hands.until_asleep(THREADS - AWAKE)
    assert hands.all_busy == 0


def test_when_all_that_are_awake_wait_for_something_else_another_one_wakes_up(hands: Hands) -> None:
    first, second = hands.settled()
    first.answer(first.pause)
    assert hands.next("runs") == hands.next("pauses") == [first]
    # The second one still waits for requests, so nobody is needed.
    hands.until_asleep(THREADS - AWAKE)
    second.answer(second.pause)
    assert hands.next("runs") == hands.next("pauses") == [second]
    assert hands.next("waits")[0] not in (first, second)
    hands.until_asleep(THREADS - AWAKE - 1)


def test_who_comes_back_to_enough_others_goes_to_sleep(hands: Hands) -> None:
    first, second = hands.settled()
    for hand in (first, second):
        hand.answer(hand.pause)
        hands.next("runs")
        hands.next("pauses")
    third = hands.next("waits")[0]
    first.go_on()
    assert hands.next("resumes") == hands.next("waits") == [first]
    second.go_on()
    assert hands.next("resumes") == [second]
    # The first and the third wait already.
    hands.until_asleep(THREADS - AWAKE)
    assert third not in (first, second)


def test_requests_that_take_long_without_a_pause_are_relieved(hands: Hands) -> None:
    is_over = threading.Event()
    try:
        for hand in hands.settled():
            hand.answer(is_over.wait)
        hands.next("runs", AWAKE)
        assert hands.all_busy == 1
        hands.until_asleep(THREADS - AWAKE)
        # The first time it only learns how far they are.
        assert hands.crew.relieve()
        hands.crew.relieve()
        hands.next("waits", THREADS - AWAKE)
        assert not hands.crew.relieve()
    finally:
        is_over.set()


def test_one_is_woken_when_requests_go_on_for_long_with_pauses_but_nobody_takes_new_ones(hands: Hands) -> None:
    is_over = threading.Event()
    first, second = hands.settled()
    try:
        second.answer(is_over.wait)
        hands.next("runs")
        first.answer(lambda: (first.pause(), is_over.wait()))
        hands.next("runs")
        hands.next("pauses")
        hands.crew.relieve()
        hands.until_asleep(THREADS - AWAKE)
        first.go_on()
        hands.next("resumes")
        hands.crew.pause()  # somebody got further
        hands.crew.resume()
        hands.crew.relieve()
        hands.next("waits")
        hands.until_asleep(THREADS - AWAKE - 1)
        assert not hands.crew.relieve()
    finally:
        is_over.set()


def test_nobody_is_woken_while_requests_come_to_an_end(hands: Hands) -> None:
    is_over = threading.Event()
    first, second = hands.settled()
    try:
        second.answer(is_over.wait)
        hands.next("runs")
        for _ in range(3):
            first.answer()
            hands.next("runs")
            hands.next("waits")
            hands.crew.relieve()
        hands.until_asleep(THREADS - AWAKE)
    finally:
        is_over.set()


def test_a_pause_in_a_thread_of_no_crew_is_just_that() -> None:
    with Pausing():
        pass


def test_an_error_within_a_pause_ends_the_pause(hands: Hands) -> None:
    first, _ = hands.settled()

    def fail() -> None:
        with pytest.raises(KeyError), Pausing():
            raise KeyError

    for _ in range(3):
        first.answer(fail)
        assert hands.next("runs") == hands.next("waits") == [first]
    hands.until_asleep(THREADS - AWAKE)
