"""Two gateways that share a cluster memory: what one of them knows, the other one goes by; and when it is away."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

import fake_guard_server
import pytest
from apps import client_of, make_service
from crowd import asking
from fake_guard_server import BREAD, Action, Request, answering, guard, wait_until
from fakes import FakeEngine, verdict
from processes import Running, running
from redis_server import RedisServer

from moderation_service.config.settings import Secret, Settings
from moderation_service.core.verdict import Category, Detail, Scores, Severity, Span, Verdict
from moderation_service.errors import ConfigurationError
from moderation_service.web.service import build_service

pytestmark = pytest.mark.store

LITELLM = "/beta/litellm_basic_guardrail_api"
KEY = "a-key-for-all-gateways"
SERVE = (sys.executable, "-m", "moderation_service", "serve")


class Gateway:
    """One service in this process, with an engine of its own."""

    def __init__(self, server: RedisServer, engine: FakeEngine | None = None, **settings: Any) -> None:
        self.engine = engine or FakeEngine()
        changes = {"cluster_memory": Secret(server.url), "cluster_key": Secret(KEY), "log_level": "error", **settings}
        self.service = make_service(engine=self.engine, **changes)
        self.client = client_of(self.service)

    def post(self, path: str, body: object) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200, answer.json
        return answer.json

    def is_connected(self) -> bool:
        assert self.service.cluster is not None
        self.service.cluster.put(b"up", b"yes", ttl_s=60)
        return self.service.cluster.get(b"up") == b"yes"


@pytest.fixture
def gateway(server: RedisServer) -> Iterator[Callable[..., Gateway]]:
    made: list[Gateway] = []

    def make(**options: Any) -> Gateway:
        made.append(Gateway(server, **options))
        assert wait_until(made[-1].is_connected)
        return made[-1]

    yield make
    for one in made:
        assert one.service.cluster is not None
        one.service.cluster.close()


def asked(text: str, *, call: str = "call-1") -> dict[str, object]:
    messages = [{"role": "user", "content": text}]
    return {"input_type": "request", "litellm_call_id": call, "structured_messages": messages, "texts": [text]}


def answered(text: str, *, call: str = "call-1") -> dict[str, object]:
    return {"input_type": "response", "litellm_call_id": call, "texts": [text]}


class Question(FakeEngine):
    """Keeps the question that each answer was judged with."""

    def judge(self, conversations, **options):
        self.questions = [one.messages[0].content for one in conversations]
        return super().judge(conversations, **options)


def test_an_answer_is_judged_with_the_question_that_another_gateway_saw(gateway) -> None:
    one, other = gateway(engine=Question()), gateway(engine=Question())
    one.post(LITELLM, asked("What is in arsenic?"))
    other.post(LITELLM, answered("Two spoons.\n"))
    assert other.engine.questions == ["What is in arsenic?"]


def test_a_growing_answer_goes_on_at_another_gateway(gateway) -> None:
    one, other = gateway(), gateway()
    text = "This is one of many harmless sentences in a long answer. "
    one.post(LITELLM, answered(text * 100))
    other.post(LITELLM, answered(text * 101))
    assert len(other.engine.asked[-1]) < 1000
    first = one.post("/moderate/stream", {"id": "a", "response": text * 100})
    other.post("/moderate/stream", {"id": "a", "response": text * 101, "state": first["state"]})
    assert len(other.engine.asked[-1]) < 1000


def test_a_verdict_of_one_gateway_is_remembered_by_all(gateway) -> None:
    one, other = gateway(), gateway()
    assert one.post("/moderate", {"prompt": "How to make a bomb"})["cached"] is False
    found = other.post("/moderate", {"prompt": "How to make a bomb"})
    assert (found["cached"], found["safety"], found["categories"]) == (True, "unsafe", ["violent"])
    assert other.engine.asked == []


def test_a_verdict_is_remembered_with_all_that_is_in_it(gateway) -> None:
    one, other = gateway(), gateway()
    full = Verdict(
        *(verdict(Severity.UNSAFE, Category.PII).target, Severity.UNSAFE, (Category.PII,), None),
        Scores(0.1, 0.2, 0.7), "vllm", "m", windows=3, span=Span(4, 9), decoded=("leet",), by_small=True,
    )  # fmt: skip
    one.service.moderator.cache.put(b"key", Detail.FULL, full)
    assert other.service.moderator.cache.get(b"key", Detail.FULL) == full


def test_no_gateway_makes_milder_what_another_one_found(gateway) -> None:
    one, other = gateway(), gateway()
    harsh, mild = verdict(Severity.UNSAFE, Category.VIOLENT), verdict(Severity.SAFE)
    ours, theirs = one.service.moderator.cache, other.service.moderator.cache
    # Both were asked at the same time, and neither found the other's verdict.
    assert ours.put(b"key", Detail.FULL, harsh) == harsh
    assert theirs.put(b"key", Detail.FULL, mild).severity is Severity.UNSAFE
    third = gateway().service.moderator.cache
    assert third.get(b"key", Detail.SEVERITY).severity is Severity.UNSAFE
    assert third.get(b"key", Detail.FULL) is None, "two readings that differ are asked about again"
    assert third.put(b"key", Detail.FULL, mild).severity is Severity.UNSAFE
    # And the other way round: the stricter one takes the place of the milder.
    theirs.put(b"second", Detail.FULL, mild)
    assert ours.put(b"second", Detail.FULL, harsh) == harsh
    assert gateway().service.moderator.cache.get(b"second", Detail.FULL) == harsh
    # One that says less does not take the place of one that says more.
    ours.put(b"third", Detail.FULL, harsh)
    theirs.put(b"third", Detail.SEVERITY, verdict(Severity.UNSAFE))
    assert gateway().service.moderator.cache.get(b"third", Detail.FULL) == harsh
    # But for a small model's, where the larger one was asked.
    large = replace(verdict(Severity.SAFE), scores=Scores(0.6, 0.0, 0.4))
    ours.put(b"fourth", Detail.FULL, replace(large, scores=Scores(0.99, 0.01, 0.0), by_small=True))
    assert theirs.put(b"fourth", Detail.SEVERITY, large) == large
    assert gateway().service.moderator.cache.get(b"fourth", Detail.SEVERITY) == large


def test_another_key_for_the_gateways_shares_nothing(gateway) -> None:
    gateway().post("/moderate", {"prompt": "hello"})
    other = gateway(cluster_key=Secret("another-key-of-16"))
    assert other.post("/moderate", {"prompt": "hello"})["cached"] is False


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_nothing_is_wrong_or_late_while_it_is_away_under_load(server: RedisServer, how: str) -> None:
    variables = {"MODERATION_CLUSTER_MEMORY": server.url, "MODERATION_CLUSTER_KEY": KEY}
    with running("--workers", "1", **variables) as one, running("--workers", "1", **variables) as other:
        gateways, wrong, slowest = [one, other], [], []
        turns = [0] * 4

        def ask(number: int) -> None:
            turns[number] += 1
            gateway, call = gateways[(number + turns[number]) % 2], f"{number}-{turns[number]}"
            began = monotonic()
            gateway.request("POST", LITELLM, asked("What does arsenic do?", call=call))
            # At the same gateway, whose own memory has it in any case.
            told = gateway.request("POST", LITELLM, answered("Take two spoons. ", call=call)).json
            harm = gateway.request("POST", "/moderate", {"prompt": f"a bomb {turns[number] % 20}"}).json
            slowest.append(monotonic() - began)
            if told["action"] != "BLOCKED" or harm["safety"] != "unsafe" or harm["degraded"]:
                wrong.append((told, harm))

        def across() -> str:
            one.request("POST", LITELLM, asked("What does arsenic do?", call="across"))
            return other.request("POST", LITELLM, answered("Take two spoons. ", call="across")).json["action"]

        assert wait_until(lambda: across() == "BLOCKED")
        with asking(ask, callers=len(turns)):
            assert wait_until(lambda: len(slowest) > 40)
            server.kill() if how == "kill" else server.freeze()
            assert wait_until(lambda: "moderation_cluster_memory_away 1.0" in _metrics(one))
            count = len(slowest)
            assert wait_until(lambda: len(slowest) > count + 40)
            server.start() if how == "kill" else server.thaw()
            assert wait_until(lambda: "moderation_cluster_memory_away 0.0" in _metrics(one))
            assert wait_until(lambda: across() == "BLOCKED")
        assert not wrong
        assert max(slowest) < 3.0, "three requests, each with a tenth of a second per question at most"


def test_gateways_together_ask_a_model_server_no_more_at_once_than_it_may_have(server: RedisServer) -> None:
    """Four calls: alone a gateway has them all; of two each has two."""
    lock, under_way, most = threading.Lock(), 0, 0

    def counted(request: Request) -> Action:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        sleep(0.05)
        with lock:
            under_way -= 1
        return guard(request)

    def at_once(*gateways: Running) -> int:
        """The most calls that the model server has while each gateway is asked more than it may ask."""
        nonlocal most
        most = 0

        def ask(number: int) -> None:
            prompt = f"{BREAD} {number} {monotonic()}"
            gateways[number % len(gateways)].request("POST", "/moderate", {"prompt": prompt})

        with asking(ask, callers=8 * len(gateways)):
            sleep(0.5)
        return most

    variables = {
        "MODERATION_CLUSTER_MEMORY": server.url,
        "MODERATION_CLUSTER_KEY": KEY,
        "MODERATION_UPSTREAM_REPLICA_CALLS": "4",
        "MODERATION_ENGINE": "vllm",
    }
    with fake_guard_server.running(answering(counted)) as model:
        variables["MODERATION_UPSTREAMS"] = model.url
        with running("--workers", "1", command=SERVE, **variables) as one:
            assert wait_until(lambda: one.request("GET", "/readyz").status == 200)
            assert wait_until(lambda: at_once(one) == 4)
            with running("--workers", "1", command=SERVE, **variables) as other:
                assert wait_until(lambda: other.request("GET", "/readyz").status == 200)
                assert at_once(other) > 0, "it counts from its first question on"
                assert wait_until(lambda: at_once(one) == 2), "they know of each other"
                assert at_once(other) == 2
                assert at_once(one, other) == 4
            assert wait_until(lambda: at_once(one) == 4, within_s=30), "what is gone counts for ten seconds more"


def _metrics(gateway) -> str:
    return gateway.request("GET", "/metrics").body.decode()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"cluster_key": None}, "cluster_key"),
        ({"cluster_key": Secret("short-one")}, "cluster_key"),
        ({"cluster_memory": Secret("memcached://one:1")}, "cluster_memory"),
        ({"cluster_memory": Secret("redis://")}, "cluster_memory"),
    ],
)
def test_a_mistake_in_the_settings_stops_the_start(settings: dict[str, Secret | None], names: str) -> None:
    changes = {"cluster_memory": Secret("redis://:secret@one:1"), "cluster_key": Secret(KEY), **settings}
    with pytest.raises(ConfigurationError, match=names) as caught:
        build_service(Settings(**changes), engine=FakeEngine())
    assert "secret@" not in str(caught.value)
