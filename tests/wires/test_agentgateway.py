"""The guardrail webhook of agentgateway, kgateway and Gloo, with the documents that agentgateway's source shows."""

from __future__ import annotations

from typing import Any

import pytest
from apps import make_client
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.errors import EngineUnavailable

SORRY = "Sorry, I can't help with that."


def request(*contents: str) -> dict[str, object]:
    return {"body": {"messages": [{"role": "user", "content": one} for one in contents]}}


def response(*contents: str | None) -> dict[str, object]:
    return {"body": {"choices": [{"message": {"role": "assistant", "content": one}} for one in contents]}}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(engine: FakeEngine) -> FlaskClient:
    return make_client(engine=engine, log_level="error")


def test_a_pass_has_a_reason_and_nothing_else(client: FlaskClient) -> None:
    assert client.post("/request", json=request("hello")).json == {"action": {"reason": "safe"}}
    flagged = client.post("/request", json=request("an insult"))
    assert flagged.json == {"action": {"reason": "Unethical Acts (controversial)"}}
    assert flagged.headers["X-Moderation-Action"] == "flag"


@pytest.mark.parametrize(
    ("path", "body"), [("/request", request("a bomb", "go on")), ("/response", response("fine", "take a bomb"))]
)
def test_a_block_is_a_rejection(client: FlaskClient, path: str, body: object) -> None:
    action = {"body": SORRY, "status_code": 403, "reason": "Violent (unsafe)"}
    assert client.post(path, json=body).json == {"action": action}


def test_an_old_gateway_can_be_answered_with_a_mask(client: FlaskClient) -> None:
    masked = {"message": {"role": "assistant", "content": SORRY}}
    reply = client.post("/response?block_as=mask", json=response("fine", "take a bomb"))
    assert reply.json == {"action": {"body": {"choices": [masked, masked]}, "reason": "Violent (unsafe)"}}
    assert client.post("/response?block_as=msk", json=response("fine")).status_code == 400
    assert client.post("/response?block=mask", json=response("fine")).status_code == 400


def test_an_answer_is_joined_to_its_question_by_the_requests_id(client: FlaskClient, engine: FakeEngine) -> None:
    seen: list[Any] = []
    judge = engine.judge
    engine.judge = lambda asked, **rest: seen.extend(asked) or judge(asked, **rest)  # type: ignore[method-assign]
    client.post("/request", json=request("what is it?"), headers={"X-Request-Id": "call-1"})
    for call, question in (("call-1", "what is it?"), ("call-2", ""), (None, "")):
        client.post("/response", json=response("this"), headers={} if call is None else {"X-Request-Id": call})
        assert [turn.content for turn in seen[-1].messages] == [question, "this"]


def test_an_answer_without_text_passes(client: FlaskClient, engine: FakeEngine) -> None:
    assert client.post("/response", json=response(None, "")).json == {"action": {"reason": "nothing to judge"}}
    assert engine.asked == []


def test_the_policy_is_in_a_header(client: FlaskClient) -> None:
    reply = client.post("/request", json=request("an insult"), headers={"X-Moderation-Policy": "strict"})
    assert reply.json["action"]["status_code"] == 403
    assert client.post("/request", json=request("a"), headers={"X-Moderation-Policy": "srict"}).status_code == 400


def test_a_failure_is_an_error_so_that_the_gateways_own_mode_decides() -> None:
    client = make_client(engine=FakeEngine(raises=EngineUnavailable("Down.")), log_level="error")
    assert client.post("/request", json=request("hello")).status_code == 503


@pytest.mark.parametrize("body", [[], {}, {"body": {}}, {"body": {"messages": "a", "choices": "a"}}])
def test_a_bad_call_is_refused(client: FlaskClient, body: object) -> None:
    for path in ("/request", "/response"):
        assert client.post(path, json=body).status_code == 400


@pytest.mark.parametrize("query", ["block_as=shout", "x=1", "block_as=mask&block_as=mask", "&".join(["a=1"] * 40)])
def test_other_arguments_in_the_address_are_the_callers_mistake(client: FlaskClient, query: str) -> None:
    reply = client.post(f"/response?{query}", json=response("fine"))
    assert (reply.status_code, reply.json["error"]["param"]) == (400, "block_as")
