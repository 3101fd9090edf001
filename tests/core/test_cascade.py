from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakes import verdict
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.cascade import Sureness, Up, is_certain, why_up
from moderation_service.core.policy import BUILT_IN, Bounds, Rules, Thresholds
from moderation_service.core.verdict import Action, Category, PartRead, Scores, Severity, Target

OWN = Bounds(safe=0.9, unsafe=0.6)
SAFE, CONTROVERSIAL, UNSAFE = Severity
RULES = {name: policy.rules[Target.PROMPT] for name, policy in BUILT_IN.items()}


def up(severity: Severity, *shares: float, rules: Rules = RULES["balanced"]) -> Up | None:
    return why_up(verdict(severity, scores=Scores(*shares)), Sureness.of(rules), OWN)


def test_a_label_stands_from_its_own_bound_on() -> None:
    assert up(SAFE, 0.9, 0.1, 0.0) is None
    assert up(SAFE, 0.89, 0.1, 0.01) is Up.UNSURE
    assert up(UNSAFE, 0.3, 0.1, 0.6) is None
    assert up(UNSAFE, 0.3, 0.11, 0.59) is Up.UNSURE


def test_controversial_goes_up_where_the_policy_tells_it_from_both_others() -> None:
    assert up(CONTROVERSIAL, 0.0, 1.0, 0.0) is Up.CONTROVERSIAL


def test_a_doubt_between_two_severities_with_the_same_action_is_none() -> None:
    assert up(CONTROVERSIAL, 0.02, 0.5, 0.48, rules=RULES["strict"]) is None
    assert up(UNSAFE, 0.02, 0.48, 0.5, rules=RULES["strict"]) is None
    assert up(CONTROVERSIAL, 0.45, 0.5, 0.05, rules=RULES["strict"]) is Up.UNSURE
    assert up(SAFE, 0.5, 0.48, 0.02, rules=RULES["loose"]) is None
    assert up(CONTROVERSIAL, 0.48, 0.5, 0.02, rules=RULES["loose"]) is None
    assert up(CONTROVERSIAL, 0.3, 0.4, 0.3, rules=RULES["loose"]) is Up.UNSURE


def test_a_policy_may_have_bounds_of_its_own() -> None:
    stricter = replace(RULES["balanced"], cascade=Bounds(safe=0.99))
    assert up(SAFE, 0.95, 0.05, 0.0, rules=stricter) is Up.UNSURE
    assert up(UNSAFE, 0.2, 0.1, 0.7, rules=stricter) is None, "the bound that it leaves out is the engine's"


def test_where_categories_decide_harmful_text_goes_up() -> None:
    exceptions = {Category.PII: {UNSAFE: Action.FLAG}}
    rules = replace(RULES["balanced"], categories=exceptions)
    assert up(UNSAFE, 0.0, 0.0, 1.0, rules=rules) is Up.CATEGORIES
    assert up(SAFE, 1.0, 0.0, 0.0, rules=rules) is None


def test_where_a_category_makes_a_difference_a_doubt_between_two_severities_is_one() -> None:
    blocked = {Category.PII: {CONTROVERSIAL: Action.BLOCK}}
    loose, strict = (replace(RULES[name], categories=blocked) for name in ("loose", "strict"))
    assert up(SAFE, 0.5, 0.48, 0.02, rules=loose) is Up.UNSURE
    assert up(CONTROVERSIAL, 0.48, 0.5, 0.02, rules=loose) is Up.CONTROVERSIAL
    assert up(UNSAFE, 0.02, 0.48, 0.5, rules=replace(strict, categories={Category.PII: {UNSAFE: Action.FLAG}})) in (
        Up.CATEGORIES,
        Up.UNSURE,
    )


def test_a_label_that_thresholds_would_overrule_goes_up() -> None:
    rules = replace(RULES["balanced"], thresholds=Thresholds(controversial=0.05))
    assert up(SAFE, 0.94, 0.03, 0.03, rules=rules) is Up.THRESHOLDS
    assert up(SAFE, 0.96, 0.03, 0.01, rules=rules) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scores": None}, Up.NO_SCORES),
        ({"read_in_part": frozenset({PartRead.TEXT})}, Up.PARTLY_READ),
        ({"failure": ValueError()}, Up.PARTLY_READ),
        ({"scores": Scores(math.nan, math.nan, math.nan)}, Up.UNSURE),
    ],
)
def test_what_was_not_wholly_read_goes_up(changes: dict[str, object], reason: Up) -> None:
    found = replace(verdict(SAFE, scores=Scores(1.0, 0.0, 0.0)), **changes)
    assert why_up(found, Sureness(), OWN) is reason


SHARES = st.tuples(*[st.floats(0, 1)] * 3).filter(lambda three: sum(three) > 0.01)
BOUND = st.floats(0.34, 1.0)


@given(shares=SHARES, safe=BOUND, unsafe=BOUND, higher=st.floats(0, 0.5), policy=st.sampled_from(sorted(RULES)))
def test_higher_bounds_never_let_the_small_model_decide_more(
    shares: tuple[float, ...], safe: float, unsafe: float, higher: float, policy: str
) -> None:
    scores = Scores(*(one / sum(shares) for one in shares))
    label = max(Severity, key=lambda one: getattr(scores, one.value))
    found, sureness = verdict(label, scores=scores), Sureness.of(RULES[policy])
    low = why_up(found, sureness, Bounds(safe, unsafe))
    high = why_up(found, sureness, Bounds(safe + higher, unsafe + higher))
    assert low is None or high is not None
    if is_certain(found, Bounds(safe, unsafe)):
        assert low is None, "what is certain for every policy is certain for each"
