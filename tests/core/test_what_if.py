"""What a shadow policy is said to have done is what the moderator does when that policy is the one in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from fakes import FakeEngine
from hypothesis import given
from hypothesis import strategies as st
from made_policies import CATEGORIES, RULES, policy

from moderation_service.core.conversation import Conversation
from moderation_service.core.moderator import Check, Moderator, Outcome
from moderation_service.core.policy import BUILT_IN, LiteBlocks, OnFailure, Policy, Rules, Thresholds, ToolRules
from moderation_service.core.verdict import (
    Action,
    Category,
    Coverage,
    Decision,
    Detail,
    PartRead,
    Scores,
    Severity,
    Target,
    Verdict,
)
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.core.what_if import Doubt, Judged, would_act
from moderation_service.errors import EngineUnavailable, ModerationError

DOWN = EngineUnavailable("Down.")


@st.composite
def scores(draw: st.DrawFn) -> Scores | None:
    if draw(st.booleans()):
        return None
    unsafe = draw(st.floats(0, 1))
    controversial = draw(st.floats(0, 1 - unsafe))
    return Scores(1 - unsafe - controversial, controversial, unsafe)


VERDICTS = st.builds(
    Verdict,
    target=st.just(Target.PROMPT),
    severity=st.sampled_from(Severity),
    categories=st.lists(st.sampled_from(CATEGORIES), unique=True).map(tuple),
    refusal=st.none(),
    scores=scores(),
    engine=st.just("fake"),
    model=st.just("fake-1"),
    read_in_part=st.sampled_from([frozenset(), frozenset({PartRead.CATEGORIES})]),
    failure=st.sampled_from([None, None, None, DOWN]),
    coverage=st.sampled_from([None, *Coverage]),
    is_sure=st.booleans(),
)
ANSWERS = VERDICTS | st.just(DOWN)


class Says(FakeEngine):
    """Gives this answer; categories only where they are asked for."""

    def __init__(self, answer: Verdict | ModerationError, *, name: str = "fake") -> None:
        super().__init__(name=name)
        self.answer = answer

    def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
        answer = self.answer
        if isinstance(answer, Verdict) and options["detail"] is Detail.SEVERITY:
            answer = replace(answer, categories=())
        return [answer] * len(conversations)


def decide(
    in_force: Policy,
    answer: Verdict | ModerationError,
    *,
    fallback: Verdict | None = None,
    detail: Detail = Detail.FULL,
) -> Outcome:
    moderator = Moderator(
        engine=Says(answer),
        fallback=None if fallback is None else Says(fallback, name="lite"),
        cache=VerdictCache(size=0, ttl_s=1),
    )
    return moderator.decide([Check(Conversation.of(prompt="bread"), in_force, detail=detail)])[0]


@given(RULES, RULES, ANSWERS, VERDICTS.map(lambda one: replace(one, failure=None)), st.sampled_from(Detail))
def test_a_shadow_policy_does_what_it_would_do_in_force_or_says_that_it_does_not_know(
    live: Rules, other: Rules, answer: Verdict | ModerationError, spare: Verdict, detail: Detail
) -> None:
    shadow = policy("shadow", other)
    with_shadow = replace(policy("live", live), shadow=(shadow,))
    outcome = decide(with_shadow, answer, fallback=spare, detail=detail)
    if isinstance(outcome, Decision) and outcome.shadow[0] is not None:
        in_force = decide(shadow, answer, fallback=spare, detail=detail)
        assert isinstance(in_force, Decision)
        assert outcome.shadow[0] is in_force.action


@given(RULES, RULES, VERDICTS.map(lambda one: replace(one, failure=None)))
def test_with_a_whole_verdict_and_its_categories_there_is_no_doubt(live: Rules, other: Rules, answer: Verdict) -> None:
    outcome = decide(replace(policy("live", live), shadow=(policy("shadow", other),)), answer)
    assert isinstance(outcome, Decision)
    assert outcome.shadow[0] is not None


@given(RULES, ANSWERS)
def test_a_policy_is_its_own_shadow(rules: Rules, answer: Verdict | ModerationError) -> None:
    same = policy("live", rules)
    outcome = decide(replace(same, shadow=(same,)), answer, fallback=None)
    if isinstance(outcome, Decision) and outcome.shadow[0] is not None:
        assert outcome.shadow[0] is outcome.action


def judged(severity: Severity | None = Severity.UNSAFE, **known: Any) -> Judged:
    return Judged(Target.PROMPT, severity, **known)


def rules(base: str = "balanced", **changed: Any) -> Rules:
    return replace(BUILT_IN[base].rules[Target.PROMPT], **changed)


FLAGS_PII: Mapping[Category, Mapping[Severity, Action]] = {Category.PII: {Severity.UNSAFE: Action.FLAG}}


@pytest.mark.parametrize(
    ("found", "changed", "expected"),
    [
        (judged(), {}, Action.BLOCK),
        (judged(unsafe=0.7, flagged=0.9), {"thresholds": Thresholds(unsafe=0.7)}, Action.BLOCK),
        (judged(unsafe=0.7, flagged=0.9), {"thresholds": Thresholds(unsafe=0.71)}, Action.FLAG),
        (judged(detail=Detail.SEVERITY), {"categories": FLAGS_PII}, Doubt.CATEGORIES),
        (judged(Severity.SAFE, detail=Detail.SEVERITY), {"categories": FLAGS_PII}, Action.ALLOW),
        (judged(categories=(Category.PII,)), {"categories": FLAGS_PII}, Action.FLAG),
        (judged(None, has_failed=True), {}, Doubt.NO_VERDICT),
        (judged(None, has_failed=True), {"on_failure": OnFailure.ERROR}, Doubt.ERROR),
        (judged(None, has_failed=True), {"on_failure": OnFailure.FLAG}, Action.FLAG),
        (judged(has_failed=True, by_fallback=True), {}, Action.BLOCK),
        (judged(has_failed=True, by_fallback=True), {"on_failure": OnFailure.ALLOW}, Action.ALLOW),
        (judged(has_failed=True, by_fallback=True), {"on_failure": OnFailure.ERROR}, Doubt.ERROR),
        (judged(is_sure=False), {"lite_blocks": LiteBlocks.SURE}, Action.FLAG),
        (judged(Severity.SAFE, coverage=Coverage.NONE), {"on_uncovered": Action.BLOCK}, Action.BLOCK),
    ],
)
def test_what_is_known_of_a_text_is_enough_or_the_reason_is_named(
    found: Judged, changed: dict[str, Any], expected: Action | Doubt
) -> None:
    assert would_act(policy("other", rules(**changed)), found) is expected


def test_rules_for_tools_are_in_doubt_only_where_they_make_a_difference() -> None:
    milder = ToolRules("mail_*", rules("loose"), rules("loose"))
    controversial = judged(Severity.CONTROVERSIAL, knows_tool=False)
    own = policy("own", rules(), milder)
    assert would_act(own, controversial) is Doubt.TOOL
    assert would_act(own, replace(controversial, severity=Severity.UNSAFE)) is Action.BLOCK
    assert would_act(own, replace(controversial, knows_tool=True)) is Action.FLAG
    assert would_act(own, replace(controversial, tool="mail_send", knows_tool=True)) is Action.ALLOW
