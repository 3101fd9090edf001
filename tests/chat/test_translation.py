"""Responses and Messages in front of a server that only knows chat completions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import fake_messages
import fake_responses
import pytest
from fake_llm import FakeLLM, Request, Step, chunk, http, sse, whole

from . import test_messages, test_responses

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
SORRY = "Sorry, I can't help with that."
BREAD = "Mix the flour with water. Then knead it for ten minutes. "
CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"q": "yeast"}'}}
MESSAGE = {"role": "assistant", "content": BREAD, "reasoning_content": "Bread, then. ", "tool_calls": [CALL]}


def streamed(*deltas: dict[str, Any], finish: str = "stop") -> list[Step]:
    usage = {**chunk({}), "choices": [], "usage": USAGE}
    return [*sse(*[chunk(delta) for delta in deltas], chunk({}, finish=finish), usage)]


DELTAS = [
    {"role": "assistant", "content": ""},
    {"reasoning_content": "Bread, "},
    {"reasoning_content": "then. "},
    {"content": BREAD[:20]},
    {"content": BREAD[20:]},
    {"tool_calls": [{**CALL, "index": 0, "function": {"name": "find", "arguments": '{"q": '}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '"yeast"}'}}]},
]


def only_chats(*steps: Step, status: int = 404) -> Any:
    """A server without the other contracts."""

    def behave(request: Request) -> Iterable[Step]:
        return steps if request.path.endswith("/chat/completions") else [http(status, {"detail": "Not Found"})]

    return behave


@pytest.fixture
def responses(llm: FakeLLM) -> test_responses.Door:
    return test_responses.Door(llm)


@pytest.fixture
def messages(llm: FakeLLM) -> test_messages.Door:
    return test_messages.Door(llm)


@pytest.mark.parametrize("status", [404, 405])
def test_a_response_is_made_of_a_completion(responses: test_responses.Door, status: int) -> None:
    responses.llm.behave = only_chats(whole(MESSAGE, finish="tool_calls"), status=status)
    reply = responses.ask(tools=test_responses.TOOLS).json
    assert [item["type"] for item in reply["output"]] == ["reasoning", "message", "function_call"]
    thought, said, call = reply["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Bread, then. "}]
    assert said["content"][0]["text"] == BREAD
    assert (call["name"], call["arguments"], call["call_id"]) == ("find", '{"q": "yeast"}', "call_1")
    assert (reply["status"], reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]) == ("completed", 3, 5)


def test_a_stream_of_a_response_is_made_of_chunks(responses: test_responses.Door) -> None:
    responses.llm.behave = only_chats(*streamed(*DELTAS, finish="tool_calls"))
    found = responses.stream(tools=test_responses.TOOLS)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert test_responses.text_of(found) == BREAD
    assert test_responses.text_of(found, "reasoning_text") == "Bread, then. "
    items = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    assert items == found[-1]["response"]["output"]
    assert found[-1]["response"]["output"][2]["arguments"] == '{"q": "yeast"}'


def test_a_message_is_made_of_a_completion(messages: test_messages.Door) -> None:
    messages.llm.behave = only_chats(whole(MESSAGE, finish="tool_calls"))
    reply = messages.ask(tools=test_messages.TOOLS).json
    call = fake_messages.tool_use({"q": "yeast"}, name="call_1")
    assert reply["content"] == [fake_messages.thinking("Bread, then. "), fake_messages.text(BREAD), call]
    assert (reply["stop_reason"], reply["usage"]) == ("tool_use", {"input_tokens": 3, "output_tokens": 5})


def test_a_stream_of_a_message_is_made_of_chunks(messages: test_messages.Door) -> None:
    messages.llm.behave = only_chats(*streamed(*DELTAS, finish="tool_calls"))
    found = messages.stream(tools=test_messages.TOOLS)
    assert test_messages.text_of(found) == BREAD
    starts = [event["content_block"]["type"] for event in found if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text", "tool_use"]
    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    assert "".join(delta.get("partial_json", "") for delta in deltas) == '{"q": "yeast"}'
    assert found[-2]["delta"]["stop_reason"] == "tool_use"


def test_what_is_blocked_is_blocked_here_too(responses: test_responses.Door, messages: test_messages.Door) -> None:
    responses.llm.behave = only_chats(*streamed({"content": BREAD}, {"content": "Now the bomb."}))
    for found in (responses.stream(), messages.stream()):
        assert "bomb" not in json.dumps(found)
        assert SORRY in json.dumps(found)
    responses.llm.behave = only_chats(whole("A bomb."))
    assert responses.ask().json["status"] == "incomplete"
    assert messages.ask().json["stop_reason"] == "refusal"


@pytest.mark.parametrize("steps", [streamed({"content": BREAD})[:-2], streamed({"content": BREAD})[:2]])
def test_a_stream_that_breaks_off_is_no_end(
    responses: test_responses.Door, messages: test_messages.Door, steps: list[Step]
) -> None:
    is_whole = len(steps) > 2
    responses.llm.behave = only_chats(*steps)
    shown = responses.ask(stream=True).get_data(as_text=True)
    assert ("response.completed" in shown) == is_whole
    shown = messages.ask(stream=True).get_data(as_text=True)
    assert ("message_stop" in shown) == is_whole


def test_a_finished_length_is_told(responses: test_responses.Door, messages: test_messages.Door) -> None:
    responses.llm.behave = only_chats(whole(BREAD, finish="length"))
    assert responses.ask().json["incomplete_details"] == {"reason": "max_output_tokens"}
    assert messages.ask().json["stop_reason"] == "max_tokens"


def test_a_server_that_lacks_the_address_is_asked_once(responses: test_responses.Door) -> None:
    responses.llm.behave = only_chats(whole(BREAD))
    for _ in range(3):
        assert responses.ask().json["status"] == "completed"
    paths = [request.path for request in responses.llm.requests]
    assert paths == ["/v1/responses", *["/v1/chat/completions"] * 3]


def test_a_model_that_is_not_there_is_the_servers_404(responses: test_responses.Door) -> None:
    error = {"error": {"message": "The model does not exist.", "type": "NotFoundError", "code": 404}}
    responses.llm.behave = lambda request: [http(404, error)]
    for _ in range(2):
        assert (responses.ask().status_code, responses.ask().json) == (404, error)
    assert {request.path for request in responses.llm.requests} == {"/v1/responses", "/v1/chat/completions"}


def test_a_request_says_the_same_in_the_other_contract(responses: test_responses.Door) -> None:
    responses.llm.behave = only_chats(whole(BREAD))
    given = [
        {"role": "developer", "content": "Short."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_text", "text": "there"}]},
        fake_responses.reasoning("Hm."),
        fake_responses.call('{"q": "x"}'),
        fake_responses.call("{}", name="fc_2"),
        {"type": "function_call_output", "call_id": "call_fc_1", "output": "Two."},
    ]
    form = {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}}
    asked = responses.ask(
        given, instructions="Be kind.", tools=test_responses.TOOLS, tool_choice={"type": "function", "name": "find"},
        text=form, max_output_tokens=9, temperature=0.5, reasoning={"effort": "low"}, metadata={"a": "b"}, store=False,
    )  # fmt: skip
    assert asked.status_code == 200
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": "find", "arguments": arguments}}
        for name, arguments in (("fc_1", '{"q": "x"}'), ("fc_2", "{}"))
    ]
    assert responses.llm.requests[-1].body == {
        "model": "llm-1",
        "temperature": 0.5,
        "max_tokens": 9,
        "reasoning_effort": "low",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "system", "content": "Short."},
            {"role": "user", "content": "Hi\nthere"},
            {"role": "assistant", "content": None, "tool_calls": calls, "reasoning_content": "Hm."},
            {"role": "tool", "tool_call_id": "call_fc_1", "content": "Two."},
        ],
        "tools": [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "find"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
        },
    }


def test_a_message_says_the_same_in_the_other_contract(messages: test_messages.Door) -> None:
    messages.llm.behave = only_chats(whole(BREAD))
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [fake_messages.text("Two.")]}
    given = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [fake_messages.text("Let me see."), fake_messages.tool_use({"q": "x"})]},
        {"role": "user", "content": [result, fake_messages.text("And?")]},
    ]
    asked = messages.ask(
        given, system=[fake_messages.text("Be kind.")], tools=test_messages.TOOLS, tool_choice={"type": "any"},
        stop_sequences=["END"], top_k=4, metadata={"user_id": "u"},
    )  # fmt: skip
    assert asked.status_code == 200
    function = {"name": "find", "arguments": '{"q": "x"}'}
    assert messages.llm.requests[-1].body == {
        "model": "llm-1",
        "max_tokens": 64,
        "top_k": 4,
        "stop": ["END"],
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [{"id": "toolu_1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "Two."},
            {"role": "user", "content": [{"type": "text", "text": "And?"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}],
        "tool_choice": "required",
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "custom", "name": "patch"}]}, "tools[0].type"),
        ({"truncation": "auto"}, "truncation"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"given": [{"type": "custom_tool_call_output", "call_id": "c", "output": "x"}]}, "input[0].type"),
    ],
)
def test_what_would_be_lost_of_a_response_is_refused_by_name(
    responses: test_responses.Door, body: dict[str, Any], param: str
) -> None:
    responses.llm.behave = only_chats(whole(BREAD))
    reply = responses.ask(**body)
    assert (reply.status_code, reply.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management"),
        ({"context_management": {"edits": "clear_thinking_20251015"}}, "context_management"),
        ({"context_management": []}, "context_management"),
    ],
)
def test_what_would_be_lost_of_a_message_is_refused_by_name(
    messages: test_messages.Door, body: dict[str, Any], named: str
) -> None:
    messages.llm.behave = only_chats(whole(BREAD))
    reply = messages.ask(**body)
    assert reply.status_code == 400
    assert f"`{named}`" in reply.json["error"]["message"]


def test_what_only_saves_room_in_the_context_is_left_out(messages: test_messages.Door) -> None:
    messages.llm.behave = only_chats(whole(BREAD))
    edits = [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]
    for management in ({"edits": edits}, {"edits": []}, {}):
        reply = messages.ask(context_management=management)
        assert (reply.status_code, reply.json["content"][0]["text"]) == (200, BREAD)
        assert "context_management" not in messages.llm.requests[-1].body
