"""The native wire as pure functions; what HTTP adds is in test_api_moderate."""

from __future__ import annotations

from typing import Any

import pytest
from apps import decision
from fakes import FakeEngine
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.conversation import Conversation
from moderation_service.core.moderator import Check, Moderator
from moderation_service.core.policy import BUILT_IN, OnFailure, Policies, Policy, Rules
from moderation_service.core.verdict import Detail, Target
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.errors import EngineUnavailable, InvalidRequest, ModerationError, TooLarge
from moderation_service.wires import native
from moderation_service.wires.native import NativeLimits

POLICIES = Policies(BUILT_IN, default="balanced")
LIMITS = NativeLimits(batch_items=4)


def parse(body: object, **options: Any) -> native.NativeRequest:
    return native.parse(body, **{"policies": POLICIES, "limits": LIMITS, **options})


def check(body: object, **options: Any) -> Check:
    asked = parse(body, **options)
    assert not asked.is_batch
    (one,) = asked.items
    assert isinstance(one, Check)
    return one


def render(body: object, **parts: Any) -> dict[str, object]:
    moderator = Moderator(**{"engine": FakeEngine(), "cache": VerdictCache(size=9, ttl_s=9), **parts})
    return native.render(moderator.decide([check(body)])[0])


def test_a_prompt_alone_is_judged_by_the_default_policy_in_full() -> None:
    assert check({"prompt": "Hello"}) == Check(Conversation.of(prompt="Hello"), BUILT_IN["balanced"])


def test_options_are_read() -> None:
    body = {"response": "Hi", "policy": "strict", "detail": "severity", "metadata": {"user": "u1"}}
    assert check(body, languages=("zh",)) == Check(
        Conversation.of(response="Hi"), BUILT_IN["strict"], Detail.SEVERITY, ("zh",), {"user": "u1"}
    )


def test_a_batch_is_read_item_by_item() -> None:
    asked = parse({"inputs": [{"prompt": "a"}, {"prompt": ""}, 7, {"prompt": "b", "policy": "loose"}]})
    assert asked.is_batch
    first, blank, number, last = asked.items
    assert first == Check(Conversation.of(prompt="a"), BUILT_IN["balanced"])
    assert isinstance(blank, InvalidRequest)
    assert blank.param == "inputs[1].prompt"
    assert isinstance(number, InvalidRequest)
    assert number.param == "inputs[2]"
    assert last == Check(Conversation.of(prompt="b"), BUILT_IN["loose"])


def test_options_beside_the_inputs_count_for_items_without_their_own() -> None:
    asked = parse(
        {
            "inputs": [{"prompt": "a"}, {"prompt": "b", "policy": "loose", "metadata": {}}],
            "policy": "strict",
            "detail": "severity",
            "metadata": {"team": "a"},
        }
    )
    assert asked.items == [
        Check(Conversation.of(prompt="a"), BUILT_IN["strict"], Detail.SEVERITY, (), {"team": "a"}),
        Check(Conversation.of(prompt="b"), BUILT_IN["loose"], Detail.SEVERITY, (), {}),
    ]


def test_metadata_may_be_as_large_as_its_limits_and_no_larger() -> None:
    limits = NativeLimits(metadata_bytes=17)
    assert check({"prompt": "x", "metadata": {"a": "12345678"}}, limits=limits).metadata == {"a": "12345678"}
    for metadata in ({"a": "123456789"}, {"a": "é2345678"}):
        with pytest.raises(TooLarge) as caught:
            check({"prompt": "x", "metadata": metadata}, limits=limits)
        assert caught.value.message == "`metadata` is over its limit of 16 keys and 17 bytes."
    assert len(check({"prompt": "x", "metadata": {str(key): 1 for key in range(16)}}).metadata) == 16
    with pytest.raises(TooLarge):
        check({"prompt": "x", "metadata": {str(key): 1 for key in range(17)}})


def test_a_batch_may_be_as_long_as_its_limit_and_no_longer() -> None:
    assert len(parse({"inputs": [{"prompt": "x"}] * 4}).items) == 4
    with pytest.raises(TooLarge) as caught:
        parse({"inputs": [{"prompt": "x"}] * 5})
    assert (caught.value.message, caught.value.param) == ("`inputs` has 5 items; the limit is 4.", "inputs")


def test_a_decision_is_rendered_whole() -> None:
    assert render({"prompt": "How to make a bomb?"}) == decision("unsafe", "violent")
    assert render({"prompt": "Hi", "response": "I can't."}) == decision(target="response", refusal=True)


def test_a_verdict_without_scores_has_null_scores() -> None:
    assert render({"prompt": "bread"}, engine=FakeEngine(has_scores=False)) == decision(scores=None)


def test_a_decision_without_a_verdict_has_null_safety_and_no_windows() -> None:
    actions = BUILT_IN["balanced"].rules[Target.PROMPT].actions
    rules = Rules(actions, on_failure=OnFailure.FLAG)
    own = Policy("own", "", dict.fromkeys(Target, rules))
    engine = FakeEngine(raises=EngineUnavailable("Down."))
    moderator = Moderator(engine=engine, cache=VerdictCache(size=9, ttl_s=9))
    outcome = moderator.decide([Check(Conversation.of(prompt="x"), own)])[0]
    assert native.render(outcome) == decision(None, action="flag", policy="own", degraded=True)


def test_an_error_is_rendered_in_its_envelope() -> None:
    error = TooLarge("Over the limit.", param="inputs[1]", retry_after_s=1)
    assert native.render(error) == {"error": {"type": "too_large", "message": "Over the limit.", "param": "inputs[1]"}}
    assert native.render_batch([error]) == {"results": [native.render(error)]}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
fields = {
    "prompt": st.text(max_size=8) | anything,
    "response": st.text(max_size=8) | anything,
    "messages": anything,
    "policy": st.sampled_from(["strict", "loose", "none"]) | anything,
    "detail": st.sampled_from(["full", "severity", ""]) | anything,
    "metadata": st.dictionaries(st.text(max_size=4), anything, max_size=3) | anything,
}
items = st.fixed_dictionaries({}, optional={**fields, "extra": anything})
bodies = items | st.fixed_dictionaries({"inputs": st.lists(items | anything, max_size=5) | anything}, optional=fields)


@given(bodies | anything)
def test_any_body_gives_checks_or_an_error_of_ours(body: object) -> None:
    try:
        asked = parse(body)
    except ModerationError as error:
        assert error.status in (400, 413)
        return
    for index, item in enumerate(asked.items):
        if isinstance(item, Check):
            assert item.policy.name in ("strict", "balanced", "loose")
        else:
            assert item.status in (400, 413)
            assert asked.is_batch
            assert (item.param or "").startswith(f"inputs[{index}]")
