"""The tools of the MCP server without its SDK: arguments, results, and a policy in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from apps import make_service
from fakes import FakeEngine

from moderation_service.config.policy_file import load_policies
from moderation_service.core.policy import BUILT_IN, Policies
from moderation_service.errors import EngineUnavailable, InvalidRequest
from moderation_service.wires.mcp_tools import check_of, explanation, result_of

POLICIES = Policies(BUILT_IN, default="balanced")


def test_a_result_has_what_an_agent_needs() -> None:
    check = check_of(POLICIES, prompt="how to make a bomb", response=None, policy=None)
    result = dict(result_of(make_service().moderator.decide([check])[0]))
    assert str(result.pop("id")).startswith("mod_")
    assert result == {
        "action": "block",
        "safety": "unsafe",
        "categories": ["violent"],
        "refusal": None,
        "message": "Sorry, I can't help with that.",
        "policy": "balanced",
        "degraded": False,
    }


def test_a_failure_is_raised() -> None:
    check = check_of(POLICIES, prompt=None, response="hello", policy="strict")
    service = make_service(engine=FakeEngine(raises=EngineUnavailable("Down.")))
    with pytest.raises(EngineUnavailable):
        result_of(service.moderator.decide([check])[0])


@pytest.mark.parametrize(("prompt", "response"), [("", None), (None, " "), ("hello", "\u200b")])
def test_an_empty_text_is_named_as_the_tool_names_it(prompt: str | None, response: str | None) -> None:
    with pytest.raises(InvalidRequest, match="`text` is empty or blank"):
        check_of(POLICIES, prompt=prompt, response=response, policy=None)


def test_a_policy_is_told_in_sentences(tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(
        "policies: {p: {description: d, extends: strict, on_failure: block, thresholds: {unsafe: 0.4},"
        " categories: {pii: {controversial: flag}}}}"
    )
    told = explanation(load_policies(file, default="balanced"), "p")
    assert told["prompts"] == [
        "Allows safe text.",
        "Blocks controversial text.",
        "Blocks unsafe text.",
        "Marks for review controversial text of pii.",
        "Counts text as unsafe from a probability of 0.4 on.",
        "Without a verdict: block.",
    ]
    with pytest.raises(InvalidRequest, match="`policy` is no policy"):
        explanation(POLICIES, "srict")
