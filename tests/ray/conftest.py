"""These tests run in the environment that run.sh makes; elsewhere they are not even read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from fake_guard_server import FakeServer

collect_ignore_glob = [] if find_spec("ray") else ["test_*.py"]

# Nothing is told to anybody, and no file is written into the home of whoever runs the tests.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_DEDUP_LOGS": "0"}


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> None:
    """In place of the check for all other tests: Ray keeps threads of its own."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A Ray of one node with four processors, as far as Ray knows."""
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=200 * 2**20, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    # Else two hundred tasks read a file of twenty rows.
    ray.data.DataContext.get_current().read_op_min_num_blocks = 1
    yield ray
    ray.shutdown()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A model server that calls a question with a bomb in it unsafe."""
    server = FakeServer()
    server.start()
    yield server
    server.stop()
