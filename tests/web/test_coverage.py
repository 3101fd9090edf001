"""How well the engine knows a text's language, wherever one looks; and what policies make of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from apps import make_client
from fakes import FakeEngine

from moderation_service.core.verdict import Coverage
from moderation_service.errors import EngineUnavailable

POLICIES = """
policies:
  careful: {on_uncovered: flag, response: {on_uncovered: block}}
  sure: {lite_blocks: sure}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yaml"
    path.write_text(POLICIES)
    return path


def said(client: Any, **body: object) -> Any:
    return client.post("/moderate", json={"prompt": "bread", **body}).get_json()


@pytest.mark.parametrize("coverage", [None, *Coverage])
def test_every_reply_that_people_read_says_it(coverage: Coverage | None) -> None:
    client = make_client(engine=FakeEngine(coverage=coverage))
    expected = None if coverage is None else coverage.value
    assert said(client)["coverage"] == expected
    openai = client.post("/v1/moderations", json={"input": "bread"}).get_json()
    assert openai["results"][0]["x_moderation"]["coverage"] == expected


def test_without_a_verdict_there_is_none() -> None:
    client = make_client(engine=FakeEngine(raises=EngineUnavailable("Down.")))
    reply = client.post("/v1/moderations", json={"input": "bread"}, headers={"X-Moderation-Policy": "balanced"})
    assert "coverage" not in reply.get_data(as_text=True)


@pytest.mark.parametrize("coverage", [Coverage.PARTIAL, Coverage.NONE])
def test_the_log_the_audit_record_and_a_metric_say_what_is_not_well_known(
    coverage: Coverage, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    client = make_client(engine=FakeEngine(coverage=coverage), audit_file=tmp_path / "audit.jsonl")
    with caplog.at_level(logging.INFO):
        said(client)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert lines[-1]["coverage"] == coverage.value
    assert json.loads((tmp_path / "audit.jsonl").read_text())["coverage"] == coverage.value
    counted = f'moderation_uncovered_total{{coverage="{coverage.value}",engine="fake"}} 1.0'
    assert counted in client.get("/metrics").text


def test_what_is_known_in_full_is_not_worth_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    client = make_client(engine=FakeEngine(coverage=Coverage.FULL))
    said(client)
    assert "coverage" not in capsys.readouterr().err
    assert "moderation_uncovered_total{" not in client.get("/metrics").text


def test_a_batch_names_the_least_known_in_its_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    client = make_client(engine=FakeEngine(coverage=Coverage.NONE))
    client.post("/moderate", json={"inputs": [{"prompt": "a"}, {"prompt": "b"}]})
    assert '"coverage": "none"' in capsys.readouterr().err


def test_a_policy_flags_or_blocks_what_the_engine_does_not_know(file: Path) -> None:
    client = make_client(engine=FakeEngine(coverage=Coverage.NONE), policies_file=file)
    assert said(client)["action"] == "allow"
    assert said(client, policy="careful")["action"] == "flag"
    blocked = said(client, policy="careful", response="Mix flour and water.")
    assert (blocked["safety"], blocked["action"], blocked["allowed"]) == ("safe", "block", False)
    assert blocked["message"]


def test_one_remembered_verdict_serves_policies_that_differ_in_this(file: Path) -> None:
    engine = FakeEngine(coverage=Coverage.NONE, is_sure=False)
    client = make_client(engine=engine, policies_file=file)
    assert [said(client, prompt="bomb", policy=name)["action"] for name in ("balanced", "sure")] == ["block", "flag"]
    assert [said(client, policy=name)["action"] for name in ("balanced", "careful")] == ["allow", "flag"]
    assert len(engine.calls) == 2


@pytest.mark.parametrize(("is_sure", "action"), [(True, "block"), (False, "flag")])
def test_what_stands_in_for_the_guard_must_be_sure_too(file: Path, is_sure: bool, action: str) -> None:
    down = FakeEngine(raises=EngineUnavailable("Down."))
    client = make_client(engine=down, fallback=FakeEngine(name="lite", is_sure=is_sure), policies_file=file)
    found = said(client, prompt="bomb", policy="sure")
    assert (found["safety"], found["action"], found["degraded"]) == ("unsafe", action, True)
    assert said(client, prompt="bomb")["action"] == "block"


@pytest.mark.parametrize(("is_sure", "actions"), [(True, ["allow", "block"]), (False, ["allow", "flag", "flag"])])
def test_a_growing_answer_is_not_blocked_by_what_only_flags(file: Path, is_sure: bool, actions: list[str]) -> None:
    client = make_client(engine=FakeEngine(name="lite", is_sure=is_sure), policies_file=file)
    text, state, found = "Here is a bomb for you. Take it. And then go home.", {}, []
    for end in (24, 33, len(text)):
        body = {"id": "1", "prompt": "How?", "response": text[:end], "final": end == len(text), "policy": "sure"}
        reply = client.post("/moderate/stream", json=body | state).get_json()
        state = {"state": reply["state"]}
        found.append(reply["action"])
        if reply["stop"]:
            break
    assert found == actions


def test_the_policies_are_listed_with_both(file: Path) -> None:
    listed = {one["name"]: one for one in make_client(policies_file=file).get("/policies").get_json()["policies"]}
    assert listed["careful"]["response"]["on_uncovered"] == "block"
    assert listed["sure"]["prompt"]["lite_blocks"] == "sure"
    assert {listed["balanced"]["prompt"][name] for name in ("on_uncovered", "lite_blocks")} == {"allow", "always"}
