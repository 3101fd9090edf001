"""A healthy fake server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_guard_server import FakeServer


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    fake = FakeServer()
    fake.start()
    yield fake
    fake.stop()
