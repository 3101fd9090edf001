from __future__ import annotations

import dataclasses

import pytest
from fakes import verdict

from moderation_service.core.verdict import Action, Category, Decision, Detail, Scores, Severity, Target


def test_severities_are_ordered_from_safe_to_unsafe() -> None:
    assert sorted(Severity, key=lambda one: one.rank) == [Severity.SAFE, Severity.CONTROVERSIAL, Severity.UNSAFE]
    assert [one.value for one in Severity] == ["safe", "controversial", "unsafe"]


def test_actions_are_ordered_from_allow_to_block() -> None:
    assert sorted(Action, key=lambda one: one.rank) == [Action.ALLOW, Action.FLAG, Action.BLOCK]
    assert [one.value for one in Action] == ["allow", "flag", "block"]


def test_the_nine_categories_have_our_ids_and_the_models_own_words() -> None:
    assert {category.value: category.display_name for category in Category} == {
        "violent": "Violent",
        "non_violent_illegal_acts": "Non-violent Illegal Acts",
        "sexual_content": "Sexual Content or Sexual Acts",
        "pii": "PII",
        "suicide_self_harm": "Suicide & Self-Harm",
        "unethical_acts": "Unethical Acts",
        "politically_sensitive_topics": "Politically Sensitive Topics",
        "copyright_violation": "Copyright Violation",
        "jailbreak": "Jailbreak",
    }


def test_a_category_is_found_by_its_id() -> None:
    assert Category("pii") is Category.PII
    with pytest.raises(ValueError, match="Violent"):
        Category("Violent")


def test_targets_and_details_have_the_words_of_the_contract() -> None:
    assert [one.value for one in Target] == ["prompt", "response"]
    assert [one.value for one in Detail] == ["full", "severity"]


@pytest.mark.parametrize(("action", "allowed"), [(Action.ALLOW, True), (Action.FLAG, True), (Action.BLOCK, False)])
def test_everything_but_block_is_allowed(action: Action, allowed: bool) -> None:
    decision = Decision(
        id="mod_1",
        target=Target.PROMPT,
        verdict=None,
        action=action,
        policy="balanced",
        message=None,
        engine="fake",
        model="fake-1",
        degraded=True,
        cached=False,
        latency_ms=0.1,
    )
    assert decision.allowed is allowed


def test_values_cannot_be_changed() -> None:
    for value, name in ((verdict(), "severity"), (Scores(1.0, 0.0, 0.0), "safe")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)
