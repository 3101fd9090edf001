"""One of three model servers goes wrong under load: nobody gets an error, and hardly anybody notices.

`pytest -m faults tests/faults/test_fleet.py`. The figures are compared with those of three healthy servers in the same
run.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic, sleep

import pytest
from fake_guard_server import BREAD, FakeServer, Hang, answering, guard

from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Verdict
from moderation_service.engines.vllm import UpstreamOptions, VllmEngine

pytestmark = pytest.mark.faults

VERDICT_S = 0.04
CALLERS = 12
CALLS = 300


def in_time(request):
    sleep(VERDICT_S)
    return guard(request)


def slowly(request):
    sleep(VERDICT_S * 15)
    return guard(request)


@dataclass
class Load:
    """What so many callers at once got, each asking one question after the other."""

    engine: VllmEngine
    seconds: list[float] = field(default_factory=list)
    errors: list[object] = field(default_factory=list)

    def run(self, *, after: int = 0, then=lambda: None) -> Load:
        """Ask; `then` is called by one caller once so many questions were answered."""
        begun = threading.Event()

        def ask(number: int) -> None:
            for turn in range(CALLS):
                if len(self.seconds) >= after and number == 0 and not begun.is_set():
                    begun.set()
                    then()
                started = monotonic()
                [found] = self.engine.judge(
                    [Conversation.of(prompt=f"{BREAD} {number} {turn}")], deadline=Deadline.after(10.0)
                )
                self.seconds.append(monotonic() - started)
                # A verdict with a failure would be degraded in the reply.
                if not isinstance(found, Verdict) or found.failure is not None:
                    self.errors.append(found)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99) - 1]


@pytest.fixture
def pods(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeServer]]:
    """Three servers behind one name, and the addresses that it has: those of the list."""
    made: list[FakeServer] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: object, port: object, *args: object, **options: object) -> object:
        if host != "guards.test":
            return real(host, port, *args, **options)  # type: ignore[arg-type]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one.host, port)) for one in made[-3:]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        for _ in range(3):
            started(made)
        yield made
    finally:
        for fake in made:
            fake.stop()


def started(pods: list[FakeServer]) -> None:
    fake = FakeServer(answering(in_time), host=f"127.0.0.{len(pods) + 1}", port=pods[0].port if pods else 0)
    fake.start()
    pods.append(fake)


@pytest.fixture
def engine(pods: list[FakeServer]) -> Iterator[VllmEngine]:
    name = f"http://guards.test:{pods[0].port}"
    one = VllmEngine(UpstreamOptions(urls=(), names=(name,), lookup_pause_s=(0.2, 0.3), most_per_replica=lambda: 32))
    one.check_ready()
    yield one
    one.close()


def dead(pods: list[FakeServer]) -> None:
    pods[0].stop()


def hanging(pods: list[FakeServer]) -> None:
    pods[0].behave = lambda request: Hang()


def slow(pods: list[FakeServer]) -> None:
    pods[0].behave = answering(slowly)


def replaced(pods: list[FakeServer]) -> None:
    """A new address comes before the old one goes, as with a rolling update that drains."""
    started(pods)
    pods[0].stop()


@pytest.mark.parametrize("trouble", [dead, hanging, slow, replaced])
def test_one_of_three_servers_in_trouble_under_load(engine: VllmEngine, pods: list[FakeServer], trouble) -> None:
    healthy = Load(engine).run()
    assert not healthy.errors
    found = Load(engine).run(after=200, then=lambda: trouble(pods))
    print(f"{trouble.__name__}: p99 {found.p99 * 1000:.0f} ms, healthy {healthy.p99 * 1000:.0f} ms")
    assert not found.errors
    assert found.p99 <= 2 * healthy.p99
    if trouble is replaced:
        assert pods[3].questions, "the new one is used"
