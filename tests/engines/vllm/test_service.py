"""The whole service in front of a fake model server: settings, fallback, readiness, metrics, limits."""

from __future__ import annotations

import json
import threading

import pytest
from fake_guard_server import BOMB, BREAD, Hang, Send, answering, completion, guard, reply

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
        "coverage": None,
    }


def test_full_detail_stays_full_under_every_built_in_policy(client_for) -> None:
    client = client_for()
    for policy in ("strict", "balanced", "loose"):
        body = {"prompt": f"{BOMB} {policy}", "policy": policy, "detail": "full"}
        assert client.post("/moderate", json=body).get_json()["categories"] == ["violent"]


def log_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == "request"]


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (completion("I can't say."), "invalid"),
        (reply(200, b"<html>"), "invalid"),
        (reply(401, {}), "refused"),
        (reply(429, {}), "overloaded"),
        (reply(500, {}), "failed"),
        (Send(b"", then_close=True), "broken_off"),
        (Hang(), "timeout"),
    ],
)
def test_the_log_and_the_audit_record_say_why_a_decision_is_degraded(
    client_for, upstream, capsys, tmp_path, action, reason
) -> None:
    client = client_for(audit_file=tmp_path / "audit.jsonl", upstream_timeout_s=0.5)
    upstream.behave = answering(action)
    assert client.post("/moderate", json={"prompt": BREAD}).get_json()["degraded"] is True
    (line,) = log_lines(capsys)
    assert line["reason"] == reason
    assert json.loads((tmp_path / "audit.jsonl").read_text())["reason"] == reason


def test_an_outage_is_unreachable_first_and_ejected_then(client_for, upstream, capsys) -> None:
    client = client_for()
    client.post("/moderate", json={"prompt": BOMB})
    upstream.stop()
    for text in ("one", "two"):
        client.post("/moderate", json={"prompt": text})
    assert [line.get("reason") for line in log_lines(capsys)] == [None, "unreachable", "ejected"]


def test_a_server_that_calls_everything_safe_is_named_as_that_wherever_one_looks(client_for, upstream, capsys) -> None:
    def always_safe(request):
        ends_with = request.body["messages"][-1]["role"] if "chat" in request.path else ""
        return completion("Safety: Safe\nCategories: None") if ends_with == "user" else guard(request)

    upstream.behave = always_safe
    client = client_for()
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert "plainly harmful question safe" in ready.get_json()["error"]["message"]
    client.post("/moderate", json={"prompt": BREAD})
    assert log_lines(capsys)[-1]["reason"] == "misjudges"
    assert 'reason="misjudges"' in client.get("/metrics").text


def test_a_verdict_that_was_read_in_part_is_said_and_counted(client_for, upstream, capsys, tmp_path) -> None:
    client = client_for(audit_file=tmp_path / "audit.jsonl")
    upstream.behave = answering(completion("Safety: Unsafe\nCategories: ???\n\nBecause of weapons."))
    found = client.post("/moderate", json={"prompt": BREAD}).get_json()
    assert (found["safety"], found["categories"], found["engine"], found["degraded"]) == ("unsafe", [], "vllm", False)
    assert log_lines(capsys)[-1]["read_in_part"] == "categories"
    assert json.loads((tmp_path / "audit.jsonl").read_text())["read_in_part"] == ["categories"]
    counted = 'moderation_read_in_part_total{engine="vllm",part="categories"} 1.0'
    assert counted in client.get("/metrics").text


LONG = "How do I bake bread? " * 80 + BOMB + " How do I bake bread?" * 80


def test_the_place_of_the_worst_is_in_every_reply_that_people_read(client_for, tmp_path) -> None:
    client = client_for(audit_file=tmp_path / "audit.jsonl")
    span = client.post("/moderate", json={"prompt": LONG}).get_json()["span"]
    assert BOMB in LONG[span["start"] : span["end"]]
    again = client.post("/moderate", json={"prompt": LONG}).get_json()
    assert (again["cached"], again["span"]) == (True, span)
    openai = client.post("/v1/moderations", json={"input": LONG}).get_json()
    assert openai["results"][0]["x_moderation"]["span"] == span
    recorded = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [one["span"] for one in recorded] == [[span["start"], span["end"]]] * 3


def test_no_place_is_given_where_a_product_would_cut_by_it(client_for) -> None:
    found = client_for().post("/v2/guard", json={"messages": [{"role": "user", "content": LONG}]}).get_json()
    assert (found["flagged"], found["payload"]) == (True, [])
    assert "span" not in json.dumps(found)


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
