"""Callers of a model server behind a router, one question after the other, while something happens to a server."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep

from fake_guard_server import BOMB, BREAD, Action, FakeServer, Hang, Request, guard, reply, wait_until

from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Severity, Verdict
from moderation_service.engines.vllm import UpstreamOptions, VllmEngine

__all__ = ["CALLERS", "DEADLINE_S", "Load", "engine_at", "hang", "model_server", "two_servers"]

VERDICT_S = 0.02
CALLERS = 8
DEADLINE_S = 10.0


def model_server(request: Request) -> Action:
    """vLLM as a router sees it: healthy, with metrics, and with its context beside a text's tokens."""
    if request.path in ("/health", "/metrics", "/ping", "/version"):
        return reply(200, b"", content_type="text/plain")
    if request.path == "/tokenize" and request.body.get("prompt") == " Safe":
        return reply(200, {"count": 1, "max_model_len": 512, "tokens": [1057], "token_strs": None})
    if request.path.startswith("/v1/") and request.body is not None:
        sleep(VERDICT_S)
    return guard(request) if request.body is not None or request.path == "/v1/models" else reply(404, {})


def hang(server: FakeServer) -> None:
    """From now on it takes questions and never answers."""
    server.behave = lambda request: Hang() if request.path.startswith("/v1/") else model_server(request)


@contextlib.contextmanager
def two_servers() -> Iterator[list[FakeServer]]:
    servers = [FakeServer(model_server), FakeServer(model_server)]
    for one in servers:
        one.start()
    try:
        yield servers
    finally:
        for one in servers:
            one.stop()


@contextlib.contextmanager
def engine_at(*urls: str, **options: object) -> Iterator[VllmEngine]:
    engine = VllmEngine(UpstreamOptions(urls=urls, **options))  # type: ignore[arg-type]
    try:
        engine.check_ready()
        yield engine
    finally:
        engine.close()


def questions(number: int, calls: int) -> list[tuple[str, Severity]]:
    """What one caller asks, and what the right answer is: a harmful one every other time, none of them twice."""
    kinds = ((BREAD, Severity.SAFE), (BOMB, Severity.UNSAFE))
    return [(f"{text} {number} {turn}", severity) for turn in range(calls) for text, severity in [kinds[turn % 2]]]


@dataclass
class Load:
    """What callers at once got. `asks` are the questions of one caller with their right answers, by its number."""

    engine: VllmEngine
    asks: Callable[[int], Sequence[tuple[str, Severity]]] = lambda number: questions(number, 40)
    seconds: list[float] = field(default_factory=list)
    errors: list[object] = field(default_factory=list)
    wrong: list[tuple[str, Verdict]] = field(default_factory=list)

    def run(self, *, then: Callable[[], object] = lambda: None) -> Load:
        """Ask; `then` is called once a third of the questions is answered."""
        asked = [self.asks(number) for number in range(CALLERS)]
        threads = [threading.Thread(target=self._ask, args=(mine,)) for mine in asked]
        for thread in threads:
            thread.start()
        assert wait_until(lambda: len(self.seconds) > sum(map(len, asked)) / 3, within_s=300)
        then()
        for thread in threads:
            thread.join()
        print(self)
        return self

    def _ask(self, asked: Sequence[tuple[str, Severity]]) -> None:
        for text, severity in asked:
            started = monotonic()
            [found] = self.engine.judge([Conversation.of(prompt=text)], deadline=Deadline.after(DEADLINE_S))
            self.seconds.append(monotonic() - started)
            if not isinstance(found, Verdict):
                self.errors.append(found)
            elif found.severity is not severity:
                self.wrong.append((text, found))

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99) - 1]

    def __str__(self) -> str:
        return f"{len(self.errors)} errors of {len(self.seconds)}, p99 {self.p99:.2f} s, max {max(self.seconds):.2f} s"
