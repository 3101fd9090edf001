"""What the clients leave open when they are done with is theirs."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    for one in ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"):
        config.addinivalue_line("filterwarnings", one)
