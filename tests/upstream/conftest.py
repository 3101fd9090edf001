"""A healthy fake server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_guard_server import FakeServer, running


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with running() as fake:
        yield fake
