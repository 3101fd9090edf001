"""Ray Serve LLM between the service and two replicas of vLLM: the same verdicts, and what a lost replica costs."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from processes import until
from router_load import CALLERS, Load, engine_at

from moderation_service.core.conversation import Conversation, Limits
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Detail, Severity, Verdict
from moderation_service.engines.vllm import VllmEngine
from moderation_service.errors import EngineUnavailable

from .conftest import START_S, TINY_GUARD, Served, one_server

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]

CALLS = 60
Verdicts = dict[Detail, list[Verdict]]
# As the page says; the context is told by Ray Serve's list of models.
OPTIONS = {"model": "qwen3guard", "dialect": "vllm"}


@pytest.fixture(scope="session")
def asked() -> list[Conversation]:
    """What tiny-guard was taught: prompts and responses of all severities."""
    spec = importlib.util.spec_from_file_location("tiny_guard_data", TINY_GUARD / "data.py")
    assert spec is not None
    assert spec.loader is not None
    data: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    return [Conversation.from_messages(messages, limits=Limits()) for messages, _ in data.examples()]


@pytest.fixture(scope="session")
def direct(asked: list[Conversation]) -> Verdicts:
    """The verdicts of one vLLM that is asked directly."""
    with one_server() as url, engine_at(url) as engine:
        return {detail: judge(engine, asked, detail) for detail in Detail}


def judge(engine: VllmEngine, asked: list[Conversation], detail: Detail = Detail.FULL) -> list[Verdict]:
    found = engine.judge(asked, detail=detail, deadline=Deadline.after(120))
    verdicts = [one for one in found if isinstance(one, Verdict)]
    assert len(verdicts) == len(asked), found
    return verdicts


@pytest.fixture
def load(asked: list[Conversation], direct: Verdicts, ray_serve: Served) -> Iterator[Load]:
    """Callers behind Ray Serve; the right answers are those of the server asked directly."""
    found = zip(asked, direct[Detail.FULL], strict=True)
    prompts = [(one.messages[0].content, verdict.severity) for one, verdict in found if len(one.messages) == 1]
    assert {severity for _, severity in prompts} == set(Severity)
    with engine_at(ray_serve.url, **OPTIONS) as engine:
        yield Load(engine, lambda number: [prompts[(number + turn) % len(prompts)] for turn in range(CALLS)])


@pytest.mark.parametrize("detail", Detail)
def test_verdicts_are_those_of_a_server_asked_directly(
    detail: Detail, asked: list[Conversation], direct: Verdicts, ray_serve: Served
) -> None:
    with engine_at(ray_serve.url, **OPTIONS) as engine:
        behind = judge(engine, asked, detail)
    for one, other in zip(direct[detail], behind, strict=True):
        assert one.scores is not None
        assert other.scores is not None
        # In bfloat16 numbers depend a little on what is computed at the same time.
        assert other.scores.unsafe == pytest.approx(one.scores.unsafe, abs=0.05)
        assert replace(other, scores=None) == replace(one, scores=None)


def test_the_context_is_known_without_being_told(ray_serve: Served, caplog: pytest.LogCaptureFixture) -> None:
    with engine_at(ray_serve.url, **OPTIONS) as engine:
        [found] = judge(engine, [Conversation.of(prompt="How do I bake bread? " * 100)])
    assert found.windows > 1
    assert "context_assumed" not in caplog.text


def test_a_replica_that_is_killed_under_load_costs_what_it_was_answering_and_is_replaced(
    load: Load, ray_serve: Served
) -> None:
    lost, kept = sorted(ray_serve.replicas())
    load.run(then=lambda: os.kill(lost, signal.SIGKILL))
    assert load.wrong == []
    assert {type(one) for one in load.errors} <= {EngineUnavailable}
    assert len(load.errors) <= CALLERS
    until(lambda: lost not in ray_serve.replicas() and ray_serve.is_whole(), within_s=START_S)
    assert len(ray_serve.replicas() - {lost, kept}) == 1
    assert kept in ray_serve.replicas()


def test_an_update_drains_the_replicas_that_it_replaces_and_costs_nothing(load: Load, ray_serve: Served) -> None:
    before = ray_serve.replicas()
    load.run(then=lambda: ray_serve.deploy(health_check_period_s=3))
    assert (load.errors, load.wrong) == ([], [])
    until(lambda: not before & ray_serve.replicas() and ray_serve.is_whole(), within_s=START_S)
