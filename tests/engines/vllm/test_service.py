"""The whole service in front of a fake model server: settings, fallback, readiness, metrics, limits."""

from __future__ import annotations

import threading

import pytest
from fake_guard_server import BOMB, BREAD, answering, completion, guard

from moderation_service.config.settings import Secret, Settings, Url
from moderation_service.engines import create_engine, create_fallback
from moderation_service.engines.vllm import VllmEngine
from moderation_service.errors import ConfigurationError
from moderation_service.web.app import create_app
from moderation_service.web.service import build_service


@pytest.fixture
def client_for(upstream):
    """Makes test clients of services in front of the fake server."""
    services = []

    def make(**changes):
        settings = Settings(engine="vllm", upstreams=(Url(upstream.url),), **changes)
        services.append(build_service(settings))
        return create_app(service=services[-1]).test_client()

    yield make
    for service in services:
        service.moderator.close()


def test_a_verdict_of_the_model_server(client_for) -> None:
    reply = client_for().post("/moderate", json={"prompt": BOMB}).get_json()
    scores = reply.pop("scores")
    assert scores["unsafe"] > 0.99
    assert reply.pop("id").startswith("mod_")
    assert reply.pop("latency_ms") > 0
    assert reply == {
        "target": "prompt",
        "safety": "unsafe",
        "categories": ["violent"],
        "category_names": ["Violent"],
        "refusal": None,
        "action": "block",
        "allowed": False,
        "policy": "balanced",
        "message": "Sorry, I can't help with that.",
        "engine": "vllm",
        "model": "qwen3guard",
        "degraded": False,
        "cached": False,
        "windows": 1,
        "span": None,
    }


def test_full_detail_stays_full_under_every_built_in_policy(client_for) -> None:
    client = client_for()
    for policy in ("strict", "balanced", "loose"):
        body = {"prompt": f"{BOMB} {policy}", "policy": policy, "detail": "full"}
        assert client.post("/moderate", json=body).get_json()["categories"] == ["violent"]


def test_the_embedded_engine_answers_when_the_server_is_gone(client_for, upstream) -> None:
    client = client_for()
    upstream.stop()
    answer = client.post("/moderate", json={"prompt": BOMB})
    assert answer.status_code == 200
    assert answer.headers["X-Moderation-Degraded"] == "true"
    assert (answer.get_json()["engine"], answer.get_json()["degraded"]) == ("lite", True)
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_a_degraded_verdict_is_not_remembered(client_for, upstream) -> None:
    client = client_for()
    upstream.behave = answering(completion("Gibberish"))
    assert client.post("/moderate", json={"prompt": BREAD}).get_json()["degraded"] is True
    upstream.behave = guard
    again = client.post("/moderate", json={"prompt": BREAD}).get_json()
    assert (again["engine"], again["degraded"], again["cached"]) == ("vllm", False, False)


def test_over_the_limit_the_answer_is_429_with_retry_after(client_for, upstream) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def wait(request):
        asked.set()
        go_on.wait(10)
        return guard(request)

    client = client_for(upstream_concurrency=1)
    upstream.behave = answering(wait)
    waiting = threading.Thread(target=client.post, args=("/moderate",), kwargs={"json": {"prompt": BREAD}})
    waiting.start()
    assert asked.wait(10)
    refused = client.post("/moderate", json={"prompt": BOMB})
    go_on.set()
    waiting.join()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.get_json()["error"]["type"] == "overloaded"


def test_readiness_is_a_real_answer(client_for) -> None:
    answer = client_for().get("/readyz")
    assert answer.get_json() == {"status": "ready", "engine": "vllm", "model": "qwen3guard"}


def test_metrics_tell_how_each_server_is_doing(client_for, upstream) -> None:
    client = client_for()
    client.post("/moderate", json={"prompt": BREAD})
    upstream.stop()
    client.post("/moderate", json={"prompt": BOMB})
    text = client.get("/metrics").get_data(as_text=True)
    name = f'upstream="127.0.0.1:{upstream.port}"'
    assert f"moderation_upstream_seconds_count{{{name}}}" in text
    assert f'moderation_upstream_failures_total{{reason="connect",{name}}} 1.0' in text
    assert f"moderation_upstream_ejected{{{name}}} 1.0" in text
    assert BOMB not in text


def test_the_settings_reach_the_engine() -> None:
    settings = Settings(
        engine="vllm",
        upstreams=(Url("http://one:1"), Url("http://two:2")),
        upstream_api_key=Secret("k"),
        upstream_model="Qwen/Qwen3Guard-Gen-4B",
    )
    engine = create_engine(settings)
    assert isinstance(engine, VllmEngine)
    assert (engine.name, engine.model) == ("vllm", "Qwen/Qwen3Guard-Gen-4B")
    engine.close()


def test_without_an_address_the_service_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="upstreams"):
        create_engine(Settings(engine="vllm", upstreams=()))


def test_the_embedded_engine_is_the_fallback_of_every_other_one() -> None:
    assert create_fallback(Settings(engine="lite")) is None
    fallback = create_fallback(Settings(engine="vllm"))
    assert fallback is not None
    assert fallback.name == "lite"
