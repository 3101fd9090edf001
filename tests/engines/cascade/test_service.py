"""The service with the engine `cascade`: what callers see, what is remembered, and what policies may say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest
from apps import client_of
from fake_guard_server import FakeServer, wait_until
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.config.policy_file import load_policies
from moderation_service.config.settings import Settings, Url
from moderation_service.engines import create_engine
from moderation_service.errors import ConfigurationError
from moderation_service.observability.metrics import Metrics
from moderation_service.web.service import build_service

POLICIES = """
policies:
  patient:
    cascade: {safe: 0.7}
    on_failure: allow
  careful:
    extends: patient
    prompt:
      cascade: {safe: 1, unsafe: 0.99}
  pii:
    categories: {pii: block}
  keen:
    thresholds: {unsafe: 0.3}
    on_failure: allow
"""


@pytest.fixture
def client(small: FakeServer, large: FakeServer, tmp_path: Path) -> Iterator[Callable[..., FlaskClient]]:
    engines = []

    def make(**changes: object) -> FlaskClient:
        policies = tmp_path / "policies.yaml"
        policies.write_text(POLICIES)
        settings = Settings(
            engine="cascade",
            small_upstreams=(Url(small.url),),
            upstreams=(Url(large.url),),
            policies_file=policies,
            **{"cascade_safe": 0.9, "cascade_unsafe": 0.6, "cascade_sample": 0.0, **changes},  # type: ignore[arg-type]
        )
        metrics = Metrics(version="test")
        engine = create_engine(settings, events=metrics)
        engines.append(engine)
        fallback = FakeEngine(name="lite", model="lite-1")
        return client_of(build_service(settings, engine=engine, fallback=fallback, metrics=metrics))

    yield make
    for engine in engines:
        engine.close()


def asked(client: FlaskClient, prompt: str, **more: object) -> dict[str, object]:
    answer = client.post("/moderate", json={"prompt": prompt, **more})
    assert answer.status_code == 200, answer.json
    return answer.json


def test_the_reply_says_which_model_decided(client) -> None:
    one = client()
    first = asked(one, "small=0.95,0.04,0.01 large=0,0,1")
    assert (first["safety"], first["engine"], first["model"], first["degraded"]) == ("safe", "cascade", "small", False)
    second = asked(one, "small=0.6,0.3,0.1 large=0,0,1")
    assert (second["safety"], second["engine"], second["model"]) == ("unsafe", "cascade", "large")
    assert one.get("/readyz").json["engine"] == "cascade"
    told = one.get("/metrics").text
    for line in (
        'moderation_cascade_decisions_total{decided_by="small"} 1.0',
        'moderation_cascade_decisions_total{decided_by="large"} 1.0',
        'moderation_cascade_up_total{reason="unsure"} 1.0',
        'moderation_cascade_compared_total{large="unsafe",small="safe",texts="up"} 1.0',
    ):
        assert line in told


def test_a_remembered_verdict_of_the_small_model_is_enough_only_where_the_policy_says_so(client, large) -> None:
    one = client()
    text = "small=0.75,0.2,0.05 large=0,0.1,0.9"
    assert asked(one, text, policy="patient")["model"] == "small"
    again = asked(one, text, policy="patient")
    assert (again["model"], again["cached"]) == ("small", True)
    assert asked(one, text)["model"] == "large"
    # What the larger one said is enough for all, and no policy gets the milder verdict again.
    last = asked(one, text, policy="patient")
    assert (last["safety"], last["model"], last["cached"]) == ("unsafe", "large", True)
    assert len(large.questions) == 1


def test_equal_texts_of_one_batch_under_two_policies_are_judged_alike(client) -> None:
    text = "small=0.75,0.2,0.05 large=0,0.1,0.9"
    answer = client().post("/moderate", json={"inputs": [
        {"prompt": text, "policy": "patient"}, {"prompt": text, "policy": "careful"}]})  # fmt: skip
    assert [one["safety"] for one in answer.json["results"]] == ["unsafe", "unsafe"]


def test_a_policy_has_bounds_per_target_and_shows_them(client) -> None:
    one = client()
    text = "small=0.97,0.02,0.01 large=1,0,0"
    assert asked(one, text + " a", policy="careful")["model"] == "large"
    assert asked(one, "Hi", response=text, policy="careful")["model"] == "small"
    shown = {policy["name"]: policy for policy in one.get("/policies").json["policies"]}
    assert shown["careful"]["prompt"]["cascade"] == {"safe": 1.0, "unsafe": 0.99}
    assert shown["careful"]["response"]["cascade"] == {"safe": 0.7, "unsafe": None}
    assert "cascade" not in shown["balanced"]["prompt"]


def test_where_categories_decide_the_large_model_names_them(client) -> None:
    assert asked(client(), "small=0,0,1 large=0,0,1", policy="pii")["model"] == "large"


def test_without_the_large_model_doubts_follow_the_fail_mode_and_harm_is_never_let_out(client, large) -> None:
    one = client()
    asked(one, "small=0.6,0.3,0.1 large=1,0,0")
    large.stop()
    sure = asked(one, "small=0.95,0.05,0.0")
    assert (sure["model"], sure["degraded"]) == ("small", False)
    lite = asked(one, "an election: small=0.6,0.3,0.1")
    assert (lite["safety"], lite["engine"], lite["degraded"]) == ("controversial", "lite", True)
    harm = "small=0.25,0.2,0.55"
    for policy in ("balanced", "patient"):
        found = asked(one, harm, policy=policy)
        assert (found["safety"], found["action"], found["degraded"]) == ("unsafe", "block", True), policy
        assert not found["cached"]
    allowed = asked(one, "small=0.6,0.3,0.1 b", policy="patient")
    assert (allowed["safety"], allowed["action"], allowed["degraded"]) == (None, "allow", True)
    large.start()


def test_without_the_large_model_what_the_thresholds_find_in_the_small_ones_answer_is_harm_too(client, large) -> None:
    one = client()
    asked(one, "small=0.6,0.3,0.1 large=1,0,0")
    large.stop()
    found = asked(one, "small=0.6,0.05,0.35", policy="keen")
    assert (found["action"], found["degraded"], found["model"]) == ("block", True, "small")
    allowed = asked(one, "small=0.75,0.2,0.05", policy="keen")
    assert (allowed["safety"], allowed["action"], allowed["degraded"]) == (None, "allow", True)


def test_a_verdict_without_the_large_model_is_not_remembered(client, large) -> None:
    one = client()
    asked(one, "small=0.6,0.3,0.1 large=1,0,0")
    large.stop()
    text = "small=0.25,0.2,0.55 large=1,0,0"
    assert asked(one, text)["safety"] == "unsafe"
    large.start()
    assert wait_until(lambda: not asked(one, "large=1,0,0 " + str(monotonic()) + " small=0.6,0.3,0.1")["degraded"])
    found = asked(one, text)
    assert (found["safety"], found["model"], found["cached"]) == ("safe", "large", False)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"small_upstreams": ()}, "small_upstreams"),
        ({"small_upstreams": (Url("http://one:1"),), "upstreams": ()}, "upstreams"),
        ({"small_upstreams": (Url("http://one:1"),), "upstreams": (Url("http://one:1"),)}, "small_upstreams"),
    ],
)
def test_a_cascade_without_two_models_does_not_start(settings: dict[str, object], names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        create_engine(Settings(engine="cascade", **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("line", ["{safe: 0}", "{safe: 1.1}", "{unsafe: x}", "{controversial: 0.5}", "0.5"])
def test_bounds_that_are_none_are_refused_with_their_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(f"policies:\n  one:\n    cascade: {line}\n")
    with pytest.raises(ConfigurationError, match=r"bad.yaml:3: .*`cascade"):
        load_policies(path, default="balanced")
