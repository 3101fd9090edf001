"""Which server counts as slow, and how soon it is found out."""

from __future__ import annotations

import random

import pytest

from moderation_service.upstream.pace import Pace, slow_answers_of_best


def paced(*seconds: float) -> Pace:
    pace = Pace()
    for one in seconds:
        pace.note(one)
    return pace


def is_slow(pace: Pace, others_s: float) -> bool:
    return pace.load(0, others_s, 0) > 0


def test_nothing_is_known_at_first() -> None:
    assert slow_answers_of_best([Pace(), Pace()]) is None
    assert not is_slow(Pace(), 0.01)


def test_a_server_that_gets_fifteen_times_slower_is_known_after_four_answers() -> None:
    pace = paced(*[0.04] * 100)
    answers = 0
    while not is_slow(pace, 0.04):
        pace.note(0.6)
        answers += 1
    assert answers == 4
    assert pace.load(2, 0.04, 0) == 48, "it gets a call when others have many"
    assert pace.load(0, 0.04, 513) == 0, "and now and then"


def test_one_that_is_well_again_is_known_after_one_answer() -> None:
    pace = paced(*[0.04] * 100, *[0.6] * 30)
    assert is_slow(pace, 0.04)
    pace.note(0.04)
    assert not is_slow(pace, 0.04)


@pytest.mark.parametrize("long_ones", [0.02, 0.2, 0.5, 0.7, 0.98])
def test_a_server_is_not_slow_for_the_long_texts_that_it_happens_to_get(long_ones: float) -> None:
    chance = random.Random(5)
    servers = [Pace(), Pace(), Pace()]
    wrong = 0
    for _ in range(3000):
        pace = chance.choice(servers)
        pace.note(chance.uniform(2, 8) if chance.random() < long_ones else chance.uniform(0.03, 0.08))
        others = slow_answers_of_best(servers)
        wrong += sum(is_slow(one, others) for one in servers if others is not None)
    assert wrong < 3000 * 3 * 0.005


def test_a_first_answer_that_takes_long_says_nothing() -> None:
    assert not is_slow(paced(8.0), 0.04)
    assert not is_slow(paced(8.0, *[0.04] * 12), 0.04)
