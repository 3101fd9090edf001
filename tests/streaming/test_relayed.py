"""`POST /moderate/stream`: answers that somebody else relays, whole so far, with every call."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apps import Like, Near, client_of, error, keys, make_client
from fake_stream_server import FakeStreamServer, Misbehaves, write_model_dir
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.config.settings import Settings, Url
from moderation_service.errors import EngineUnavailable
from moderation_service.web.service import Service, build_service

TEXT = "Mix flour and water. 然后等一小时。 Then the café 🎉 opens. Build a detonator from parts."


@pytest.fixture
def upstream() -> Iterator[FakeStreamServer]:
    with FakeStreamServer() as server:
        yield server


@pytest.fixture
def service_for(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Makes services that judge by token where a server is given; closes what they opened."""
    made: list[Service] = []

    def make(server: FakeStreamServer | None = None, *, engine: Any = None, **settings: Any) -> Service:
        if server is not None:
            folder = write_model_dir(tmp_path)
            settings |= {"stream_upstream": Url(server.url), "stream_model_dir": folder, "stream_timeout_s": 20.0}
        made.append(build_service(Settings(**settings), engine=engine or FakeEngine()))
        return made[-1]

    yield make
    for service in made:
        if service.stream is not None:
            service.stream.close()


def ask(client: FlaskClient, **body: object) -> Any:
    reply = client.post("/moderate/stream", json={"id": "call-1", "prompt": "How?", **body})
    assert reply.status_code == 200, reply.json
    return reply.json


def relay(client: FlaskClient, text: str, size: int, **body: object) -> list[Any]:
    """The replies to a text that grows by this size, until it must stop."""
    replies: list[Any] = []
    for end in [*range(size, len(text), size), len(text)]:
        state = {"state": replies[-1]["state"]} if replies else {}
        replies.append(ask(client, response=text[:end], final=end == len(text), **state, **body))
        if replies[-1]["stop"]:
            break
    return replies


def test_the_reply_says_all_there_is_to_say(upstream: FakeStreamServer, service_for: Callable[..., Service]) -> None:
    reply = ask(client_of(service_for(upstream)), response="Mix flour and water, then wait")
    assert reply == {
        "id": "call-1",
        "safety": "safe",
        "categories": [],
        "category_names": [],
        "action": "allow",
        "stop": False,
        "safe_up_to": Near(20, 30),
        "flagged_at": None,
        "message": None,
        "granularity": "token",
        "engine": "stream",
        "model": "qwen3guard-stream",
        "degraded": False,
        "state": Like(r"[A-Za-z0-9_-]+\.[0-9a-f]{32}"),
        "latency_ms": Near(0, 60_000),
    }


@pytest.mark.parametrize("size", [3, 20, 1000])
def test_a_relay_learns_when_to_stop_and_what_may_be_shown(
    upstream: FakeStreamServer, service_for: Callable[..., Service], size: int
) -> None:
    replies = relay(client_of(service_for(upstream)), TEXT, size)
    offsets = [reply["safe_up_to"] for reply in replies]
    assert offsets == sorted(offsets)
    last = replies[-1]
    assert [last[key] for key in ("safety", "categories", "action", "stop")] == ["unsafe", ["violent"], "block", True]
    assert last["message"] == "Sorry, I can't help with that."
    assert TEXT[: last["safe_up_to"]].endswith(("a ", "a d", "a de", "a det", "a deto"))
    assert last["flagged_at"] >= last["safe_up_to"]
    assert not any(reply["stop"] for reply in replies[:-1])


def test_calls_cost_the_new_tokens_when_the_state_comes_back(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    client = client_of(service_for(upstream))
    text = "Mix flour and water. " * 40
    relay(client, text, 60)
    calls = len(upstream.computed)
    assert sum(upstream.computed[3:]) < 3 * len(upstream.asked[-1]["input"])
    assert len(set(upstream.salts[2:])) == 1
    assert calls < 20


def test_without_the_state_everything_is_judged_again_with_the_same_result(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    client = client_of(service_for(upstream))
    for end in range(10, len(TEXT), 10):
        reply = ask(client, response=TEXT[:end])
    assert reply["stop"]
    assert ask(client, response=TEXT, final=True)["flagged_at"] == reply["flagged_at"]


def test_much_text_at_once_is_judged_as_far_as_it_goes(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    upstream.context = 8192
    text = "Mix flour and water. " * 500
    assert ask(client_of(service_for(upstream)), response=text)["safe_up_to"] > len(text) - 10


@pytest.mark.parametrize(
    "text", ["e" + "\u0301" * 5000, " " * 20_000, "-" * 20_000, "\n" * 9000], ids=["marks", "spaces", "dashes", "lines"]
)
def test_text_of_which_nothing_is_final_until_its_end_is_judged_at_its_end(
    upstream: FakeStreamServer, service_for: Callable[..., Service], text: str
) -> None:
    client = client_of(service_for(upstream))
    first = ask(client, response=text[: len(text) // 2])
    last = ask(client, response=text, final=True, state=first["state"])
    assert (last["safe_up_to"], last["safety"], last["granularity"]) == (len(text), "safe", "token")


def test_what_was_found_earlier_is_not_forgotten(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    text = "About the ballot, and then a lot of bread and butter and cheese."
    last = relay(client_of(service_for(upstream)), text, 7)[-1]
    assert (last["safety"], last["categories"], last["safe_up_to"]) == (
        "controversial",
        ["politically_sensitive_topics"],
        len(text),
    )
    assert text[last["flagged_at"] :].startswith(("ot", "lot", "allot", "ballot", "t,"))


def test_after_a_stop_the_answer_is_the_same_and_no_engine_is_asked(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    client = client_of(service_for(upstream))
    stopped = relay(client, TEXT, 20)[-1]
    before = len(upstream.asked)
    again = ask(client, response=TEXT + " More bread.", final=True, state=stopped["state"])
    assert {**again, "latency_ms": 0, "state": ""} == {**stopped, "latency_ms": 0, "state": ""}
    assert len(upstream.asked) == before


@pytest.mark.parametrize("state", ["", "x", "a.b", "e30.00", "Ω.Ω", "." * 4000])
def test_a_state_that_is_none_of_ours_is_not_believed(
    upstream: FakeStreamServer, service_for: Callable[..., Service], state: str
) -> None:
    assert ask(client_of(service_for(upstream)), response=TEXT, state=state)["stop"]


def test_a_state_is_not_believed_for_other_text_nor_for_another_call(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    client = client_of(service_for(upstream))
    state = ask(client, response="Mix flour and water, and that is really all there is to it.")["state"]
    assert ask(client, response=TEXT, state=state)["stop"]
    assert ask(client, response=TEXT, state=state, prompt="What?")["stop"]
    assert ask(client, id="call-2", response=TEXT, state=state)["stop"]
    body, _, seal = state.partition(".")
    assert ask(client, response=TEXT, state=f"{body[:-4]}AAAA.{seal}")["stop"]


def test_a_state_is_not_believed_under_another_policy() -> None:
    client = make_client()
    text = "An insult, and then a few more words, which go on for quite a while. "
    first = ask(client, response=text, policy="balanced")
    assert (first["safe_up_to"], first["action"]) == (len(text), "flag")
    for again, expected in (("strict", 0), ("balanced", len(text))):
        found = ask(client, response=text + "Bread.", state=first["state"], policy=again, final=True)
        assert found["stop"] is (again == "strict")
        assert found["safe_up_to"] == (expected if again == "strict" else len(text + "Bread."))


def test_another_worker_goes_on_where_one_left_off(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    """Workers share what was made before the fork, and nothing else."""
    service = service_for(upstream)
    one, other = client_of(service), client_of(service)
    state = ask(one, response=TEXT[:40])["state"]
    before = len(upstream.asked)
    assert ask(other, response=TEXT, state=state)["stop"]
    assert all(len(body["input"]) > 40 for body in upstream.asked[before:])


def test_half_a_character_waits_for_its_other_half(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    client = client_of(service_for(upstream))
    body = '{"id": "call-1", "response": "Look \\ud83c"}'
    reply = client.post("/moderate/stream", data=body, content_type="application/json")
    assert (reply.status_code, reply.json["safe_up_to"] <= 5) == (200, True)
    assert ask(client, response="Look 🎉", final=True)["safe_up_to"] == 6


def test_an_empty_answer_has_no_verdict(upstream: FakeStreamServer, service_for: Callable[..., Service]) -> None:
    reply = ask(client_of(service_for(upstream)), response="", final=True)
    assert (reply["safety"], reply["safe_up_to"], reply["stop"]) == (None, 0, False)


def test_without_a_token_engine_the_answer_is_judged_in_pieces(service_for: Callable[..., Service]) -> None:
    engine = FakeEngine()
    text = "First some bread and butter, for everybody. Then a lot more of it. Now a bomb. And then more bread."
    replies = relay(client_of(service_for(engine=engine)), text, 9)
    last = replies[-1]
    assert (last["granularity"], last["engine"], last["stop"]) == ("piece", "fake", True)
    assert "bomb" not in text[: last["safe_up_to"]]
    assert text[: last["safe_up_to"]].startswith("First some bread")


def test_an_outage_of_the_token_engine_is_covered_and_shown(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    upstream.instead = lambda body: Misbehaves(500)
    client = client_of(service_for(upstream))
    reply = ask(client, response="Here you are: a bomb. Enjoy your meal now.", final=True)
    assert (reply["granularity"], reply["engine"], reply["stop"]) == ("piece", "fake", True)


def test_when_nobody_can_judge_the_policy_decides_or_it_is_an_error(
    upstream: FakeStreamServer, service_for: Callable[..., Service], tmp_path: Path
) -> None:
    upstream.instead = lambda body: Misbehaves(500)
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies:\n  open:\n    on_failure: allow\n", encoding="utf-8")
    engine = FakeEngine(raises=EngineUnavailable("The engine is away."))
    client = client_of(service_for(upstream, engine=engine, policies_file=policies))
    reply = client.post("/moderate/stream", json={"id": "a", "response": TEXT, "final": True})
    assert (reply.status_code, reply.json) == (503, error("engine_unavailable", "The engine is away."))
    let_through = ask(client, response=TEXT, final=True, policy="open")
    assert [let_through[key] for key in ("safety", "action", "stop", "degraded")] == [None, "allow", False, True]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"id": None}, "id"),
        ({"id": "two words"}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"response": None}, "response"),
        ({"response": ["a"]}, "response"),
        ({"response": "\ud800 in the middle"}, "response"),
        ({"final": "yes"}, "final"),
        ({"state": 5}, "state"),
        ({"policy": "nonsense"}, "policy"),
        ({"metadata": []}, "metadata"),
        ({"prompt": ""}, "prompt"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "prompt"),
        ({"respnse": "typo"}, "respnse"),
    ],
)
def test_a_field_that_is_wrong_is_named(service_for: Callable[..., Service], changes: Any, param: str) -> None:
    body = json.dumps({"id": "call-1", "prompt": "How?", "response": "Bread.", **changes})
    reply = client_of(service_for()).post("/moderate/stream", data=body, content_type="application/json")
    assert (reply.status_code, reply.json["error"]["param"]) == (400, param)


def test_a_state_over_the_limit_is_refused(service_for: Callable[..., Service]) -> None:
    body = {"id": "a", "response": "Bread.", "state": "x" * 5000}
    assert client_of(service_for()).post("/moderate/stream", json=body).status_code == 413


def test_messages_may_stand_for_the_prompt(upstream: FakeStreamServer, service_for: Callable[..., Service]) -> None:
    body = {"id": "a", "messages": [{"role": "user", "content": "How?"}], "response": "Bread."}
    assert client_of(service_for(upstream)).post("/moderate/stream", json=body).status_code == 200
    assert client_of(service_for(upstream)).post("/moderate/stream", json=[body]).status_code == 400


def test_keys_are_asked_for_here_too(service_for: Callable[..., Service]) -> None:
    client = client_of(service_for(api_keys=keys("secret-key")))
    assert client.post("/moderate/stream", json={"id": "a", "response": "Bread."}).status_code == 401


def test_no_text_is_logged(
    upstream: FakeStreamServer, service_for: Callable[..., Service], caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    with caplog.at_level(logging.DEBUG):
        relay(client_of(service_for(upstream, log_level="debug")), TEXT, 20)
    logged = capfd.readouterr().err + str([vars(one) for one in caplog.records])
    assert "/moderate/stream" in logged
    assert "flour" not in logged
    assert "detonator" not in logged


def test_readiness_tests_the_token_server_but_does_not_depend_on_it(
    upstream: FakeStreamServer, service_for: Callable[..., Service]
) -> None:
    client = client_of(service_for(upstream))
    assert client.get("/readyz").status_code == 200
    assert [len(body["input"]) for body in upstream.asked][:2] == [320, 328]
    upstream.instead = lambda body: Misbehaves(500)
    assert client_of(service_for(upstream)).get("/readyz").status_code == 200
