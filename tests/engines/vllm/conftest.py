"""Fixtures for the engine's tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from fake_guard_server import FakeServer, running

from moderation_service.engines.vllm import UpstreamOptions, VllmEngine


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    """A healthy fake server."""
    with running() as fake:
        yield fake


@pytest.fixture
def second() -> Iterator[FakeServer]:
    """Another one."""
    with running() as fake:
        yield fake


@pytest.fixture
def engine_for() -> Iterator[Callable[..., VllmEngine]]:
    """Makes engines; closes them, and fails if they leave a thread."""
    before = set(threading.enumerate())
    made: list[VllmEngine] = []

    def make(*servers: FakeServer, **options: object) -> VllmEngine:
        urls = tuple(server.url for server in servers)
        engine = VllmEngine(UpstreamOptions(urls=urls, **{"timeout_s": 5.0, **options}))  # type: ignore[arg-type]
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()
    left = [one.name for one in set(threading.enumerate()) - before if one.name.startswith(("windows", "probe"))]
    assert not left
