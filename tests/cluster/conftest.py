"""Fixtures: a real server for the cluster memory, and gateways that share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_events import Told
from redis_server import RedisServer, redis_server

from moderation_service.cluster.memory import ClusterMemory
from moderation_service.config.settings import Secret

KEY = Secret("a-key-for-all-gateways")
PASSWORD = "for-tests-only"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path, password=PASSWORD) as one:
        yield one


@pytest.fixture
def memory(server: RedisServer) -> Iterator[Callable[..., ClusterMemory]]:
    """Makes memories on the server, each as a gateway of its own, connected already."""
    made: list[ClusterMemory] = []

    def make(
        *, key: Secret = KEY, prefix: str = "test", version: str = "1", told: Told | None = None, url: str = ""
    ) -> ClusterMemory:
        told = told or Told()
        one = ClusterMemory(Secret(url or server.url), key, prefix=prefix, version=version, events=told)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()
