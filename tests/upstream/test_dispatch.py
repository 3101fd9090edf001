"""Which server is asked, and what becomes of a question to one that takes long."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.engine import Deadline
from moderation_service.errors import DeadlineExceeded, EngineUnavailable, Overloaded
from moderation_service.upstream.client import FailureKind, PromptTooLong, UpstreamFailure
from moderation_service.upstream.dispatch import Dispatch
from moderation_service.upstream.fanout import FanOut
from moderation_service.upstream.hedging import current_hedge
from moderation_service.upstream.replicas import Replica, ReplicaSet, probe_pauses

Ask = Callable[[float], str]


class Named:
    """A server that answers as a test says, by name."""

    def __init__(self, name: str, answers: dict[str, Ask]) -> None:
        self.name = name
        self._answers = answers

    def ask(self, timeout_s: float) -> str:
        return self._answers[self.name](timeout_s)

    def learn_again(self, *, timeout_s: float) -> None:
        self.ask(timeout_s)

    def forget(self) -> None: ...

    def close(self) -> None: ...


class Fleet:
    """Servers a, b, ... in one process; `answers` says what each does, `asked` which were asked, in order."""

    def __init__(self, size: int, *, slots: int = 16, most: int | None = None) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.answers: dict[str, Ask] = {name: lambda timeout_s, name=name: name for name in "abcd"[:size]}
        servers = [Replica(name, Named(name, self.answers)) for name in self.answers]
        places = None if most is None else lambda: most
        self.replicas = ReplicaSet(servers, timeout_s=1.0, clock=lambda: self.now, most=places)
        self.fanout = FanOut(slots=slots, per_request=8)
        self.dispatch = Dispatch(self.replicas, self.fanout, timeout_s=60.0)

    def ask(self, within_s: float = 30.0, **options: object) -> str:
        def ask(server: Named, timeout_s: float) -> str:
            self.asked.append(server.name)
            return server.ask(timeout_s)

        with self.fanout.slot():
            return self.dispatch.call(ask, Deadline.after(within_s), **options)  # type: ignore[arg-type]


@pytest.fixture
def fleet() -> Iterator[Callable[..., Fleet]]:
    made: list[Fleet] = []

    def make(size: int, **options: int) -> Fleet:
        made.append(Fleet(size, **options))
        return made[-1]

    yield make
    for one in made:
        one.replicas.close()
        one.fanout.close()


def overloaded(pause_s: float) -> Ask:
    def ask(timeout_s: float) -> str:
        raise UpstreamFailure(FailureKind.OVERLOADED, EngineUnavailable("busy", retry_after_s=pause_s), pause_s=pause_s)

    return ask


def broken(kind: FailureKind) -> Ask:
    def ask(timeout_s: float) -> str:
        raise UpstreamFailure(kind, EngineUnavailable("broken"))

    return ask


# A server that asked to be left alone.


def test_a_server_that_asked_for_a_pause_gets_it_while_another_can_answer(fleet) -> None:
    two = fleet(2)
    two.answers["a"] = overloaded(30)
    assert [two.ask() for _ in range(9)] == ["b"] * 9
    two.now = 29.9
    two.ask()
    assert two.asked.count("a") == 1


def test_without_a_pause_asked_for_a_refusal_has_no_consequence(fleet) -> None:
    two = fleet(2)
    two.answers["a"] = overloaded(0)
    for _ in range(6):
        two.ask()
    assert two.asked.count("a") >= 3


def test_when_all_asked_for_a_pause_nobody_is_asked_and_the_shortest_is_told(fleet) -> None:
    two = fleet(2)
    two.answers |= {"a": overloaded(30), "b": overloaded(10)}
    with pytest.raises(EngineUnavailable) as first:
        two.ask()
    two.now = 4.0
    with pytest.raises(EngineUnavailable) as second:
        two.ask()
    with pytest.raises(EngineUnavailable):
        two.replicas.check_ready(within_s=0.0)
    assert (first.value.retry_after_s, second.value.retry_after_s) == (10, 6)
    assert len(two.asked) == 2


def test_after_the_pause_one_call_tries_the_server_and_a_good_answer_brings_it_back(fleet) -> None:
    one = fleet(1)
    one.answers["a"] = overloaded(10)
    with pytest.raises(EngineUnavailable):
        one.ask()
    one.now = 10.5
    tried, refused = [], []

    def slow(timeout_s: float) -> str:
        tried.append(1)
        if len(tried) == 1:
            # Another caller comes while the first finds out.
            with pytest.raises(EngineUnavailable) as caught:
                one.ask()
            refused.append(caught.value.retry_after_s)
        return "a"

    one.answers["a"] = slow
    assert (one.ask(), tried, refused) == ("a", [1], [1.0])
    assert (one.ask(), len(tried)) == ("a", 2)


def test_a_server_that_refuses_again_after_its_pause_gets_another_one(fleet) -> None:
    two = fleet(2)
    two.answers["a"] = overloaded(10)
    for now in (0.0, 5.0, 11.0, 15.0, 20.0, 22.0):
        two.now = now
        assert [two.ask() for _ in range(3)] == ["b"] * 3
    assert two.asked.count("a") == 3


def test_an_answer_that_was_under_way_before_the_pause_does_not_end_it(fleet) -> None:
    two = fleet(2)
    replica = two.replicas.replicas[0]
    two.now = 5.0
    two.replicas.failed(replica, UpstreamFailure(FailureKind.OVERLOADED, EngineUnavailable("x"), pause_s=10), 0.1)
    two.now = 16.0
    two.replicas.succeeded(replica, seconds=14.0)
    assert replica.rests_until is not None
    two.replicas.succeeded(replica, seconds=0.5)
    assert replica.rests_until is None


def test_waiting_for_a_place_takes_nothing_beyond_the_deadline(fleet) -> None:
    one = fleet(1, most=1)
    taken = one.replicas.choose()
    began = monotonic()
    with pytest.raises(Overloaded):
        one.ask(within_s=0.05)
    assert monotonic() - began < 0.4
    one.replicas.ended(taken)


def test_what_was_waited_for_a_place_is_no_time_of_the_server(fleet, monkeypatch) -> None:
    one = fleet(1)
    given: list[float] = []
    one.answers["a"] = lambda timeout_s: given.append(timeout_s) or "a"
    choose = one.replicas.choose

    def later(**options: object) -> object:
        sleep(0.05)
        return choose(**options)

    monkeypatch.setattr(one.replicas, "choose", later)
    assert one.ask(within_s=10.0) == "a"
    assert given[0] <= 9.95
    with pytest.raises(DeadlineExceeded):
        one.ask(within_s=0.04)
    assert one.replicas.replicas[0].outstanding == 0


# A server that takes long.


def answers_when_overtaken(fleet: Fleet) -> Ask:
    """Waits for nothing but the second server, and then fails as a call does that was overtaken."""

    def ask(timeout_s: float) -> str:
        hedge = current_hedge.get()
        assert hedge is not None
        hedge.start()
        hedge.wait_for_second(30)
        raise UpstreamFailure(FailureKind.TIMEOUT, EngineUnavailable("slow"))

    return ask


def test_a_call_that_takes_long_is_answered_by_another_server_and_counts_against_the_slow_one(fleet) -> None:
    two = fleet(2)
    two.answers["a"] = answers_when_overtaken(two)
    assert [two.ask() for _ in range(8)] == ["b"] * 8
    assert two.replicas.replicas[0].is_ejected
    assert two.asked.count("a") == 3


def answers_after_the_second(answer: str) -> Callable[[float], str]:
    """A server that is so slow that the second one's answer is there first."""

    def slow(timeout_s: float) -> str:
        hedge = current_hedge.get()
        assert hedge is not None
        hedge.start()
        hedge.wait_for_second(30)
        return answer

    return slow


def test_with_both_answers_there_the_strictest_counts(fleet) -> None:
    two = fleet(2)
    two.answers |= {"a": answers_after_the_second("1 safe"), "b": lambda timeout_s: "2 unsafe"}
    assert two.ask(strictest=max) == "2 unsafe"
    two.answers["b"] = lambda timeout_s: "0 none"
    two.replicas.replicas[1].last_chosen += 100
    assert two.ask(strictest=max) == "1 safe"


def test_the_slow_server_still_counts_when_the_other_one_fails(fleet) -> None:
    two = fleet(2)
    two.answers |= {"a": answers_after_the_second("a"), "b": broken(FailureKind.SERVER_ERROR)}
    assert two.ask() == "a"
    assert two.asked == ["a", "b"]


def test_three_servers_of_which_two_are_slow_cost_no_answer(fleet) -> None:
    three = fleet(3)
    three.answers |= {"a": answers_when_overtaken(three), "b": answers_when_overtaken(three)}
    assert (three.ask(), three.asked) == ("c", ["a", "b", "c"])


def test_what_the_second_server_says_of_the_text_is_an_answer_too(fleet) -> None:
    def too_long(timeout_s: float) -> str:
        raise PromptTooLong

    def bug(timeout_s: float) -> str:
        raise ZeroDivisionError

    for answer, expected in ((too_long, PromptTooLong), (bug, ZeroDivisionError)):
        two = fleet(2)
        two.answers |= {"a": answers_when_overtaken(two), "b": answer}
        with pytest.raises(expected):
            two.ask()


def test_a_second_call_needs_a_free_slot_and_gives_it_back(fleet) -> None:
    full, free = fleet(2, slots=1), fleet(2, slots=2)
    for one in (full, free):
        one.answers["a"] = answers_when_overtaken(one)
        assert one.ask() == "b"
        with one.fanout.slot():
            pass
    # Without one the slow server has its whole time, and then the other is asked as after any failure.
    assert (full.asked, free.asked) == (["a", "b"], ["a", "b"])
    assert full.replicas.replicas[1].outstanding == 0


def test_few_calls_at_once_are_put_to_a_second_server(fleet) -> None:
    two = fleet(2, slots=16)
    go_on, asked_b = threading.Event(), threading.Semaphore(0)
    begun = threading.Barrier(5)

    def slow(timeout_s: float) -> str:
        hedge = current_hedge.get()
        assert hedge is not None
        begun.wait(30)
        hedge.start()
        begun.wait(30)
        go_on.wait(30)
        return "a"

    def waits(timeout_s: float) -> str:
        asked_b.release()
        go_on.wait(30)
        return "b"

    two.answers |= {"a": slow, "b": waits}
    two.replicas.replicas[1].outstanding = 100  # so that all go to `a` first
    callers = [threading.Thread(target=two.ask) for _ in range(4)]
    for one in callers:
        one.start()
    begun.wait(30)
    begun.wait(30)
    assert [asked_b.acquire(timeout=30) for _ in range(2)] == [True, True]
    assert two.asked.count("b") == 2
    go_on.set()
    for one in callers:
        one.join()


def test_one_server_alone_is_waited_for_as_before(fleet) -> None:
    one = fleet(1)

    def ask(timeout_s: float) -> str:
        assert current_hedge.get() is None
        return "a"

    one.answers["a"] = ask
    assert one.ask() == "a"


# A server that is away.


@given(st.integers(0, 2**32))
def test_those_who_ask_whether_a_server_is_back_do_not_do_it_in_step(seed: int) -> None:
    pauses, others = probe_pauses(random.Random(seed)), probe_pauses(random.Random(seed + 1))
    found, compared = [next(pauses) for _ in range(20)], [next(others) for _ in range(20)]
    assert found != compared
    assert 0.5 <= found[0] <= 1.0
    assert all(1.0 <= pause <= 2.0 for pause in found[1:])


def test_a_server_that_is_plainly_slower_gets_hardly_any_calls_until_it_is_well(fleet) -> None:
    replicas = fleet(3).replicas
    seconds = {"a": 0.04, "b": 0.05, "c": 0.6}

    def asked(turns: int) -> int:
        """How many of so many calls go to `c`, four at a time."""
        chosen = 0
        for _ in range(turns // 4):
            four = [replicas.choose() for _ in range(4)]
            chosen += sum(one.label == "c" for one in four)
            for one in four:
                replicas.ended(one)
                replicas.succeeded(one, seconds[one.label])
        return chosen

    asked(40)
    assert asked(2000) <= 8
    seconds["c"] = 0.04
    asked(1000)
    assert 250 < asked(1000) < 420
