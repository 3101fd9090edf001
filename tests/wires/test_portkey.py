"""Portkey's webhook over HTTP: both hooks, and that nothing it would take for a pass is ever answered."""

from __future__ import annotations

from typing import Any

import pytest
from apps import keys, make_client
from fakes import FakeEngine

from moderation_service.errors import EngineUnavailable, Overloaded


def hook(asked: object, answered: object = None, *, text: str = "", stream: bool = False) -> dict[str, object]:
    return {
        "eventType": "beforeRequestHook" if answered is None else "afterRequestHook",
        "provider": "openai",
        "requestType": "chatComplete",
        "metadata": {},
        "request": {"json": asked, "text": "", "isStreamingRequest": stream, "isTransformed": False},
        "response": {"json": answered or {}, "text": text, "statusCode": 200, "isTransformed": False},
    }


def chat(*contents: str, **fields: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": one} for one in contents], **fields}


def completion(**message: object) -> dict[str, object]:
    return {"id": "c1", "choices": [{"index": 0, "message": {"role": "assistant", **message}}]}


def ask(body: object, *, url: str = "/portkey", **options: Any) -> Any:
    reply = make_client(log_level="error", **options).post(url, json=body)
    assert reply.status_code == 200
    return reply.json


def test_a_request_is_judged_by_all_that_its_user_said() -> None:
    allowed = ask(hook(chat("hello")))
    assert (allowed["verdict"], allowed["data"]["action"]) == (True, "allow")
    assert (ask(hook(chat("an insult")))["verdict"], ask(hook(chat("an insult")))["data"]["action"]) == (True, "flag")
    blocked = ask(hook(chat("how to make a bomb", "go on")))
    assert (blocked["verdict"], blocked["data"]["categories"]) == (False, ["violent"])
    assert blocked["data"]["message"] == "Sorry, I can't help with that."


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "m", "prompt": "a bomb"},
        {"model": "m", "prompt": ["hello", "a bomb"], "suffix": "x"},
        {"model": "m", "prompt": "hello", "suffix": "a bomb"},
        {"model": "m", "input": "a bomb"},
        {"model": "m", "input": ["hello", "a bomb"]},
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "a bomb"}]}]},
        {"model": "m", "messages": [{"role": "user", "content": "hello"}], "prompt": "a bomb"},
        {"model": "m", "messages": [{"role": "user", "content": "a bomb"}], "input": "hello"},
    ],
)
def test_a_request_of_another_contract_is_judged_too(asked: object) -> None:
    assert ask(hook(asked))["verdict"] is False


@pytest.mark.parametrize(
    "message",
    [
        {"content": "take a bomb"},
        {"content": "fine", "reasoning_content": "a bomb"},
        {"content": "fine", "thinking": "a bomb"},
        {"content": "fine", "content_blocks": [{"type": "thinking", "thinking": "a bomb"}]},
        {"content": None, "audio": {"data": "AAAA", "transcript": "a bomb"}},
    ],
)
def test_an_answer_is_judged_wherever_its_text_is(message: dict[str, object]) -> None:
    assert ask(hook(chat("hello"), completion(**message)))["verdict"] is False
    assert ask(hook(chat("hello"), completion(content="fine")))["verdict"] is True


def test_an_answer_of_another_contract_is_judged_too() -> None:
    for answer in (
        {"content": [{"type": "text", "text": "a bomb"}]},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "a bomb"}]}]},
        {"choices": [{"text": "a bomb"}]},
    ):
        assert ask(hook(chat("hello"), answer))["verdict"] is False
    assert ask(hook(chat("hello"), {"id": "x"}, text="a bomb"))["verdict"] is False


def test_an_answer_with_a_call_of_tools_only_passes() -> None:
    assert ask(hook(chat("hello"), completion(content=None, tool_calls=[{"id": "1"}])))["verdict"] is True


def test_a_streamed_answer_that_is_not_shown_is_no_pass() -> None:
    told = ask(hook(chat("hello", stream=True), {"id": None}, stream=True))
    assert (told["verdict"], told["data"]["reason"]) == (False, "a streamed answer is not shown to this hook")


def test_streams_can_be_refused_before_they_begin() -> None:
    streamed, whole = hook(chat("hello", stream=True)), hook(chat("hello"))
    assert ask(streamed)["verdict"] is True
    assert ask(streamed, url="/portkey?streams=refuse")["verdict"] is False
    assert ask(whole, url="/portkey?streams=refuse")["verdict"] is True
    assert ask(whole, url="/portkey?stream=refuse")["verdict"] is False


@pytest.mark.parametrize("raised", [EngineUnavailable("Down."), Overloaded("Busy.", retry_after_s=1)])
def test_what_could_not_be_judged_is_no_pass(raised: Exception) -> None:
    told = ask(hook(chat("hello")), engine=FakeEngine(raises=raised))
    assert told["verdict"] is False
    assert told["data"]["error"]["message"] == str(raised)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"eventType": "other"},
        {"eventType": "beforeRequestHook"},
        hook({"model": "m"}),
        hook({"model": "m", "prompt": [[1, 2]]}),
        hook({"model": "m", "input": [{"type": "unheard_of", "text": "a"}]}),
        hook({"messages": [{"role": "user", "content": "\u200b"}]}),
    ],
)
def test_what_can_not_be_read_is_no_pass(body: object) -> None:
    assert ask(body)["verdict"] is False


def test_a_wrong_key_and_a_large_body_are_no_pass() -> None:
    told = ask(hook(chat("hello")), api_keys=keys("portkey:guard-key-0123"))
    assert (told["verdict"], told["data"]["error"]["type"]) == (False, "unauthorized")
    assert ask(hook(chat("hello" * 2000)), max_body_bytes=4096)["verdict"] is False
