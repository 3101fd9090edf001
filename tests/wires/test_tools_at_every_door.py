"""What an answer tells tools, and what tools gave back: one rule at every door where whole chats are handed over."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from apps import make_client

HELLO = {"role": "user", "content": "hello"}
BLOCKED_STATUS = 403
Door = Callable[[Any, Mapping[str, Any]], bool]
"""Whether an answer, as a message of an assistant, is blocked at a door."""


def ask(path: str, body: object, **settings: Any) -> Any:
    return make_client(log_level="error", **settings).post(path, json=body)


def portkey(answer: Mapping[str, Any], **settings: Any) -> bool:
    body = {
        "eventType": "afterRequestHook",
        "request": {"json": {"messages": [HELLO]}},
        "response": {"json": answer, "text": ""},
    }
    return ask("/portkey", body, **settings).json["verdict"] is False


def completion(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}}]}


def agentgateway(message: Mapping[str, Any], **settings: Any) -> bool:
    return "body" in ask("/response", {"body": completion(message)}, **settings).json["action"]


def litellm(message: Mapping[str, Any], **settings: Any) -> bool:
    texts = [message["content"]] if message.get("content") else []
    body = {"input_type": "response", "texts": texts, "tool_calls": message["tool_calls"]}
    return ask("/beta/litellm_basic_guardrail_api", body, **settings).json["action"] == "BLOCKED"


def chat_of(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"messages": [HELLO, {"role": "assistant", **message}]}


def lakera(message: Mapping[str, Any], **settings: Any) -> bool:
    return ask("/v2/guard", chat_of(message), **settings).json["flagged"] is True


def detectors(message: Mapping[str, Any], **settings: Any) -> bool:
    return ask("/api/v1/text/chat", chat_of(message), **settings).json != []


def native(message: Mapping[str, Any], **settings: Any) -> bool:
    told = ask("/moderate", chat_of(message), **settings).json
    return (told["target"], told["allowed"]) == ("response", False)


def guard_as_model(message: Mapping[str, Any], **settings: Any) -> bool:
    told = ask("/v1/chat/completions", {"model": "guard", **chat_of(message)}, **settings).json
    return told["x_moderation"]["allowed"] is False


def call(arguments: object, name: str = "send") -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(arguments: object, name: str = "send") -> dict[str, Any]:
    return {"content": None, "tool_calls": [call(arguments, name)]}


DOORS = [lambda one, **more: portkey(completion(one), **more), litellm, agentgateway, lakera, detectors]
NAMES = ["portkey", "litellm", "agentgateway", "lakera", "detectors"]


@pytest.mark.parametrize("door", [*DOORS, native, guard_as_model], ids=[*NAMES, "native", "guard as model"])
def test_what_a_tool_is_told_is_judged_as_an_answer(door: Callable[..., bool]) -> None:
    assert door(calling(json.dumps({"text": "take a bomb"})))
    assert door({**calling('{"text": "take a \\u0062omb"}'), "content": "Fine."})
    assert not door(calling(json.dumps({"text": "take a break"})) | {"content": "Fine."})


@pytest.mark.parametrize(
    "answer",
    [
        completion({"content": None, "function_call": {"name": "send", "arguments": '{"text": "a bomb"}'}}),
        completion({"content": None, "tool_calls": [{"id": "c", "custom": {"name": "send", "input": "a bomb"}}]}),
        completion({"content": None, "tool_calls": [call({"text": "a bomb"})]}),
        completion({"content": None, "tool_calls": [call("{}", name="put a bomb there")]}),
        completion({"content": "", "content_blocks": [{"type": "tool_use", "name": "f", "input": {"t": "a bomb"}}]}),
        {"content": [{"type": "tool_use", "id": "t_1", "name": "f", "input": {"deep": [{"t": "a bomb"}]}}]},
        {"output": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"t": "a bomb"}'}]},
        {"output": [{"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "a bomb"}]},
        {"output": [{"type": "mcp_call", "id": "m", "name": "f", "arguments": '{"t": "a bomb"}'}]},
        {"output": [{"type": "web_search_call", "action": {"type": "search", "query": "a bomb"}}]},
        {"output": {"message": {"content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {"t": "a bomb"}}}]}}},
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"t": "a bomb"}}}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "a bomb"}]}}]},
    ],
)
def test_the_calls_of_every_contract_are_known(answer: dict[str, Any]) -> None:
    assert portkey(answer)
    assert not portkey(json.loads(json.dumps(answer).replace("bomb", "break")))


def test_half_a_character_in_a_call_is_no_way_around() -> None:
    assert portkey(completion(calling('{"text": "a bomb \\ud83d"}')))
    assert not portkey(completion(calling('{"text": "a break \\ud83d"}')))


def test_many_calls_are_judged_together() -> None:
    calls = [call(json.dumps({"n": f"step {number}"})) for number in range(200)]
    assert not portkey(completion({"content": None, "tool_calls": calls}))
    assert portkey(completion({"content": None, "tool_calls": [*calls, call('{"n": "a bomb"}')]}))


def test_the_calls_that_open_webui_shows_are_judged() -> None:
    last = {
        "role": "assistant",
        "content": "Fine.",
        "output": [call('{"t": "a bomb"}')["function"] | {"type": "function_call"}],
    }
    reply = ask("/owui/moderation-guard/filter/outlet", {"user": {}, "body": {"messages": [HELLO, last]}})
    assert reply.json["messages"][-1]["content"] == "Sorry, I can't help with that."


@pytest.mark.parametrize("door", DOORS, ids=NAMES)
def test_the_policys_rules_for_a_tool_hold(tmp_path: Path, door: Callable[..., bool]) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(
        "policies:\n  agents:\n    extends: balanced\n    description: One tool is closed.\n"
        "    tools:\n      drop_table: {call: {actions: {safe: block}}}\n",
        encoding="utf-8",
    )
    settings = {"policies_file": file, "default_policy": "agents"}
    assert door(calling("{}", name="drop_table"), **settings)
    assert not door(calling("{}", name="other"), **settings)


# What tools gave back


def request_portkey(body: Mapping[str, Any], **settings: Any) -> bool:
    asked = {"eventType": "beforeRequestHook", "request": {"json": body}}
    return ask("/portkey", asked, **settings).json["verdict"] is False


def request_authz(body: Mapping[str, Any], **settings: Any) -> bool:
    return ask("/authz/v1/chat/completions", body, **settings).status_code == BLOCKED_STATUS


def request_litellm(body: Mapping[str, Any], **settings: Any) -> bool:
    asked = {"input_type": "request", "structured_messages": body["messages"], "texts": []}
    return ask("/beta/litellm_basic_guardrail_api", asked, **settings).json["action"] == "BLOCKED"


def request_agentgateway(body: Mapping[str, Any], **settings: Any) -> bool:
    return "body" in ask("/request", {"body": body}, **settings).json["action"]


def request_lakera(body: Mapping[str, Any], **settings: Any) -> bool:
    return ask("/v2/guard", body, **settings).json["flagged"] is True


def request_detectors(body: Mapping[str, Any], **settings: Any) -> bool:
    return ask("/api/v1/text/chat", body, **settings).json != []


REQUESTS = [request_portkey, request_authz, request_litellm, request_agentgateway, request_lakera, request_detectors]


@pytest.mark.parametrize("door", REQUESTS, ids=lambda one: one.__name__.removeprefix("request_"))
def test_results_of_tools_are_judged_where_the_operator_has_it_so(door: Callable[..., bool]) -> None:
    called = {"role": "assistant", **calling("{}")}
    body = {"messages": [HELLO, called, {"role": "tool", "tool_call_id": "call_1", "content": "a bomb"}]}
    assert door(body, chat_judge_tool_results=True)
    assert not door(body)
    answered = [*body["messages"], {"role": "assistant", "content": "Fine."}, {"role": "user", "content": "thanks"}]
    assert not door({"messages": answered}, chat_judge_tool_results=True)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [HELLO, {"role": "function", "name": "f", "content": "a bomb"}]},
        {"messages": [HELLO, {"role": "tool", "content": [{"type": "text", "text": "a bomb"}]}]},
        {"messages": [HELLO, {"role": "user", "content": [{"type": "tool_result", "content": "a bomb"}]}]},
        {
            "messages": [
                HELLO,
                {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "a bomb"}]}]},
            ]
        },
        {"input": [HELLO, {"type": "function_call_output", "call_id": "c", "output": "a bomb"}]},
        {
            "input": [
                HELLO,
                {"type": "function_call_output", "output": [{"type": "input_text", "text": "a bomb"}]},
            ]
        },
    ],
)
def test_the_results_of_every_contract_are_known(body: dict[str, Any]) -> None:
    assert request_authz(body, chat_judge_tool_results=True)
    assert not request_authz(json.loads(json.dumps(body).replace("bomb", "break")), chat_judge_tool_results=True)
