"""A real router between the service and two model servers: the same verdicts, and none lost when one server dies."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import pytest
import requests
from fake_guard_server import BOMB, BREAD, Action, FakeServer, Hang, Request, guard, reply, wait_until
from processes import free_port

from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Detail, Severity, Verdict
from moderation_service.engines.vllm import UpstreamOptions, VllmEngine
from moderation_service.errors import EngineUnavailable

pytestmark = pytest.mark.clients

Router = Callable[..., str]

VERDICT_S = 0.02
CALLERS, CALLS = 8, 40
DEADLINE_S = 10.0
POLICIES = ("round_robin", "power_of_two", "cache_aware")
TEXTS = [
    Conversation.of(prompt=BREAD),
    Conversation.of(prompt=BOMB),
    Conversation.of(prompt=BREAD, response="Sure, here is how to bake it."),
]


def model_server(request: Request) -> Action:
    """vLLM as a router sees it: healthy, and with metrics."""
    if request.path in ("/health", "/metrics", "/ping", "/version"):
        return reply(200, b"", content_type="text/plain")
    if request.path.startswith("/v1/") and request.body is not None:
        sleep(VERDICT_S)
    return guard(request) if request.body is not None or request.path == "/v1/models" else reply(404, {})


@pytest.fixture
def guards() -> Iterator[list[FakeServer]]:
    servers = [FakeServer(model_server), FakeServer(model_server)]
    for one in servers:
        one.start()
    try:
        yield servers
    finally:
        for one in servers:
            one.stop()


@pytest.fixture
def router(folder: Path, launch: Callable[..., int], guards: list[FakeServer]) -> Router:
    """Starts a router in front of both servers with these options more; its address."""

    def start(*options: str) -> str:
        port = free_port()
        metrics = str(free_port())
        command = [str(folder / "bin/vllm-router"), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--prometheus-port", metrics, "--worker-startup-check-interval", "1"]
        launch([*command, "--worker-urls", *(one.url for one in guards), *options], port=port)
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{url}/v1/models", timeout=5).status_code == 200
            return False

        assert wait_until(answers, within_s=30)
        return url

    return start


@contextlib.contextmanager
def engine_at(*urls: str) -> Iterator[VllmEngine]:
    engine = VllmEngine(UpstreamOptions(urls=urls))
    try:
        engine.check_ready()
        yield engine
    finally:
        engine.close()


@dataclass
class Load:
    """What callers at once got, each asking one question after the other, a harmful one every other time."""

    engine: VllmEngine
    seconds: list[float] = field(default_factory=list)
    errors: list[object] = field(default_factory=list)
    wrong: list[Verdict] = field(default_factory=list)

    def run(self, *, then: Callable[[], object] = lambda: None) -> Load:
        """Ask; `then` is called once a third of the questions is answered."""
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        assert wait_until(lambda: len(self.seconds) > CALLERS * CALLS / 3, within_s=60)
        then()
        for thread in threads:
            thread.join()
        print(self)
        return self

    def _ask(self, number: int) -> None:
        for turn in range(CALLS):
            text, severity = ((BREAD, Severity.SAFE), (BOMB, Severity.UNSAFE))[turn % 2]
            started = monotonic()
            asked = Conversation.of(prompt=f"{text} {number} {turn}")
            [found] = self.engine.judge([asked], deadline=Deadline.after(DEADLINE_S))
            self.seconds.append(monotonic() - started)
            if not isinstance(found, Verdict):
                self.errors.append(found)
            elif found.severity is not severity:
                self.wrong.append(found)

    def __str__(self) -> str:
        p99 = sorted(self.seconds)[int(len(self.seconds) * 0.99) - 1]
        return f"{len(self.errors)} errors of {len(self.seconds)}, p99 {p99:.2f} s, max {max(self.seconds):.2f} s"


@pytest.mark.parametrize("policy", POLICIES)
def test_behind_a_router_verdicts_are_the_servers_own_and_both_servers_work(
    guards: list[FakeServer], router: Router, policy: str
) -> None:
    with engine_at(guards[0].url) as direct:
        expected = [direct.judge(TEXTS, detail=detail) for detail in Detail]
    assert [one.severity for one in expected[0] if isinstance(one, Verdict)] == [
        Severity.SAFE, Severity.UNSAFE, Severity.SAFE,
    ]  # fmt: skip
    with engine_at(router("--policy", policy)) as behind:
        assert [behind.judge(TEXTS, detail=detail) for detail in Detail] == expected
        before = [len(one.questions) for one in guards]
        load = Load(behind).run()
    assert (load.errors, load.wrong) == ([], [])
    shares = [len(one.questions) - earlier for one, earlier in zip(guards, before, strict=True)]
    assert min(shares) > CALLERS * CALLS / 4


def test_a_server_that_dies_under_load_is_hidden_by_a_router_that_tries_again(
    guards: list[FakeServer], router: Router
) -> None:
    with engine_at(router("--policy", "round_robin")) as behind:
        load = Load(behind).run(then=guards[0].stop)
    assert (load.errors, load.wrong) == ([], [])


def test_without_a_second_try_of_the_router_a_dead_server_is_an_error_and_never_a_wrong_verdict(
    guards: list[FakeServer], router: Router
) -> None:
    with engine_at(router("--policy", "round_robin", "--disable-retries")) as behind:
        load = Load(behind).run(then=guards[0].stop)
    assert load.errors
    assert {type(one) for one in load.errors} == {EngineUnavailable}
    assert load.wrong == []


def test_a_server_that_hangs_under_load_is_hidden_by_a_router_that_gives_up_in_time(
    guards: list[FakeServer], router: Router
) -> None:
    def hang() -> None:
        guards[0].behave = lambda request: Hang() if request.path.startswith("/v1/") else model_server(request)

    with engine_at(router("--policy", "round_robin", "--request-timeout-secs", "2")) as behind:
        load = Load(behind).run(then=hang)
    assert (load.errors, load.wrong) == ([], [])
    assert max(load.seconds) < DEADLINE_S
