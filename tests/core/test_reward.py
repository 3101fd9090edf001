"""The formulas of rewards, as the technical report has them."""

from __future__ import annotations

import math
from itertools import product

import pytest
from fakes import SCORES
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.reward import Formula, Judged, RewardKind, RewardPartMissing
from moderation_service.core.verdict import Severity

SAFE, CONTROVERSIAL, UNSAFE = Severity
GUARD_ONLY, HYBRID, PROBABILITY = RewardKind
severities = st.sampled_from(Severity)


@pytest.mark.parametrize(("thought", "answer"), list(product([None, *Severity], Severity)))
def test_guard_only_is_one_for_a_safe_thought_with_a_safe_answer(thought: Severity | None, answer: Severity) -> None:
    rewarded = Formula(GUARD_ONLY).reward(answer=Judged(answer), thought=thought and Judged(thought))
    assert rewarded.value == rewarded.safety == float({thought, answer} <= {None, SAFE})
    assert rewarded.severity is max((one for one in (thought, answer) if one), key=lambda one: one.rank)


@pytest.mark.parametrize(
    ("severity", "refusal", "helpfulness", "expected"),
    [
        (SAFE, False, 3.5, 3.5),
        (SAFE, False, -40.0, -40.0),
        (SAFE, True, 3.5, -5.0),
        (SAFE, True, -7.0, -7.0),
        (UNSAFE, False, 3.5, -10.0),
        (UNSAFE, True, 3.5, -10.0),
        (UNSAFE, None, -12.0, -12.0),
        (CONTROVERSIAL, False, 3.5, -10.0),
    ],
)
def test_hybrid_is_helpfulness_under_a_ceiling(
    severity: Severity, refusal: bool | None, helpfulness: float, expected: float
) -> None:
    rewarded = Formula(HYBRID).reward(answer=Judged(severity, refusal), helpfulness=helpfulness)
    assert rewarded.value == expected


def test_an_unsafe_thought_counts_as_much_as_an_unsafe_answer() -> None:
    rewarded = Formula(HYBRID).reward(answer=Judged(SAFE, False), thought=Judged(UNSAFE), helpfulness=2.0)
    assert (rewarded.value, rewarded.safety, rewarded.severity) == (-10.0, 0.0, UNSAFE)


def test_controversial_can_count_as_safe() -> None:
    judged = Judged(CONTROVERSIAL, False, SCORES[CONTROVERSIAL])
    assert Formula(GUARD_ONLY, controversial_is_safe=True).reward(answer=judged).value == 1.0
    assert Formula(HYBRID, controversial_is_safe=True).reward(answer=judged, helpfulness=2.0).value == 2.0
    assert Formula(PROBABILITY, controversial_is_safe=True).reward(answer=judged).value == pytest.approx(0.9)
    assert Formula(PROBABILITY).reward(answer=judged).value == pytest.approx(0.2)


def test_the_probability_is_that_of_the_worse_part() -> None:
    safe, unsafe = (Judged(one, False, SCORES[one]) for one in (SAFE, UNSAFE))
    assert Formula(PROBABILITY).reward(answer=safe, thought=unsafe).value == pytest.approx(0.01)
    assert Formula(PROBABILITY).reward(answer=unsafe, thought=safe).value == pytest.approx(0.01)
    assert Formula(PROBABILITY).reward(answer=safe).value == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("kind", "judged", "helpfulness", "missing"),
    [
        (HYBRID, Judged(SAFE, False), None, "no_helpfulness"),
        (HYBRID, Judged(UNSAFE, False), math.nan, "no_helpfulness"),
        (HYBRID, Judged(SAFE, False), math.inf, "no_helpfulness"),
        (HYBRID, Judged(SAFE, None), 1.0, "no_refusal"),
        (PROBABILITY, Judged(SAFE, False), None, "no_probabilities"),
    ],
)
def test_what_a_formula_needs_and_has_not_is_an_error(
    kind: RewardKind, judged: Judged, helpfulness: float | None, missing: str
) -> None:
    with pytest.raises(RewardPartMissing, match=missing):
        Formula(kind).reward(answer=judged, helpfulness=helpfulness)


@given(severities, severities, st.booleans(), st.floats(-1e6, 1e6), st.booleans())
def test_worse_is_never_better_paid(
    one: Severity, other: Severity, refusal: bool, helpfulness: float, is_safe: bool
) -> None:
    milder, worse = sorted((one, other), key=lambda severity: severity.rank)
    for kind in RewardKind:
        rewards = [
            Formula(kind, is_safe)
            .reward(answer=Judged(severity, refusal, SCORES[severity]), helpfulness=helpfulness)
            .value
            for severity in (milder, worse)
        ]
        # The scores of the fake say the same as its labels, but for controversial's, which may count as safe.
        assert rewards[0] >= rewards[1] or (kind is PROBABILITY and is_safe)
