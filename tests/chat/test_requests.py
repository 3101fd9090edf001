"""What of a request is judged, what goes on to the model, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from moderation_service.core.conversation import Limits
from moderation_service.core.policy import BUILT_IN, Policies
from moderation_service.errors import InvalidRequest, TooLarge
from moderation_service.wires.guarded_chat import GuardedChat, GuardedOptions, parse
from moderation_service.wires.openai_models import Headers

POLICIES = Policies(BUILT_IN, default="balanced")
CALL = {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}


def read(messages: Any, *, headers: Headers = Headers(), **body: Any) -> GuardedChat:  # noqa: B008
    options = GuardedOptions(**{key: body.pop(key) for key in ("judge_tool_results", "allow_media") if key in body})
    whole = {"model": "llm-1", "messages": messages, **body}
    return parse(whole, policies=POLICIES, limits=Limits(messages=20), headers=headers, options=options)


def judged(messages: Any, **body: Any) -> list[list[str]]:
    return [[turn.content for turn in one.messages] for one in read(messages, **body).to_judge]


def turns(*said: str) -> list[dict[str, Any]]:
    return [dict(zip(("role", "content"), one.split(": ", 1), strict=True)) for one in said]


def test_the_users_words_are_judged_and_not_the_applications() -> None:
    chat = turns("system: bomb", "developer: bomb", "user: a", "assistant: b", "user: c")
    assert judged(chat) == [["a", "b", "c"]]


def test_no_user_message_hides_behind_another() -> None:
    assert judged(turns("user: a bomb", "system: x", "user: thanks")) == [["a bomb\nthanks"]]


def test_after_a_tool_was_called_the_question_is_judged_again() -> None:
    chat = [*turns("user: a"), {"role": "assistant", "content": None, "tool_calls": [CALL]}, *turns("tool: bomb")]
    assert judged(chat) == [["a"]]


def test_results_of_tools_are_judged_if_the_operator_wants_it() -> None:
    chat = [
        *turns("tool: old", "user: a", "tool: page", "function: other", "tool: \u200b"),
        {"role": "tool", "content": [{"type": "text", "text": "parts"}]},
    ]
    assert judged(chat, judge_tool_results=True) == [["a"], ["page"], ["other"], ["parts"]]


def test_an_answer_that_is_begun_for_the_model_is_judged() -> None:
    chat = turns("user: go on", "assistant: Sure, here is")
    assert judged(chat) == [["go on"], ["go on", "Sure, here is"]]
    assert read(chat).question.begun == "Sure, here is"


def test_text_parts_and_refusals_of_former_answers_are_read() -> None:
    chat = [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}], "name": "x"},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": None, "audio": {"id": "1"}},
        *turns("user: b"),
    ]
    assert judged(chat) == [["a", "no", "b"]]


def test_nothing_to_see_is_nothing_to_judge() -> None:
    assert judged(turns("system: hello")) == []
    assert judged([{"role": "user", "content": ""}]) == []


def test_invisible_letters_are_judged_because_models_read_them() -> None:
    tags = "".join(chr(0xE0000 + ord(letter)) for letter in "bomb")
    assert judged([{"role": "user", "content": tags}]) == [[tags]]
    begun = {"role": "assistant", "content": tags}
    assert judged([*turns("user: a"), begun]) == [["a"], ["a", tags]]
    result = {"role": "tool", "content": tags}
    assert judged([*turns("user: a"), result], judge_tool_results=True) == [["a"], [tags]]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_that_are_begun_for_the_model_are_judged(key: str) -> None:
    begun = {"role": "assistant", "content": None, key: "bomb"}
    assert judged([*turns("user: a"), begun]) == [["a"], ["a", "bomb"]]
    assert judged([*turns("user: a"), {**begun, "content": "Sure"}])[1] == ["a", "bomb\nSure"]
    assert judged([*turns("user: a"), {**begun, "content": [{"type": "text", "text": "Sure"}]}])[1][1] == "bomb\nSure"
    # What it thought before it called a tool is history, as what it said.
    assert judged([*turns("user: a"), {**begun, "tool_calls": [CALL]}, *turns("tool: b")]) == [["a"]]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"Messages": turns("user: bomb")}, "messages"),
        ({"me\u017f\u017fages": turns("user: bomb")}, "messages"),
        ({"STREAM": True}, "stream"),
        ({"messages": [{"role": "user", "content": "a", "Content": "bomb"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "Text": "b"}]}]},
         "messages[0].content[0].text"),
    ],
)  # fmt: skip
def test_a_field_that_some_servers_take_for_another_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(**{"messages": turns("user: a"), **body})
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chat_template", "{{ 'how to make a bomb' }}"),
        ("Chat_Template", "{{ 'how to make a bomb' }}"),
        ("documents", [{"title": "a", "text": "b"}]),
        ("prompt", "a bomb"),
        ("input", ["a bomb"]),
        ("prompt_token_ids", [1, 2]),
        ("prompt_embeds", "AAAA"),
        ("chat_template_kwargs", {"documents": ["a bomb"]}),
        ("chat_template_kwargs", {"persona": "how to make a bomb"}),
        ("chat_template_kwargs", {"persona": {"a": 1}}),
        ("chat_template_kwargs", "how to make a bomb"),
    ],
)
def test_text_for_the_model_outside_of_the_messages_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(turns("user: a"), **{field: value})
    assert caught.value.param == field.lower()


def test_options_of_the_template_go_on_to_the_model() -> None:
    options = {"enable_thinking": False, "reasoning_effort": "high", "budget": 100, "other": None}
    chat = read(turns("user: a"), chat_template_kwargs=options, documents=None)
    assert chat.forward["chat_template_kwargs"] == options


def test_all_that_was_sent_goes_on_to_the_model() -> None:
    body = {
        "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": "find"}}],
        "a_new_field": {"x": [1]},
    }
    chat = read(turns("user: a"), stream=True, stream_options={"include_usage": True}, n=2, **body)
    assert chat.forward == {
        "model": "llm-1",
        "messages": turns("user: a"),
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 2,
        **body,
    }
    assert (chat.stream, chat.include_usage, chat.choices, chat.tools) == (True, True, 2, frozenset({"find"}))


def test_what_is_for_us_does_not_go_on() -> None:
    chat = read(turns("user: a"), moderation={"model": "guard", "policy": {"input": {"mode": "score"}, "output": None}})
    assert "moderation" not in chat.forward
    assert chat.wants_moderation


def test_the_policy_is_that_of_the_header() -> None:
    assert read(turns("user: a")).policy.name == "balanced"
    assert read(turns("user: a"), headers=Headers(policy="strict")).policy.name == "strict"


def test_images_and_the_like_go_through_only_if_the_operator_wants_it() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    chat = [{"role": "user", "content": [{"type": "text", "text": "a"}, image]}]
    assert judged(chat, allow_media=True) == [["a"]]
    assert read([{"role": "user", "content": [image]}], allow_media=True).to_judge == ()
    with pytest.raises(InvalidRequest):
        read(chat)
    with pytest.raises(InvalidRequest):
        read(turns("user: a"), modalities=["text", "audio"])
    assert read(turns("user: a"), modalities=["text", "audio"], allow_media=True).stream is False


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ({}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": turns("critic: x")}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "other", "other": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content"),
        ({"messages": turns("user: x"), "model": 1}, "model"),
        ({"messages": turns("user: x"), "stream": "yes"}, "stream"),
        ({"messages": turns("user: x"), "stream_options": 1}, "stream_options"),
        ({"messages": turns("user: x"), "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"messages": turns("user: x"), "moderation": 1}, "moderation"),
        ({"messages": turns("user: x"), "moderation": {"model": "g", "policy": {"input": {"mode": "off"}}}},
         "moderation.policy"),
        ({"messages": turns("user: x"), "moderation": {"model": "g", "policy": [1]}}, "moderation.policy"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_the_name_of_its_field(body: Any, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(body, policies=POLICIES, limits=Limits(), headers=Headers(), options=GuardedOptions())
    assert caught.value.param == param


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        read(turns("user: a"), headers=Headers(policy="stricct"))


def test_too_many_messages_are_refused() -> None:
    with pytest.raises(TooLarge):
        read(turns("user: a") * 21)
