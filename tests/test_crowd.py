"""Callers of a test end with it, however it ends."""

from __future__ import annotations

import threading

import pytest
from crowd import asking
from processes import until


def test_callers_end_with_the_block_also_where_it_fails() -> None:
    asked: list[int] = []

    def fail() -> None:
        with asking(asked.append, callers=3):
            until(lambda: set(asked) == {0, 1, 2})
            raise AssertionError("in the middle")

    with pytest.raises(AssertionError, match="in the middle"):
        fail()
    assert not [one.name for one in threading.enumerate() if one.name.startswith("caller")]
