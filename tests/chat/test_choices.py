"""What counts as text in a choice, and what tools are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.wires.openai_choices import parts_of, tool_text


def texts(delta: Any, *, tools: frozenset[str] = frozenset(), key: str = "delta") -> list[tuple[str, str]]:
    parts = parts_of({"index": 0, key: delta, "finish_reason": None}, tools=tools)
    return [(part.channel, part.text) for part in parts]


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"role": "assistant", "content": "a"}, [("content", "a")]),
        ({"content": None, "refusal": "no"}, [("refusal", "no")]),
        ({"reasoning_content": "hm"}, [("reasoning_content", "hm")]),
        ({"reasoning": "hm", "reasoning_content": "hm"}, [("reasoning_content", "hm")]),
        ({"reasoning": "hm", "reasoning_content": "other"}, [("reasoning", "hm"), ("reasoning_content", "other")]),
        ({"audio": {"id": "1", "transcript": "a", "data": "AAAA"}}, [("audio", "a")]),
        ({"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"text": "b"}]}]},
         [("content", "a"), ("content", "b")]),
        ({"annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}]},
         [("annotations", "u"), ("annotations", "t")]),
        ({"a_field_of_the_future": {"deep": ["a"]}}, [("a_field_of_the_future", "a")]),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}, {"text": "a"}]},
         [("reasoning_details", "a")]),
        ({"tool_calls": "odd"}, [("tool_calls", "odd")]),
        (None, []),
        ("odd", [("content", "odd")]),
        (["odd"], [("content", "odd")]),
    ],
)  # fmt: skip
def test_every_string_that_may_be_read_is_text(delta: Any, expected: list[tuple[str, str]]) -> None:
    assert texts(delta) == expected
    assert texts(delta, key="message") == expected


def test_text_beside_the_message_is_text_but_for_what_servers_say_of_it() -> None:
    about = {"index": 0, "finish_reason": "stop", "stop_reason": "END", "content_filter_results": {"hate": "safe"}}
    assert list(parts_of({**about, "delta": {}})) == []
    found = parts_of({**about, "delta": {}, "failed_generation": "a bomb", "extra": {"said": ["b"]}})
    assert [(part.channel, part.text) for part in found] == [("failed_generation", "a bomb"), ("extra", "b")]


def test_tokens_that_come_before_their_text_are_text() -> None:
    held_back = {"delta": {"content": ""}, "logprobs": {"content": [{"token": "a "}, {"token": "bomb"}]}}
    assert [(part.channel, part.text) for part in parts_of(held_back) if part.text] == [
        ("logprobs", "a "),
        ("logprobs", "bomb"),
    ]
    older = {"text": "", "logprobs": {"tokens": ["a bomb"], "token_logprobs": [-0.1], "text_offset": [0]}}
    assert [part.text for part in parts_of(older) if part.text] == ["a bomb"]
    with_its_text = {"delta": {"content": "a "}, "logprobs": {"content": [{"token": "a "}]}}
    assert [(part.channel, part.text) for part in parts_of(with_its_text)] == [("content", "a ")]


def test_the_older_kind_of_completion_has_text_too() -> None:
    assert [part.text for part in parts_of({"index": 0, "text": "a"})] == ["a"]


def test_what_a_tool_is_told_is_text_of_that_tool() -> None:
    calls = [
        {"index": 0, "id": "1", "type": "function", "function": {"name": "find", "arguments": '{"q":'}},
        {"index": 1, "type": "custom", "custom": {"name": "made_up", "input": "text"}},
    ]
    parts = list(parts_of({"delta": {"tool_calls": calls}}, tools=frozenset({"find"})))
    assert [(part.channel, part.text, part.is_tool) for part in parts] == [
        ("tool_calls 0", '{"q":', True),
        ("tool_calls", "made_up", False),
        ("tool_calls 1", "text", True),
    ]


def test_tools_of_a_whole_message_have_no_index() -> None:
    calls = [{"function": {"name": "f", "arguments": "1"}}, {"function": {"name": "f", "arguments": "2"}}]
    assert texts({"tool_calls": calls}, tools=frozenset({"f"})) == [("tool_calls 0", "1"), ("tool_calls 1", "2")]


def test_the_older_kind_of_tool_call_is_known() -> None:
    call = {"function_call": {"name": "f", "arguments": "{}"}}
    assert texts(call, tools=frozenset({"f"})) == [("tool_calls function_call", "{}")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"q": "\\u0062omb"}', "q\nbomb"),
        ('{"a": "bomb", "a": "x"}', "a\nbomb\na\nx"),
        ('["a", {"b": ["c"]}, 1, null]', "a\nb\nc"),
        ("{}", ""),
        ("", ""),
        ('{"q": "cut of', '{"q": "cut of'),
        ('{"q": "\\u0062omb and \\u00', '{"q": "bomb and \\u00'),
        ('{"q": "\\u0062omb"} Done.', '{"q": "bomb"} Done.'),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_tools_are_told_what_the_json_says(arguments: str, expected: str) -> None:
    assert tool_text(arguments) == expected


WORDS = st.text(max_size=4)
JSON = st.recursive(
    WORDS | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_no_string_of_a_message_is_overlooked(content: Any, other: Any) -> None:
    found = "\n".join(text for _, text in texts({"content": content, "other": other}))

    def check(value: Any) -> None:
        if isinstance(value, str):
            assert value in found
        for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            check(item)

    check(json.loads(json.dumps([content, other])))
