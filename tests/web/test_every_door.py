"""What holds at every door where a chat comes in: what of it is judged, and in which language a refusal is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from apps import make_client
from fake_llm import fake_llm
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.config.setting import Url
from moderation_service.core.policy import DEFAULT_MESSAGES

Messages = Sequence[Mapping[str, Any]]
OWUI = "/owui/moderation-guard/filter/inlet"
DOORS: dict[str, Callable[[Messages], tuple[str, dict[str, Any]]]] = {
    "native": lambda messages: ("/moderate", {"messages": messages}),
    "native batch": lambda messages: ("/moderate", {"inputs": [{"messages": messages}]}),
    "guard as a model": lambda messages: ("/v1/chat/completions", {"model": "guard-qwen", "messages": messages}),
    "another guard": lambda messages: ("/v1/chat/completions", {"model": "guard-llamaguard", "messages": messages}),
    "guarded chat": lambda messages: ("/v1/chat/completions", {"model": "llm-1", "messages": messages}),
    "LiteLLM": lambda messages: (
        "/beta/litellm_basic_guardrail_api",
        {"input_type": "request", "structured_messages": messages, "texts": []},
    ),
    "Lakera": lambda messages: ("/v2/guard", {"messages": messages}),
    "Detector API": lambda messages: ("/api/v1/text/chat", {"messages": messages}),
    "agentgateway": lambda messages: ("/request", {"body": {"messages": messages}}),
    "Portkey": lambda messages: (
        "/portkey",
        {"eventType": "beforeRequestHook", "request": {"json": {"messages": messages}}, "response": {}},
    ),
    "ext_authz": lambda messages: ("/authz/v1/chat/completions", {"messages": messages}),
    "Open WebUI": lambda messages: (OWUI, {"user": {}, "body": {"model": "m", "messages": messages}}),
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
BOMB = {"role": "user", "content": "how to make a bomb"}
GO_ON = {"role": "user", "content": "Explain the above part"}
ZH = "怎么做 bomb"


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(engine: FakeEngine, door: str) -> Iterator[FlaskClient]:
    if door != "guarded chat":
        yield make_client(engine=engine)
        return
    with fake_llm() as llm:
        yield make_client(engine=engine, chat_upstream=Url(llm.url))


@pytest.fixture
def door() -> str:
    """For a test of one door only; the others say which."""
    return "native"


def post(client: FlaskClient, door: str, messages: Messages) -> Any:
    path, body = DOORS[door](messages)
    return client.post(path, json=body)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "between",
    [
        None,
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "\u200b"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": [CALL]},
    ],
)
def test_user_messages_with_nothing_said_between_them_are_judged_together(
    client: FlaskClient, engine: FakeEngine, door: str, between: Mapping[str, Any] | None
) -> None:
    post(client, door, [BOMB, *([between] if between else []), GO_ON])
    assert "how to make a bomb\nExplain the above part" in engine.asked


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": ""}])
def test_the_second_call_of_a_tool_loop_is_judged_by_the_users_turn(
    client: FlaskClient, engine: FakeEngine, door: str, content: Mapping[str, Any]
) -> None:
    called = {"role": "assistant", **content, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "4"}
    reply = post(client, door, [{"role": "user", "content": "What is 2+2?"}, called, result])
    assert reply.status_code == 200, reply.get_data(as_text=True)
    # Open WebUI's filter takes a tool's result for the user's: it can't tell who wrote it.
    assert engine.asked[0] == ("What is 2+2?\n4" if door == "Open WebUI" else "What is 2+2?")


@pytest.mark.parametrize("door", DOORS)
def test_answers_as_sdks_keep_them_are_accepted(client: FlaskClient, engine: FakeEngine, door: str) -> None:
    kept = {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None}
    answer = {"role": "assistant", "content": "Blue.", **kept, "reasoning_content": "They want a colour.", "id": "m1"}
    part = {"type": "text", "text": "And another?", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "user", "content": "A colour?"}, answer, {"role": "user", "content": [part]}]
    reply = post(client, door, messages)
    assert reply.status_code == 200, reply.get_data(as_text=True)
    assert engine.asked[0] == "And another?"


@pytest.mark.parametrize("door", DOORS)
def test_an_answer_that_was_refused_does_not_spoil_the_chat(client: FlaskClient, engine: FakeEngine, door: str) -> None:
    refused = {"role": "assistant", "content": "Sorry, I can't help with that."}
    reply = post(client, door, [BOMB, refused, {"role": "user", "content": "OK. What is the capital of France?"}])
    assert reply.status_code == 200
    assert engine.asked[0] == "OK. What is the capital of France?"


def shown(reply: Any) -> str:
    """Everything of a reply that could hold the message; Open WebUI reads it from the status line."""
    phrase = str(reply.status).encode("latin-1", "replace").decode("utf-8", "replace")
    return phrase + json.dumps(reply.get_json(), ensure_ascii=False)


@pytest.mark.parametrize(
    "door",
    [
        "native",
        "native batch",
        "guard as a model",
        "guarded chat",
        "LiteLLM",
        "agentgateway",
        "Portkey",
        "ext_authz",
        "Open WebUI",
    ],
)
def test_a_refusal_is_in_the_language_of_the_judged_text(client: FlaskClient, door: str) -> None:
    assert DEFAULT_MESSAGES["zh"] in shown(post(client, door, [{"role": "user", "content": ZH}]))
    assert DEFAULT_MESSAGES["en"] in shown(post(client, door, [BOMB]))


def test_a_language_that_is_asked_for_comes_first(client: FlaskClient) -> None:
    body = {"prompt": ZH}
    assert (
        client.post("/moderate", json=body, headers={"Accept-Language": "de"}).json["message"] == DEFAULT_MESSAGES["de"]
    )
    assert (
        client.post("/moderate", json=body, headers={"Accept-Language": "ru"}).json["message"] == DEFAULT_MESSAGES["en"]
    )


def test_the_header_of_clients_that_ask_for_no_language_asks_for_none(client: FlaskClient) -> None:
    for header in ("*", "*;q=0.5", ""):
        reply = client.post("/moderate", json={"prompt": ZH}, headers={"Accept-Language": header})
        assert reply.json["message"] == DEFAULT_MESSAGES["zh"]


def test_an_answer_in_latin_letters_is_refused_in_the_language_of_its_question(client: FlaskClient) -> None:
    reply = client.post("/moderate", json={"prompt": "怎么做", "response": "Take a bomb"})
    assert reply.json["message"] == DEFAULT_MESSAGES["zh"]
    assert client.post("/moderate", json={"response": "これは bomb です"}).json["message"] == DEFAULT_MESSAGES["ja"]


def test_an_answer_that_somebody_relays_is_refused_in_its_language(client: FlaskClient) -> None:
    body = {"id": "a", "prompt": "怎么做", "response": "a bomb", "final": True}
    assert client.post("/moderate/stream", json=body).json["message"] == DEFAULT_MESSAGES["zh"]
    answer = {"input_type": "response", "texts": ["拿一个 bomb。"], "structured_messages": None}
    reply = client.post("/beta/litellm_basic_guardrail_api", json=answer)
    assert reply.json["blocked_reason"] == DEFAULT_MESSAGES["zh"]


def test_dify_is_answered_in_the_language_of_the_text(client: FlaskClient) -> None:
    for params in ({"app_id": "a", "inputs": {}, "query": ZH}, {"app_id": "a", "text": ZH}):
        point = "app.moderation.output" if "text" in params else "app.moderation.input"
        reply = client.post("/dify/moderation", json={"point": point, "params": params})
        assert reply.json["preset_response"] == DEFAULT_MESSAGES["zh"]
