"""The mapping of our categories to OpenAI's, and decisions as scores."""

from __future__ import annotations

import pytest
from fakes import verdict
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.policy import BUILT_IN, Policy, Rules, Thresholds
from moderation_service.core.verdict import Action, Category, Decision, Scores, Severity, Target, Verdict
from moderation_service.wires.openai_categories import (
    APPROXIMATE,
    CATCH_ALL,
    MAPPING,
    OPENAI_CATEGORIES,
    block_score,
    mapped,
)

NEVER_CLAIMED = {"harassment/threatening", "hate/threatening", "self-harm/intent", "sexual/minors", "violence/graphic"}
SCORES = Scores(0.2, 0.5, 0.3)


def decided(found: Verdict | None, policy: Policy, *, action: Action | None = None) -> Decision:
    taken = action or (policy.action(found) if found else Action.BLOCK)
    return Decision("mod_1", Target.PROMPT, found, taken, policy.name, None, "fake", "fake-1", False, False, 1.0)


def score(policy: Policy, found: Verdict | None, *, action: Action | None = None) -> float:
    return block_score(decided(found, policy, action=action), policy)


@pytest.mark.parametrize("category", Category)
def test_every_category_maps_to_something(category: Category) -> None:
    assert MAPPING[category]
    assert set(MAPPING[category]) <= set(OPENAI_CATEGORIES)


@pytest.mark.parametrize("category", Category)
def test_a_subcategory_comes_with_its_parent(category: Category) -> None:
    names = mapped([category])
    assert {name.partition("/")[0] for name in names} <= names


def test_what_our_evidence_can_not_show_is_never_claimed() -> None:
    assert mapped(list(Category)) == set(OPENAI_CATEGORIES) - NEVER_CLAIMED


def test_harm_without_a_category_goes_where_those_without_an_equivalent_go() -> None:
    assert mapped([]) == set(CATCH_ALL)
    assert all(mapped([category]) == set(CATCH_ALL) for category in APPROXIMATE)


@pytest.mark.parametrize(("policy", "expected"), [("loose", 0.3), ("balanced", 0.3), ("strict", 0.8)])
def test_the_score_is_the_probability_of_what_the_policy_blocks(policy: str, expected: float) -> None:
    found = verdict(Severity.CONTROVERSIAL, Category.VIOLENT, scores=SCORES)
    assert score(BUILT_IN[policy], found) == pytest.approx(expected)


def own(**rules: object) -> Policy:
    base = BUILT_IN["balanced"].rules[Target.PROMPT]
    merged = Rules(**{"actions": base.actions, **rules})  # type: ignore[arg-type]
    return Policy("own", "", dict.fromkeys(Target, merged))


def test_a_category_that_the_policy_lets_pass_has_no_score() -> None:
    policy = own(categories={Category.COPYRIGHT_VIOLATION: dict.fromkeys(Severity, Action.ALLOW)})
    assert score(policy, verdict(Severity.UNSAFE, Category.COPYRIGHT_VIOLATION, scores=SCORES)) == 0
    assert score(policy, verdict(Severity.UNSAFE, Category.VIOLENT, scores=SCORES)) == pytest.approx(0.3)


def test_a_category_that_the_policy_treats_harder_has_more_score() -> None:
    policy = own(categories={Category.PII: {Severity.CONTROVERSIAL: Action.BLOCK}})
    assert score(policy, verdict(Severity.CONTROVERSIAL, Category.PII, scores=SCORES)) == pytest.approx(0.8)


def test_thresholds_change_the_action_and_not_the_probability() -> None:
    policy = own(thresholds=Thresholds(unsafe=0.25))
    found = verdict(Severity.CONTROVERSIAL, Category.VIOLENT, scores=SCORES)
    assert decided(found, policy).action is Action.BLOCK
    assert score(policy, found) == pytest.approx(0.3)


@pytest.mark.parametrize(("action", "expected"), [(Action.ALLOW, 0.0), (Action.FLAG, 0.5), (Action.BLOCK, 1.0)])
def test_without_probabilities_the_action_is_the_score(action: Action, expected: float) -> None:
    policy = BUILT_IN["balanced"]
    assert score(policy, verdict(Severity.CONTROVERSIAL, scores=None), action=action) == expected
    assert score(policy, None, action=action) == expected


@given(st.tuples(*[st.floats(0.001, 1)] * 3), st.sampled_from(sorted(BUILT_IN)), st.sampled_from(Severity))
def test_a_score_is_a_probability(weights: tuple[float, float, float], policy: str, severity: Severity) -> None:
    whole = sum(weights)
    scores = Scores(*(weight / whole for weight in weights))
    assert 0 <= score(BUILT_IN[policy], verdict(severity, scores=scores)) <= 1 + 1e-9
