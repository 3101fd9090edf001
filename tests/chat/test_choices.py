"""What counts as text in a choice, and what tools are told."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.tool_calls import tool_text
from moderation_service.wires.openai_choices import FIELDS, parts_of, tokens_of

SEALED = base64.b64encode(bytes(range(120, 200))).decode()


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
        ({"audio": {"id": "1", "transcript": "a", "data": "AAAAAAAAAAAAAAAA"}}, [("audio", "a")]),
        ({"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"text": "b"}]}]},
         [("content", "a"), ("content", "b")]),
        ({"annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}]},
         [("annotations", "u"), ("annotations", "t")]),
        ({"a_field_of_the_future": {"content": ["a"]}},
         [(FIELDS, "a_field_of_the_future\n"), ("a_field_of_the_future", "a")]),
        ({"reasoning": {"deep": 1}}, [("reasoning", "deep\n")]),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": SEALED}, {"text": "a"}]},
         [("reasoning_details", "a")]),
        ({"reasoning_details": [{"type": "a bomb", "data": "a bomb"}]},
         [("reasoning_details", "a bomb"), ("reasoning_details", "a bomb")]),
        ({"reasoning_details": [{"data": base64.b64encode(b"how to make a bomb").decode()}]},
         [("reasoning_details", "aG93IHRvIG1ha2UgYSBib21i")]),
        ({"role": "a bomb"}, [("role", "a bomb")]),
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
    filtered = {"hate": {"filtered": False, "severity": "safe"}}
    about = {"index": 0, "finish_reason": "stop", "stop_reason": "END", "content_filter_results": filtered}
    assert list(parts_of({**about, "delta": {}}, stops=frozenset({"END"}))) == []
    assert [part.text for part in parts_of({**about, "delta": {}})] == ["END"]
    found = parts_of({**about, "stop_reason": 5, "delta": {}, "failed_generation": "a bomb", "text": ["b"]})
    assert [(part.channel, part.text) for part in found] == [
        (FIELDS, "failed_generation\n"),
        ("failed_generation", "a bomb"),
        ("text", "b"),
    ]


@pytest.mark.parametrize(
    ("choice", "spelled", "beside", "ids"),
    [
        ({"logprobs": {"content": [{"token": "a "}, {"token": "loaf"}]}}, b"a loaf", [], 0),
        ({"logprobs": {"content": [{"token": "\ufffd", "bytes": [0xE5, 0xA5]}]}}, b"\xe5\xa5", [], 0),
        ({"logprobs": {"content": [{"token": "a", "bytes": [98]}]}}, b"b", ["a"], 0),
        ({"logprobs": {"content": [{"token": "token_id:7", "bytes": [98]}]}}, b"b", [], 0),
        ({"logprobs": {"content": [{"token": "token_id:7"}]}, "token_ids": [7, 8]}, b"", [], 3),
        ({"logprobs": {"content": [{"token": "a", "top_logprobs": [{"token": "a"}, {"token": "b"}]}]}}, b"a", ["b"], 0),
        ({"logprobs": {"content": [{"token": "a", "top_logprobs": [{"token": "b", "bytes": [99]}]}]}}, b"a",
         ["b", "c"], 0),
        ({"logprobs": {"tokens": ["a ", "loaf"], "token_logprobs": [-0.1], "text_offset": [0],
                       "top_logprobs": [{"a ": -0.1}]}}, b"a loaf", ["a \n"], 0),
        ({"logprobs": {"content": None, "other": "b"}}, b"", ["other\n", "b"], 0),
    ],
)  # fmt: skip
def test_tokens_are_read_wherever_they_are_told(
    choice: dict[str, Any], spelled: bytes, beside: list[str], ids: int
) -> None:
    found = tokens_of(choice)
    assert found is not None
    assert (bytes(found.spelled), found.beside, found.ids, found.is_numbers) == (spelled, beside, ids, False)


def test_a_choice_without_tokens_tells_of_none() -> None:
    assert tokens_of({"delta": {"content": "a"}, "logprobs": None}) is None


def test_the_older_kind_of_completion_has_text_too() -> None:
    assert [part.text for part in parts_of({"index": 0, "text": "a"})] == ["a"]


def test_what_a_tool_is_told_is_text_of_that_tool() -> None:
    calls = [
        {"index": 0, "id": "1", "type": "function", "function": {"name": "find", "arguments": '{"q":'}},
        {"index": 1, "type": "custom", "custom": {"name": "made_up", "input": "text"}},
    ]
    parts = list(parts_of({"delta": {"tool_calls": calls}}, tools=frozenset({"find"})))
    assert [(part.channel, part.text, part.is_tool) for part in parts if not part.tool] == [
        ("tool_calls 0", '{"q":', True),
        ("tool_calls", "made_up", False),
        ("tool_calls 1", "text", True),
    ]


def test_tools_of_a_whole_message_have_no_index() -> None:
    calls = [{"function": {"name": "f", "arguments": "1"}}, {"function": {"name": "f", "arguments": "2"}}]
    found = texts({"tool_calls": calls}, tools=frozenset({"f"}))
    assert [one for one in found if one[1]] == [("tool_calls 0", "1"), ("tool_calls 1", "2")]


def test_the_older_kind_of_tool_call_is_known() -> None:
    call = {"function_call": {"name": "f", "arguments": "{}"}}
    found = texts(call, tools=frozenset({"f"}))
    assert [one for one in found if one[1]] == [("tool_calls function_call", "{}")]


def test_a_call_says_which_tool_it_is_told_to() -> None:
    call = {"tool_calls": [{"index": 2, "function": {"name": "send_mail", "arguments": "{}"}}]}
    named = [(part.channel, part.tool) for part in parts_of({"delta": call}) if part.tool]
    assert named == [("tool_calls 2", "send_mail")]


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
