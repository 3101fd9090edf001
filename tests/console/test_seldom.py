from __future__ import annotations

from moderation_service.console.seldom import Seldom


def test_it_is_due_once_in_an_interval() -> None:
    times = iter([5.0, 6.0, 14.9, 15.0, 15.1, 40.0])
    seldom = Seldom(10, clock=lambda: next(times))
    assert [seldom.is_due() for _ in range(6)] == [True, False, False, True, False, True]
