"""The tests of the OpenAPI document are made while they are collected, which takes seconds: only for who wants them."""

from __future__ import annotations

import pytest


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return True if "not fuzz" in config.option.markexpr else None
