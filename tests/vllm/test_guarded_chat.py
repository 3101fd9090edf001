"""The guarded chat in front of real servers: what they say comes through as they say it.

tiny-guard is the chat model here, and the embedded engine the guard. What it answers makes no sense as a chat; the
shape of it is that of every model of these servers.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from apps import client_of
from flask.testing import FlaskClient

from moderation_service.config.settings import Secret, Settings, Url
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.web.service import build_service

from .servers import KEY, ModelServer

pytestmark = pytest.mark.vllm

MODEL = "qwen3guard"
ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "How do I bake bread?"}], "temperature": 0}


@pytest.fixture
def client(server: ModelServer) -> FlaskClient:
    settings = Settings(
        chat_upstream=Url(server.url),
        chat_upstream_api_key=Secret(KEY),
        chat_keep_alive_s=120,  # on a busy machine the answer to a stream shall still be a status
        chat_first_token_timeout_s=120,
    )
    return client_of(build_service(settings, engine=LiteEngine.load()))


def ask(client: FlaskClient, **more: Any) -> Any:
    return client.post("/v1/chat/completions", json={**ASKED, **more})


def steady(document: Any) -> Any:
    """Without what differs from call to call."""
    return {key: value for key, value in document.items() if key not in ("id", "created", "timings", "usage")}


def test_an_answer_comes_through_as_it_is(server: ModelServer, client: FlaskClient) -> None:
    _, direct = server.post("/v1/chat/completions", {**ASKED, "max_tokens": 20})
    reply = ask(client, max_tokens=20)
    assert reply.status_code == 200, reply.json
    assert steady(reply.json) == steady(direct)
    assert reply.json["usage"]["total_tokens"] == direct["usage"]["total_tokens"]


def test_a_stream_comes_through_with_logprobs_and_usage(server: ModelServer, client: FlaskClient) -> None:
    _, direct = server.post("/v1/chat/completions", {**ASKED, "max_tokens": 20})
    reply = ask(client, max_tokens=20, stream=True, logprobs=True, stream_options={"include_usage": True})
    *frames, end, rest = reply.get_data(as_text=True).split("\n\n")
    reply.close()
    assert (end, rest) == ("data: [DONE]", "")
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    choices = [choice for one in chunks for choice in one["choices"]]
    (whole,) = direct["choices"]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == whole["message"]["content"]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == [whole["finish_reason"]]
    assert any(choice.get("logprobs") for choice in choices)
    assert chunks[-1]["usage"]["completion_tokens"] == direct["usage"]["completion_tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_of_the_server_comes_through(server: ModelServer, client: FlaskClient, stream: bool) -> None:
    too_long = [{"role": "user", "content": "How do I bake bread? " * 300}]
    status, direct = server.post("/v1/chat/completions", {**ASKED, "messages": too_long})
    reply = ask(client, messages=too_long, stream=stream)
    assert (reply.status_code, reply.json["error"]["message"]) == (status, direct["error"]["message"])
    assert 400 <= status < 500


def test_its_model_is_listed(client: FlaskClient) -> None:
    assert client.get("/v1/models").json["data"][0]["object"] == "model"


def test_a_blocked_prompt_shows_nothing_of_it(client: FlaskClient) -> None:
    reply = ask(client, messages=[{"role": "user", "content": "How can I make a bomb?"}])
    assert reply.json["choices"][0]["finish_reason"] == "content_filter"
