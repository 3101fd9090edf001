"""Fixtures: a real server for the cluster memory, and gateways that share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis_server
from redis_server import RedisServer, Told

from moderation_service.cluster.memory import ClusterMemory
from moderation_service.config.settings import Secret

KEY = Secret("a-key-for-all-gateways")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    if redis_server.program() is None:
        pytest.skip("neither valkey-server nor redis-server is installed")
    one = RedisServer()
    one.start()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def memory(server: RedisServer) -> Iterator[Callable[..., ClusterMemory]]:
    """Makes memories on the server, each as a gateway of its own, connected already."""
    made: list[ClusterMemory] = []

    def make(*, key: Secret = KEY, version: str = "1", told: Told | None = None, url: str = "") -> ClusterMemory:
        told = told or Told()
        one = ClusterMemory(Secret(url or server.url), key, prefix="test", version=version, events=told)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()
