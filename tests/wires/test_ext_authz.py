"""External authorisation over HTTP: what proxies send, what lets a request through, and what its client is told."""

from __future__ import annotations

from typing import Any

import pytest
from apps import keys, make_client
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.errors import EngineUnavailable

KEY = "guard-key-0123"
CHAT = "/authz/v1/chat/completions"
SORRY = "Sorry, I can't help with that."


def chat(*contents: str) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": one} for one in contents]}


@pytest.fixture
def client() -> FlaskClient:
    return make_client(log_level="error")


def test_what_is_allowed_is_200_without_a_body(client: FlaskClient) -> None:
    for text, action in (("hello", "allow"), ("an insult", "flag")):
        reply = client.post(CHAT, json=chat(text))
        assert (reply.status_code, reply.data, reply.headers["X-Moderation-Action"]) == (200, b"", action)


def test_what_is_blocked_is_told_in_the_shape_of_the_clients_contract(client: FlaskClient) -> None:
    error = {"message": SORRY, "type": "invalid_request_error", "param": "messages", "code": "content_filter"}
    reply = client.post(CHAT, json=chat("a bomb", "go on"))
    assert (reply.status_code, reply.json) == (403, {"error": error})
    anthropic = {"type": "error", "error": {"type": "permission_error", "message": SORRY}}
    assert client.post("/authz/v1/messages", json=chat("a bomb")).json == anthropic
    forwarded = {"X-Forwarded-Uri": "/v1/messages?beta=true", "X-Forwarded-Method": "POST"}
    assert client.post("/authz", json=chat("a bomb"), headers=forwarded).json == anthropic


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
def test_a_body_is_judged_whatever_its_type_is_called(client: FlaskClient, content_type: str | None) -> None:
    body = b'{"messages": [{"role": "user", "content": "a bomb"}]}'
    assert client.post(CHAT, data=body, content_type=content_type).status_code == 403
    assert client.get(CHAT, data=body, content_type=content_type).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {**chat("hello"), "prediction": {"type": "content", "content": "a bomb"}},
        {"messages": [{"role": "user", "content": "hello", "name": "of a bomb"}]},
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"data": "of a bomb"}}, "hello"]}]},
        {"prompt": "hello", "suffix": "a bomb"},
        {"input": "hello", "a_new_field": "of a bomb"},
    ],
)
def test_all_text_of_the_clients_request_is_judged(client: FlaskClient, body: dict[str, object]) -> None:
    assert client.post(CHAT, json=body).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {**chat("hello"), "Messages": [{"role": "user", "content": "a bomb"}]},
        {"messages": [{"role": "user", "content": "hello", "Content": "a bomb"}]},
        {**chat("hello"), "chat_template": "a bomb"},
        {**chat("hello"), "documents": ["a bomb"]},
        {**chat("hello"), "input_ids": [1, 2, 3, 4, 5]},
        {**chat("hello"), "extra_body": {"messages": [{"role": "user", "content": "a bomb"}]}},
    ],
)
def test_what_a_server_could_take_for_another_prompt_does_not_pass(
    client: FlaskClient, body: dict[str, object]
) -> None:
    assert client.post(CHAT, json=body).status_code == 400


def test_what_the_application_writes_is_not_judged_and_costs_nothing() -> None:
    engine = FakeEngine()
    tool = {"type": "function", "function": {"name": "find", "description": "Finds a bomb."}}
    body = {**chat("hello"), "system": "a bomb", "instructions": "a bomb", "tools": [tool], "keep_alive": "30m"}
    assert make_client(engine=engine).post(CHAT, json={**body, "stop": ["a bomb"], "stream": True}).status_code == 200
    assert engine.asked == ["hello"]


@pytest.mark.parametrize("path", ["/authz", "/authz/", "/authz/any/path", "/authz/../moderate"])
def test_any_path_is_answered(client: FlaskClient, path: str) -> None:
    assert client.post(path, json=chat("a bomb")).status_code == 403


def test_a_request_without_a_body_passes_only_where_none_is_to_be_expected(client: FlaskClient) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
        assert client.open("/authz/v1/models", method=method).status_code == 200
    assert client.post(CHAT).status_code == 400
    # Traefik asks with GET, and leaves the body out unless it is told not to.
    assert client.get("/authz", headers={"X-Forwarded-Method": "POST"}).status_code == 400
    assert client.post(CHAT, headers={"X-Forwarded-Method": "GET"}).status_code == 400


def test_the_beginning_of_a_body_is_refused(client: FlaskClient) -> None:
    sent = {"X-Envoy-Auth-Partial-Body": "true"}
    assert client.post(CHAT, json=chat("hello"), headers=sent).status_code == 413


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"contents": [{"parts": [{"text": "hi"}]}]}', b"a=b"])
def test_what_can_not_be_judged_does_not_pass(client: FlaskClient, body: bytes) -> None:
    assert client.post(CHAT, data=body).status_code == 400


def test_a_failure_is_a_5xx_so_that_the_proxys_own_switch_decides() -> None:
    client = make_client(engine=FakeEngine(raises=EngineUnavailable("Down.")), log_level="error")
    assert client.post(CHAT, json=chat("hello")).status_code == 503


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Moderation-Key": KEY}, 200),
        ({"X-Moderation-Key": KEY, "Authorization": "Bearer sk-of-the-client", "X-API-Key": "of-the-client"}, 200),
        ({"X-API-Key": KEY, "Authorization": "Bearer sk-of-the-client"}, 200),
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"Authorization": "Bearer sk-of-the-client"}, 401),
        ({}, 401),
    ],
)
def test_the_key_of_the_proxy_is_found_beside_the_clients(headers: dict[str, Any], status: int) -> None:
    client = make_client(api_keys=keys(f"proxy:{KEY}"), log_level="error")
    assert client.post(CHAT, json=chat("hello"), headers=headers).status_code == status


def test_the_policy_is_in_a_header(client: FlaskClient) -> None:
    for policy, status in (("strict", 403), ("loose", 200), ("srict", 400)):
        sent = {"X-Moderation-Policy": policy}
        assert client.post(CHAT, json=chat("an insult"), headers=sent).status_code == status
