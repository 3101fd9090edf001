"""One of three model servers goes wrong under load: nobody gets an error, and hardly anybody notices.

The service runs as it comes, with two processes, in front of a name that has three addresses. `pytest -m faults -s
tests/faults/test_fleet.py` prints what docs/engines.md shows. The figures are compared with those of three healthy
servers in the same run.
"""

from __future__ import annotations

import http.client
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import pytest
from crowd import asking
from fake_guard_server import BOMB, BREAD, FakeServer, Hang, answering, guard, wait_until
from processes import Running, running, send
from serve_names import NAME

pytestmark = pytest.mark.faults

SERVE = (sys.executable, str(Path(__file__).parents[1] / "support" / "serve_names.py"), "serve")
VERDICT_S = 0.05
CALLERS = 16
HEALTHY_S = 4.0
NEW_POD_S = 10.0
"""How soon a new address is asked: looked up every four to six seconds, and asked some questions first."""


def in_time(request):
    sleep(VERDICT_S)
    return guard(request)


def slowly(request):
    sleep(VERDICT_S * 10)
    return guard(request)


@dataclass
class Pods:
    """Model servers at addresses of their own; the name has those of `listed`."""

    names: Path
    all: list[FakeServer] = field(default_factory=list)
    listed: list[FakeServer] = field(default_factory=list)

    def add(self) -> FakeServer:
        port = self.all[0].port if self.all else 0
        fake = FakeServer(answering(in_time), host=f"127.0.0.{len(self.all) + 1}", port=port)
        fake.start()
        self.all.append(fake)
        self.list(*self.listed, fake)
        return fake

    def list(self, *pods: FakeServer) -> None:
        self.listed = [*pods]
        written = self.names.with_suffix(".new")
        written.write_text("\n".join(one.host for one in pods))
        written.replace(self.names)


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    made = Pods(tmp_path / "names")
    try:
        for _ in range(3):
            made.add()
        yield made
    finally:
        for fake in made.all:
            fake.stop()


@pytest.fixture
def service(pods: Pods) -> Iterator[Running]:
    url = f"http://{NAME}:{pods.all[0].port}?resolve=all"
    with running("--engine", "vllm", "--upstream", url, command=SERVE, NAMES_FILE=str(pods.names)) as one:
        assert wait_until(lambda: one.request("GET", "/readyz").status == 200)
        yield one


@dataclass
class Load:
    """What so many callers at once got, each asking one question after the other."""

    seconds: list[float] = field(default_factory=list)
    errors: list[object] = field(default_factory=list)
    wrong: list[object] = field(default_factory=list)
    degraded: int = 0

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99) - 1]

    def __str__(self) -> str:
        share = self.degraded / len(self.seconds)
        longest = f"{self.p99 * 1000:.0f} ms | {max(self.seconds):.2f} s"
        return f"{len(self.seconds)} | {len(self.errors)} | {share:.1%} | {longest}"


def load(service: Running, *, for_s: float, then: Callable[[], object] = lambda: None) -> Load:
    """Ask for so long; `then` is called while they ask, and what came before it is not counted."""
    found, own = Load(), threading.local()
    connections: list[http.client.HTTPConnection] = []

    def ask(number: int) -> None:
        if not hasattr(own, "connection"):
            own.connection, own.turn = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30), 0
            connections.append(own.connection)
        own.turn += 1
        is_harmful = own.turn % 10 == 0
        prompt = f"{BOMB if is_harmful else BREAD} {id(found)} {number} {own.turn}"
        started = monotonic()
        try:
            reply = send(own.connection, "POST", "/moderate", {"prompt": prompt})
        except (OSError, http.client.HTTPException) as error:
            found.errors.append(error)
            own.connection.close()
            return
        found.seconds.append(monotonic() - started)
        if reply.status != 200:
            found.errors.append(reply.body)
        elif reply.json["degraded"]:
            found.degraded += 1
        elif (reply.json["engine"], reply.json["safety"]) != ("vllm", "unsafe" if is_harmful else "safe"):
            found.wrong.append(reply.json)

    try:
        with asking(ask, callers=CALLERS):
            assert wait_until(lambda: len(found.seconds) > 100, within_s=30)
            found.seconds.clear()
            then()
            sleep(for_s)
    finally:
        for one in connections:
            one.close()
    return found


def dead(pods: Pods) -> None:
    """It is killed, and its address stays in the name."""
    pods.all[0].stop()


def hanging(pods: Pods) -> None:
    pods.all[0].behave = lambda request: Hang()


def slow(pods: Pods) -> None:
    pods.all[0].behave = answering(slowly)


def replaced(pods: Pods) -> None:
    """It is killed, and another one comes at another address."""
    pods.all[0].stop()
    pods.list(*pods.all[1:])
    pods.add()


@pytest.mark.parametrize(("trouble", "for_s"), [(dead, 6), (hanging, 12), (slow, 10), (replaced, 6)])
def test_one_of_three_servers_in_trouble_under_load(service: Running, pods: Pods, trouble, for_s: float) -> None:
    load(service, for_s=1.0)
    healthy = load(service, for_s=HEALTHY_S)
    came_after: list[float] = []

    def watch() -> None:
        trouble(pods)
        if trouble is replaced:
            began = monotonic()
            assert wait_until(lambda: pods.all[3].questions, within_s=30)
            came_after.append(monotonic() - began)

    found = load(service, for_s=for_s, then=watch)
    print(
        f"\n| healthy | {healthy} |\n| {trouble.__name__} | {found} |" + "".join(f" {one:.1f} s" for one in came_after)
    )
    for each in (healthy, found):
        assert (each.errors, each.wrong) == ([], [])
    assert healthy.degraded == 0
    assert found.degraded <= len(found.seconds) * 0.01
    assert found.p99 <= 2 * healthy.p99
    assert all(seconds <= NEW_POD_S for seconds in came_after)
