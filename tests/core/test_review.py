from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.policy import BUILT_IN, Rules, Thresholds
from moderation_service.core.review import Why, agreement, distance_to_a_threshold, is_sampled
from moderation_service.core.verdict import Severity, Target
from moderation_service.ids import ordered_hex

SAFE, CONTROVERSIAL, UNSAFE = Severity
RULES = BUILT_IN["balanced"].rules[Target.PROMPT]
ANSWERS = st.lists(st.tuples(st.sampled_from(Severity), st.sampled_from(Severity)), max_size=60)


def pairs(*counts: tuple[Severity, Severity, int]) -> list[tuple[Severity, Severity]]:
    return [(first, second) for first, second, count in counts for _ in range(count)]


@pytest.mark.parametrize(
    ("answers", "kappa"),
    [
        # The example of 50 proposals (20, 5, 10, 15) found in most text books: p_o .70, p_e .50.
        (pairs((UNSAFE, UNSAFE, 20), (UNSAFE, SAFE, 5), (SAFE, UNSAFE, 10), (SAFE, SAFE, 15)), 0.4),
        # Two with equal agreement of 60 %, whose chance differs (45, 15, 25, 15 and 25, 35, 5, 35).
        (pairs((UNSAFE, UNSAFE, 45), (UNSAFE, SAFE, 15), (SAFE, UNSAFE, 25), (SAFE, SAFE, 15)), 0.1304348),
        (pairs((UNSAFE, UNSAFE, 25), (UNSAFE, SAFE, 35), (SAFE, UNSAFE, 5), (SAFE, SAFE, 35)), 0.2592593),
        # Cohen's own, of three categories: 44, 5, 1; 7, 20, 3; 9, 5, 6 of 100, p_o .70, p_e .41.
        (
            pairs(
                (SAFE, SAFE, 44), (SAFE, CONTROVERSIAL, 5), (SAFE, UNSAFE, 1),
                (CONTROVERSIAL, SAFE, 7), (CONTROVERSIAL, CONTROVERSIAL, 20), (CONTROVERSIAL, UNSAFE, 3),
                (UNSAFE, SAFE, 9), (UNSAFE, CONTROVERSIAL, 5), (UNSAFE, UNSAFE, 6),
            ),
            0.4915254,
        ),
    ],
)  # fmt: skip
def test_kappa_is_that_of_the_text_books(answers: list[tuple[Severity, Severity]], kappa: float) -> None:
    assert agreement(answers).kappa == pytest.approx(kappa, abs=1e-6)


@given(ANSWERS)
def test_kappa_does_not_depend_on_who_is_first_and_is_one_for_equals(answers: list[tuple[Severity, Severity]]) -> None:
    found = agreement(answers)
    assert found == agreement([(second, first) for first, second in answers])
    assert found.kappa is None or -1 <= found.kappa <= 1
    same = agreement([(first, first) for first, _ in answers])
    assert same.kappa in (None, 1)


def test_one_answer_throughout_has_no_kappa() -> None:
    assert agreement([(SAFE, SAFE)] * 5).kappa is None
    assert agreement([]).share is None


@pytest.mark.parametrize(
    ("rules", "unsafe", "flagged", "distance"),
    [
        (RULES, 0.48, 0.9, 0.02),
        (RULES, 0.0, 0.55, 0.05),
        (replace(RULES, thresholds=Thresholds(unsafe=0.9)), 0.48, 0.9, 0.4),
        (replace(RULES, thresholds=Thresholds(unsafe=0.9, controversial=0.1)), 0.05, 0.12, 0.02),
    ],
)
def test_closeness_is_measured_from_where_the_severity_changes(
    rules: Rules, unsafe: float, flagged: float, distance: float
) -> None:
    assert distance_to_a_threshold(rules, unsafe=unsafe, flagged=flagged) == pytest.approx(distance)


def test_without_scores_nothing_is_close() -> None:
    assert distance_to_a_threshold(RULES, unsafe=None, flagged=None) is None


def test_a_share_of_the_ids_is_sampled() -> None:
    # All of one moment: the digits that are their time are the same.
    ids = [f"mod_{ordered_hex(24)}" for _ in range(4000)]
    assert not any(is_sampled(one, 0.0) for one in ids)
    assert all(is_sampled(one, 1.0) for one in ids)
    assert 300 < sum(is_sampled(one, 0.1) for one in ids) < 500


def test_appeals_come_first_and_samples_last() -> None:
    assert [why.value for why in sorted(Why, key=lambda why: -why.rank)] == [
        "appealed", "picked", "blocked", "flagged", "close", "sampled",
    ]  # fmt: skip
