"""These tests run in the environment that run.sh makes; elsewhere they are not even read."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from processes import Running, running

collect_ignore_glob = [] if find_spec("trl") else ["test_*.py"]


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> None:
    """In place of the check for all other tests: the event loops of TRL and verl keep threads for ever."""


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    """A service whose engine finds `bomb`, `election` and `can't`."""
    with running() as started:
        yield started
