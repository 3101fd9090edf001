"""Learning a server's chat template from conversations that it rendered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.engines.vllm.rendering import ANSWER_BEGINNING, learn
from moderation_service.upstream.byte_level import spelled

roles = st.lists(st.sampled_from(["user", "assistant"]), max_size=6).map(lambda rest: ["user", *rest])


def template(messages: list[dict[str, str]]) -> str:
    """The real template's logic: the mode from the last turn, prefixes per turn."""
    mode = "prompt" if messages[-1]["role"] == "user" else "response"
    turns = "\n\n".join(f"{message['role'].upper()}: {message['content']}" for message in messages)
    return f"<|im_start|>user\nJudge the {mode}.\n\n{turns}\n\n<END> {mode}<|im_end|>\n"


@given(roles, st.text(max_size=20))
def test_every_conversation_is_rendered_as_the_server_does(turns: list[str], text: str) -> None:
    rendering = learn(template)
    assert rendering is not None
    messages = [{"role": role, "content": f"{text}{at}"} for at, role in enumerate(turns)]
    assert rendering.prompt(messages) == template(messages) + ANSWER_BEGINNING


@pytest.mark.parametrize(
    "odd",
    [
        lambda messages: None,
        lambda messages: "",
        lambda messages: "always the same",
        lambda messages: template(messages) + str(len(messages)),
        lambda messages: template(messages).lower(),
        lambda messages: template(messages[-2:]),
        lambda messages: template([*messages, *messages]),
        lambda messages: template([{**message, "content": message["content"].strip()} for message in messages]),
    ],
)
def test_a_template_that_follows_another_rule_is_not_imitated(odd) -> None:
    assert learn(odd) is None


def test_tokens_spell_bytes() -> None:
    assert spelled(["Safety", ":", "ĠUnsafe", "Ċ", "ä½ł"]) == "Safety: Unsafe\n你"
    assert spelled(["ä½"]) is None
    assert spelled(["你"]) is None
