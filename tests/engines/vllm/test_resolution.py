"""One name, several servers: each address is a server of its own, and they come and go while the service runs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from time import monotonic, sleep

import pytest
from fake_guard_server import BREAD, FakeServer, answering, guard, reply

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Verdict
from moderation_service.engines.vllm import VllmEngine
from moderation_service.errors import EngineUnavailable

SAFE = Conversation.of(prompt=BREAD)
SAFE_BY_A_CHEAT = {
    "choices": [
        {"message": {"content": "Safety: Safe\nCategories: None\nRefusal: No"}, "finish_reason": "stop", "index": 0}
    ]
}


class Names:
    """A name server for one name. `addresses` may be changed; None: it does not answer."""

    def __init__(self) -> None:
        self.addresses: list[str] | None = []
        self.lookups = 0


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    known = Names()
    real = socket.getaddrinfo

    def getaddrinfo(host: object, port: object, *args: object, **options: object) -> object:
        if host != "guards.test":
            return real(host, port, *args, **options)  # type: ignore[arg-type]
        known.lookups += 1
        if not known.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known.addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.fixture
def pods() -> Iterator[list[FakeServer]]:
    """Three servers on one port, at addresses of their own."""
    made: list[FakeServer] = []
    try:
        for number in range(3):
            fake = FakeServer(host=f"127.0.0.{number + 1}", port=made[0].port if made else 0)
            fake.start()
            made.append(fake)
        yield made
    finally:
        for fake in made:
            fake.stop()


@pytest.fixture
def engine(engine_for, names: Names, pods: list[FakeServer]):
    """Its name has the first two addresses."""
    names.addresses = [pods[0].host, pods[1].host]
    return engine_for(names=(f"http://guards.test:{pods[0].port}",), lookup_pause_s=(0.02, 0.03))


def until(condition: Callable[[], bool]) -> None:
    ends_at = monotonic() + 10
    while not condition():
        assert monotonic() < ends_at, "in vain"
        sleep(0.01)


def judge(engine: VllmEngine, times: int = 6) -> None:
    for _ in range(times):
        (found,) = engine.judge([SAFE])
        assert isinstance(found, Verdict), repr(found)


def test_every_address_of_a_name_is_used(engine, pods: list[FakeServer]) -> None:
    judge(engine)
    assert len(pods[0].questions) == len(pods[1].questions) == 3
    assert pods[0].requests[-1].headers["host"] == f"guards.test:{pods[0].port}"


def test_one_bad_pod_costs_no_verdict(engine, pods: list[FakeServer]) -> None:
    judge(engine)
    pods[0].behave = answering(reply(500, {"error": "out of memory"}))
    judge(engine, 20)


def test_a_new_address_is_used_without_a_restart(engine, names: Names, pods: list[FakeServer]) -> None:
    judge(engine)
    assert names.addresses is not None
    names.addresses = [*names.addresses, pods[2].host]
    until(lambda: bool(judge(engine) or pods[2].questions))


def test_a_new_server_that_calls_harm_safe_gets_no_question_of_a_user(
    engine, names: Names, pods: list[FakeServer]
) -> None:
    judge(engine)
    pods[2].behave = lambda request: guard(request) if request.path == "/v1/models" else reply(200, SAFE_BY_A_CHEAT)
    names.addresses = [pods[0].host, pods[2].host]
    until(lambda: len(pods[2].requests) > 2)
    judge(engine, 20)
    assert pods[2].questions == []


def test_an_address_that_is_gone_is_asked_no_more(engine, names: Names, pods: list[FakeServer]) -> None:
    judge(engine)
    names.addresses = [pods[1].host]
    lookups = names.lookups
    until(lambda: names.lookups > lookups + 2)
    before = len(pods[0].requests)
    judge(engine)
    assert len(pods[0].requests) == before


def test_all_are_replaced_under_load(engine, names: Names, pods: list[FakeServer]) -> None:
    judge(engine)
    names.addresses = [pods[1].host, pods[2].host]
    until(lambda: bool(judge(engine) or pods[2].questions))
    names.addresses = [pods[2].host]
    lookups = names.lookups
    until(lambda: bool(judge(engine) or names.lookups > lookups + 2))
    for gone in pods[:2]:
        gone.stop()
    judge(engine, 20)


def test_a_name_server_that_is_away_changes_nothing(engine, names: Names, pods: list[FakeServer]) -> None:
    judge(engine)
    names.addresses = None
    lookups = names.lookups
    until(lambda: names.lookups > lookups + 2)
    judge(engine)


def test_a_name_without_an_address_is_an_outage_that_ends_by_itself(
    engine_for, names: Names, pods: list[FakeServer]
) -> None:
    engine = engine_for(names=(f"http://guards.test:{pods[0].port}",), lookup_pause_s=(0.02, 0.03))
    (found,) = engine.judge([SAFE])
    assert isinstance(found, EngineUnavailable)
    with pytest.raises(EngineUnavailable):
        engine.check_ready()
    names.addresses = [pods[0].host]
    until(lambda: isinstance(engine.judge([SAFE])[0], Verdict))
    engine.check_ready()
