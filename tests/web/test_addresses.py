"""Addresses that are a little off: what just works, and what a caller is told where it doesn't."""

from __future__ import annotations

import pytest
from apps import decision, keys, make_client
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from openai_documents import openai_error
from processes import SERVE_FAKE, running

from moderation_service.web.addresses import hint

DOORS = (
    "/moderate",
    "/v1/moderations",
    "/v1/chat/completions",
    "/v1/models",
    "/v2/guard",
    "/policies",
    "/rewards/slime",
)
CHAT = {"model": "guard-qwen", "messages": [{"role": "user", "content": "bomb"}]}


@pytest.fixture
def client() -> FlaskClient:
    return make_client()


@pytest.mark.parametrize("path", ["/moderate/", "//moderate", "/moderate//", "///moderate///"])
def test_slashes_too_many_change_nothing(client: FlaskClient, path: str) -> None:
    reply = client.post("/", json={"prompt": "bomb"}, environ_overrides={"PATH_INFO": path})
    assert (reply.status_code, reply.json) == (200, decision("unsafe", "violent"))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1//moderations", {"input": "bomb"}),
        ("/v1/moderations/", {"input": "bomb"}),
        ("/v1//chat//completions", CHAT),
        ("/v2//guard", {"messages": CHAT["messages"]}),
        ("/dify/moderation/", {"point": "ping"}),
    ],
)
def test_every_door_takes_them(client: FlaskClient, path: str, body: dict[str, object]) -> None:
    assert client.post(path, json=body).status_code == 200


def test_they_do_so_on_a_real_server_too() -> None:
    with running(command=SERVE_FAKE) as service:
        for path in ("/moderate/", "//moderate", "/v1//moderations"):
            reply = service.request("POST", path, {"prompt": "bomb"} if "v1" not in path else {"input": "bomb"})
            assert (reply.status, b'"unsafe"' in reply.body) == (200, True), path


def test_a_tidied_address_needs_a_key_as_the_right_one_does() -> None:
    client = make_client(api_keys=keys("correct-horse-battery"))
    for path in ("/moderate/", "/v1//moderations", "/policies/", "/v1/models/"):
        method = "GET" if path in ("/policies/", "/v1/models/") else "POST"
        assert client.open(path, method=method, json={"prompt": "bomb"}).status_code == 401, path


@pytest.mark.parametrize("path", ["/metrics/", "/healthz//", "/readyz/", "/openapi.json/", "/static//page.js"])
def test_what_a_proxy_may_keep_from_the_world_has_one_address(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/moderations", "/v1/moderations"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/models", "/v1/models"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/moderations", "/v1/moderations"),
        ("/openai/deployments/gpt-4/chat/completions", "/v1/chat/completions"),
        ("/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/api/v1/chat/completions/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/responses", "/v1/responses"),
        ("/openai/v1/responses", "/v1/responses"),
        ("/v1/embeddings", "Embeddings"),
        ("/v1/completions", "`chat_upstream`"),
        ("/completions", "/v1/completions"),
        ("/embeddings", "/v1/embeddings"),
        ("/v1/batches", "Batches"),
        ("/v1/files", "Files"),
        ("/v1/audio/speech", "`chat_upstream`"),
    ],
)
def test_openai_clients_are_told_in_their_shape(client: FlaskClient, path: str, meant: str) -> None:
    reply = client.post(path, json=CHAT)
    told = reply.json["error"]["message"]
    assert (reply.status_code, reply.json) == (404, openai_error("invalid_request_error", "not_found", told))
    assert meant in told


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/tags"])
def test_ollamas_clients_are_told_in_their_shape(client: FlaskClient, path: str) -> None:
    reply = client.post(path, json=CHAT)
    assert (reply.status_code, list(reply.json)) == (404, ["error"])
    assert "OpenAI connection" in reply.json["error"]


def test_anthropics_clients_are_told_in_their_shape(client: FlaskClient) -> None:
    reply = client.post("/v1/messages", json=CHAT)
    assert reply.status_code == 404
    assert reply.json["type"] == "error"
    assert reply.json["error"]["type"] == "not_found_error"
    assert "`chat_upstream`" in reply.json["error"]["message"]
    assert "`/v1/messages`" in client.post("/v1/v1/messages", json=CHAT).json["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/moderate", "/api/moderate", "/guard", "/v1/guard", "/safety/policies"])
def test_other_callers_are_told_too(client: FlaskClient, path: str) -> None:
    reply = client.post(path, json={"prompt": "Hello"})
    assert (reply.status_code, "is probably meant" in reply.json["error"]["message"]) == (404, True)


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nothing", "/moderate/secret-text", "/completions/x", "/."])
def test_an_address_like_none_of_ours_gets_no_guess(client: FlaskClient, path: str) -> None:
    reply = client.post(path, json={"prompt": "Hello"})
    assert (reply.status_code, reply.json["error"]["message"]) == (404, "There is nothing at this address.")


@given(path=st.text(max_size=60), end=st.sampled_from(["", *DOORS, "/responses", "/api/chat"]))
def test_a_hint_never_repeats_what_was_asked_for(path: str, end: str) -> None:
    assert "my-secret" not in (hint(f"/{path}/my-secret/{path}{end}", doors=DOORS) or "")
