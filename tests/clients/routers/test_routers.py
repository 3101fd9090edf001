"""A real router between the service and two model servers: the same verdicts, and none lost when one server goes.

vLLM's router is on PyPI. The one of production-stack is on no index, so its tests run where PRODUCTION_STACK_ROUTER
names its program, which `pip install git+https://github.com/vllm-project/production-stack@vllm-stack-0.1.12` makes with
Python 3.12.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from fake_guard_server import BOMB, BREAD, FakeServer, wait_until
from processes import free_port
from router_load import DEADLINE_S, Load, engine_at, hang, two_servers

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Detail, Severity, Verdict
from moderation_service.errors import EngineUnavailable

pytestmark = pytest.mark.clients

Start = Callable[..., str]

TEXTS = [
    Conversation.of(prompt=BREAD),
    Conversation.of(prompt=BOMB),
    Conversation.of(prompt=BREAD, response="Sure, here is how to bake it."),
]


@dataclass(frozen=True)
class Router:
    """How to start one: its program, and options that do the same under other names."""

    program: Path
    command: Callable[[int, Sequence[str]], list[str]]
    tries_again: tuple[str, ...]
    tries_once: tuple[str, ...]
    gives_up: tuple[str, ...] | None
    """After two seconds of one try, where it can."""


def vllm_router(folder: Path) -> Router:
    def command(port: int, urls: Sequence[str]) -> list[str]:
        own = ["--prometheus-port", str(free_port()), "--worker-startup-check-interval", "1"]
        return ["--port", str(port), *own, "--worker-urls", *urls]

    policy = ("--policy", "round_robin")
    return Router(
        folder / "bin/vllm-router",
        command,
        tries_again=policy,
        tries_once=(*policy, "--disable-retries"),
        gives_up=(*policy, "--request-timeout-secs", "2"),
    )


def production_stack(_: Path) -> Router:
    program = os.environ.get("PRODUCTION_STACK_ROUTER")
    if program is None:
        pytest.skip("PRODUCTION_STACK_ROUTER names no program")

    def command(port: int, urls: Sequence[str]) -> list[str]:
        models = ",".join(["qwen3guard"] * len(urls))
        return ["--port", str(port), "--service-discovery", "static", "--static-backends", ",".join(urls),
                "--static-models", models]  # fmt: skip

    policy = ("--routing-logic", "roundrobin")
    return Router(
        Path(program),
        command,
        tries_again=(*policy, "--max-instance-failover-reroute-attempts", "1"),
        tries_once=policy,
        gives_up=None,
    )


ROUTERS = {"vllm": vllm_router, "production-stack": production_stack}
POLICIES = [
    *(("vllm", ("--policy", one)) for one in ("round_robin", "power_of_two", "cache_aware")),
    *(("production-stack", ("--routing-logic", one)) for one in ("roundrobin", "prefixaware")),
]


@pytest.fixture
def guards() -> Iterator[list[FakeServer]]:
    with two_servers() as servers:
        yield servers


@pytest.fixture(params=ROUTERS)
def kind(request: pytest.FixtureRequest, folder: Path) -> Router:
    return ROUTERS[request.param](folder)


@pytest.fixture
def start(folder: Path, launch: Callable[..., int], guards: list[FakeServer]) -> Start:
    """Starts a router in front of both servers with these options; its address."""

    def start(router: Router, *options: str) -> str:
        port = free_port()
        command = [str(router.program), "--host", "127.0.0.1", *router.command(port, [one.url for one in guards])]
        launch([*command, *options], port=port)
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{url}/v1/models", timeout=5).status_code == 200
            return False

        assert wait_until(answers, within_s=30)
        return url

    return start


@pytest.mark.parametrize(("name", "policy"), POLICIES)
def test_behind_a_router_verdicts_are_the_servers_own_and_both_servers_work(
    guards: list[FakeServer],
    folder: Path,
    start: Start,
    name: str,
    policy: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    router = ROUTERS[name](folder)
    with engine_at(guards[0].url) as direct:
        expected = [direct.judge(TEXTS, detail=detail) for detail in Detail]
    assert [one.severity for one in expected[0] if isinstance(one, Verdict)] == [
        Severity.SAFE, Severity.UNSAFE, Severity.SAFE,
    ]  # fmt: skip
    with engine_at(start(router, *policy)) as behind:
        assert [behind.judge(TEXTS, detail=detail) for detail in Detail] == expected
        before = [len(one.questions) for one in guards]
        load = Load(behind).run()
    assert (load.errors, load.wrong) == ([], [])
    assert "context_assumed" not in caplog.text
    shares = [len(one.questions) - earlier for one, earlier in zip(guards, before, strict=True)]
    assert min(shares) > sum(shares) / 4


@pytest.mark.parametrize("ends", [FakeServer.stop, FakeServer.drain], ids=["dies", "is drained"])
def test_a_server_that_goes_under_load_is_hidden_by_a_router_that_tries_again(
    guards: list[FakeServer], start: Start, kind: Router, ends: Callable[[FakeServer], None]
) -> None:
    with engine_at(start(kind, *kind.tries_again)) as behind:
        load = Load(behind).run(then=lambda: ends(guards[0]))
    assert (load.errors, load.wrong) == ([], [])


def test_without_a_second_try_of_the_router_a_dead_server_is_an_error_and_never_a_wrong_verdict(
    guards: list[FakeServer], start: Start, kind: Router
) -> None:
    with engine_at(start(kind, *kind.tries_once)) as behind:
        load = Load(behind).run(then=guards[0].stop)
    assert load.errors
    assert {type(one) for one in load.errors} == {EngineUnavailable}
    assert load.wrong == []


def test_a_server_that_hangs_under_load_is_hidden_by_a_router_that_gives_up_in_time(
    guards: list[FakeServer], start: Start, kind: Router
) -> None:
    if kind.gives_up is None:
        pytest.skip("it has no limit for one try")
    with engine_at(start(kind, *kind.gives_up)) as behind:
        load = Load(behind).run(then=lambda: hang(guards[0]))
    assert (load.errors, load.wrong) == ([], [])
    assert max(load.seconds) < DEADLINE_S
