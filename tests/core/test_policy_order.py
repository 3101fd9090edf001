"""Which policy may stand in for another: none that is milder in any point."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation_service.core.policy import (
    BUILT_IN,
    Bounds,
    LiteBlocks,
    OnFailure,
    Policy,
    Rules,
    Streaming,
    Thresholds,
    ToolRules,
)
from moderation_service.core.policy_order import why_milder
from moderation_service.core.verdict import Action, Category, Coverage, Scores, Severity, Target, Verdict

BALANCED = BUILT_IN["balanced"]
FAILURES = [OnFailure.ALLOW, OnFailure.FLAG, OnFailure.LITE, OnFailure.BLOCK]


def changed(base: Policy = BALANCED, *, target: Target = Target.RESPONSE, **rules: Any) -> Policy:
    """The policy with other rules for one target."""
    other = dataclasses.replace(base.rules[target], **rules)
    return dataclasses.replace(base, name="own", rules={**base.rules, target: other})


def actions(controversial: Action, unsafe: Action = Action.BLOCK) -> dict[Severity, Action]:
    return {Severity.SAFE: Action.ALLOW, Severity.CONTROVERSIAL: controversial, Severity.UNSAFE: unsafe}


@pytest.mark.parametrize(
    ("choice", "default", "reason"),
    [
        ("strict", "balanced", None),
        ("balanced", "balanced", None),
        ("balanced", "loose", None),
        ("loose", "balanced", "For a prompt, `loose` allows controversial text, which the default policy flags."),
        ("balanced", "strict", "For a prompt, `balanced` flags controversial text, which the default policy blocks."),
    ],
)
def test_the_built_in_policies_are_in_order(choice: str, default: str, reason: str | None) -> None:
    assert why_milder(BUILT_IN[choice], BUILT_IN[default]) == reason


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"actions": actions(Action.BLOCK)}, None),
        ({"actions": actions(Action.FLAG, Action.FLAG)}, "flags unsafe text, which the default policy blocks"),
        ({"categories": {Category.PII: {Severity.CONTROVERSIAL: Action.BLOCK}}}, None),
        (
            {"categories": {Category.PII: {Severity.UNSAFE: Action.ALLOW}}},
            "allows unsafe text of category pii, which the default policy blocks",
        ),
        ({"on_failure": OnFailure.ERROR}, None),
        ({"on_failure": OnFailure.BLOCK}, None),
        ({"on_failure": OnFailure.FLAG}, "has the milder `on_failure`: flag instead of lite"),
        ({"on_uncovered": Action.BLOCK}, None),
        (
            {"lite_blocks": LiteBlocks.SURE},
            "only flags what the embedded engine is not sure of, which the default policy blocks",
        ),
        (
            {"thresholds": Thresholds(unsafe=0.01)},
            "finds severities in another way: only one of the two policies has a threshold for unsafe",
        ),
    ],
)
def test_one_milder_rule_is_enough(target: Target, rules: Mapping[str, Any], reason: str | None) -> None:
    found = why_milder(changed(target=target, **rules), BALANCED)
    assert found == (None if reason is None else f"For a {target.value}, `own` {reason}.")


def test_letting_unknown_languages_pass_is_milder_than_flagging_them() -> None:
    flags, blocks = changed(on_uncovered=Action.FLAG), changed(on_uncovered=Action.BLOCK)
    assert why_milder(blocks, flags) is None
    assert why_milder(flags, blocks) == "For a response, `own` has the milder `on_uncovered`: flag instead of block."
    assert why_milder(BALANCED, flags) is not None


def test_blocking_always_may_stand_in_for_blocking_when_sure() -> None:
    assert why_milder(BALANCED, changed(lite_blocks=LiteBlocks.SURE)) is None


def test_a_lower_threshold_is_stricter_and_a_higher_one_is_not() -> None:
    middle = changed(thresholds=Thresholds(controversial=0.3, unsafe=0.5))
    assert why_milder(changed(middle, thresholds=Thresholds(controversial=0.3, unsafe=0.4)), middle) is None
    for higher in (Thresholds(0.31, 0.5), Thresholds(0.3, 0.51)):
        assert "has the higher threshold" in str(why_milder(changed(middle, thresholds=higher), middle))


def test_with_lower_thresholds_the_severer_actions_must_do_too() -> None:
    odd = changed(thresholds=Thresholds(unsafe=0.5), actions=actions(Action.BLOCK, Action.FLAG))
    assert why_milder(odd, odd) is None
    lower = changed(odd, thresholds=Thresholds(unsafe=0.1))
    assert why_milder(lower, odd) == "For a response, `own` flags unsafe text, which the default policy blocks."


def test_showing_text_before_it_is_judged_is_milder() -> None:
    shows = dataclasses.replace(BALANCED, name="own", streaming=Streaming.SHOW_THEN_CUT)
    assert why_milder(shows, BALANCED) == "`own` shows answers before they are judged."
    assert why_milder(BALANCED, shows) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "is_milder"),
    [
        (Bounds(), Bounds(), False),
        (Bounds(0.9, 0.7), Bounds(0.9, 0.6), False),
        (Bounds(0.8), Bounds(0.9), True),
        (Bounds(unsafe=0.8), Bounds(unsafe=0.9), True),
        (Bounds(0.9), Bounds(), True),
        (Bounds(), Bounds(0.9), True),
    ],
)
def test_who_lets_a_small_model_decide_sooner_is_milder(ours: Bounds, theirs: Bounds, is_milder: bool) -> None:
    choice, default = (
        replace(BALANCED, rules={target: replace(BALANCED.rules[target], cascade=bounds) for target in Target})
        for bounds in (ours, theirs)
    )
    assert (why_milder(choice, default) is not None) is is_milder


def test_every_field_that_decides_is_compared() -> None:
    # A new one lets text out unseen until `why_milder` knows it.
    fields = {"name", "description", "rules", "messages", "streaming", "tools", "escalation", "lists"}
    # What is kept of a text, noted beside it or shown in its place, is no matter of what gets out; who asks is no rule.
    beside = {"keep_text", "retention_days", "shadow", "answers", "app"}
    assert {one.name for one in dataclasses.fields(Policy)} == fields | beside
    assert {one.name for one in dataclasses.fields(ToolRules)} == {"glob", "call", "result"}
    compared = {"actions", "categories", "thresholds", "on_failure", "on_uncovered", "lite_blocks", "cascade"}
    assert {one.name for one in dataclasses.fields(Rules)} == compared


ACTIONS = st.sampled_from(Action)
BOUND = st.none() | st.sampled_from([0.1, 0.4, 0.6, 1.0])
RULES = st.builds(
    Rules,
    actions=st.fixed_dictionaries(dict.fromkeys(Severity, ACTIONS)),
    categories=st.dictionaries(
        st.sampled_from([Category.PII, Category.VIOLENT]),
        st.dictionaries(st.sampled_from(Severity), ACTIONS, max_size=3),
        max_size=2,
    ),
    thresholds=st.builds(Thresholds, BOUND, BOUND),
    on_failure=st.sampled_from(OnFailure),
    on_uncovered=ACTIONS,
    lite_blocks=st.sampled_from(LiteBlocks),
)
POLICIES = st.builds(
    Policy,
    name=st.just("own"),
    description=st.just(""),
    rules=st.fixed_dictionaries(dict.fromkeys(Target, RULES)),
    streaming=st.sampled_from(Streaming),
)
SHARE = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.4, 0.5, 0.6, 0.9, 1.0, float("nan")])
VERDICTS = st.builds(
    Verdict,
    target=st.sampled_from(Target),
    severity=st.sampled_from(Severity),
    categories=st.lists(st.sampled_from(Category), max_size=3, unique=True).map(tuple),
    refusal=st.none(),
    scores=st.none() | st.builds(Scores, SHARE, SHARE, SHARE),
    engine=st.just("e"),
    model=st.just("m"),
    coverage=st.none() | st.sampled_from(Coverage),
    is_sure=st.booleans(),
)
CHANGES = ["actions", "categories", "thresholds", "on_failure", "on_uncovered", "lite_blocks", "streaming"]
STRICTER = st.sampled_from(CHANGES)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """A policy, and another that differs from it in a few points, so that one often may stand in for the other."""
    default, other = draw(POLICIES), draw(POLICIES)
    choice = default
    for name in draw(st.lists(STRICTER, max_size=3, unique=True)):
        if name == "streaming":
            choice = dataclasses.replace(choice, streaming=other.streaming)
            continue
        for target in Target:
            rules = dataclasses.replace(choice.rules[target], **{name: getattr(other.rules[target], name)})
            choice = dataclasses.replace(choice, rules={**choice.rules, target: rules})
    return choice, default


@settings(max_examples=300)
@given(pairs(), st.lists(VERDICTS, min_size=1, max_size=8))
def test_no_policy_that_may_stand_in_is_milder_in_effect(pair: tuple[Policy, Policy], verdicts: list[Verdict]) -> None:
    choice, default = pair
    if why_milder(choice, default) is not None:
        return
    for verdict in verdicts:
        assert choice.action(verdict).rank >= default.action(verdict).rank
    for target in Target:
        ours, theirs = choice.rules[target].on_failure, default.rules[target].on_failure
        if ours in FAILURES and theirs in FAILURES:
            assert FAILURES.index(ours) >= FAILURES.index(theirs)
        assert theirs not in (OnFailure.BLOCK, OnFailure.ERROR) or ours in (OnFailure.BLOCK, OnFailure.ERROR)
    assert choice.streaming is Streaming.HOLD or default.streaming is Streaming.SHOW_THEN_CUT


@given(POLICIES)
def test_a_policy_may_stand_in_for_itself(policy: Policy) -> None:
    assert why_milder(policy, policy) is None


# Rules for tools

FREE = Rules(dict.fromkeys(Severity, Action.ALLOW))
SHUT = Rules(dict.fromkeys(Severity, Action.BLOCK))


def with_tools(*tools: tuple[str, Rules], base: Policy = BALANCED) -> Policy:
    return dataclasses.replace(base, name="own", tools=tuple(ToolRules(glob, one, one) for glob, one in tools))


def test_milder_rules_for_a_tool_are_milder() -> None:
    reason = why_milder(with_tools(("mail_*", FREE)), BALANCED)
    assert reason is not None
    assert "tools like `mail_*`" in reason
    assert why_milder(BALANCED, with_tools(("mail_*", SHUT))) is not None
    assert why_milder(with_tools(("mail_*", FREE)), with_tools(("mail_*", SHUT))) is not None


def test_stricter_rules_for_a_tool_may_be_chosen() -> None:
    assert why_milder(with_tools(("mail_*", SHUT)), BALANCED) is None
    assert why_milder(with_tools(("mail_*", SHUT)), with_tools(("mail_*", SHUT))) is None
    assert why_milder(with_tools(("a", SHUT), base=BUILT_IN["strict"]), with_tools()) is None


def test_rules_for_other_tools_are_compared_with_all_that_they_may_meet() -> None:
    """`m*` catches `mail_send` before the default's stricter rules for it could."""
    own = with_tools(("m*", BALANCED.rules[Target.PROMPT]))
    assert why_milder(own, with_tools(("mail_*", SHUT))) is not None
    shut = dataclasses.replace(with_tools(("m*", SHUT)), rules=dict.fromkeys(Target, SHUT))
    assert why_milder(shut, with_tools(("mail_*", SHUT))) is None


@given(POLICIES, POLICIES, st.lists(st.tuples(st.sampled_from(["mail_*", "*", "m?il*"]), RULES, RULES), max_size=2))
def test_no_tool_gets_more_out_by_a_policy_that_may_be_chosen(
    choice: Policy, default: Policy, tools: list[tuple[str, Rules, Rules]]
) -> None:
    choice = dataclasses.replace(choice, tools=tuple(ToolRules(*one) for one in tools))
    if why_milder(choice, default) is not None:
        return
    for name in ("mail_send", "mail", "other", ""):
        for target in Target:
            for severity in Severity:
                ours, theirs = choice.rules_for(target, name), default.rules_for(target, name)
                if ours.thresholds == theirs.thresholds:
                    assert ours.actions[severity].rank >= theirs.actions[severity].rank
