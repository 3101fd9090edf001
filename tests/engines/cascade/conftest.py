"""Fixtures: a small and a large model on scripted servers, and the cascade of both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from fake_guard_server import FakeServer, running
from scored_guard import scored

from moderation_service.core.policy import Bounds
from moderation_service.engines.cascade import CascadeEngine
from moderation_service.engines.vllm import UpstreamOptions, VllmEngine


@pytest.fixture
def small() -> Iterator[FakeServer]:
    with running(scored("small")) as fake:
        yield fake


@pytest.fixture
def large() -> Iterator[FakeServer]:
    with running(scored("large")) as fake:
        yield fake


@pytest.fixture
def cascade(small: FakeServer, large: FakeServer) -> Iterator[Callable[..., CascadeEngine]]:
    """Makes cascades of the two servers; closes them, and fails if they leave a thread."""
    before = set(threading.enumerate())
    made: list[CascadeEngine] = []

    def make(*, slots: int = 64, **options: object) -> CascadeEngine:
        def of(server: FakeServer) -> VllmEngine:
            return VllmEngine(UpstreamOptions(urls=(server.url,), timeout_s=5.0, concurrency=slots))

        bounds = Bounds(safe=0.9, unsafe=0.6)
        engine = CascadeEngine(of(small), of(large), **{"bounds": bounds, **options})  # type: ignore[arg-type]
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()
    names = ("windows", "probe", "cascade")
    assert not [one.name for one in set(threading.enumerate()) - before if one.name.startswith(names)]
