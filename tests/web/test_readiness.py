"""`/readyz` answers with what is known already, whatever the engine does at the moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fake_guard_server import wait_until

from moderation_service.errors import EngineUnavailable
from moderation_service.web.readiness import Readiness


class Check:
    """Waits for a permit, then fails if it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.permits = threading.Semaphore(0)
        self.done = threading.Semaphore(0)

    def __call__(self) -> None:
        assert self.permits.acquire(timeout=30)
        self.done.release()
        if self.error is not None:
            raise self.error


@contextmanager
def watched(check: Check) -> Iterator[Readiness]:
    readiness = Readiness(check, period_s=0.001)
    readiness.watch()
    try:
        yield readiness
    finally:
        readiness.close()
        check.permits.release()
        (thread,) = [one for one in threading.enumerate() if one.name == "readiness"]
        thread.join(30)


def test_without_a_watch_every_question_asks() -> None:
    check = Check()
    readiness = Readiness(check)
    check.permits.release(2)
    readiness.ask()
    check.error = EngineUnavailable("down")
    with pytest.raises(EngineUnavailable):
        readiness.ask()
    assert not readiness.is_known


def test_the_last_answer_is_given_while_the_next_one_is_found_out() -> None:
    check = Check()
    with watched(check) as readiness:
        assert not readiness.is_known
        check.permits.release()
        readiness.ask()
        assert readiness.is_known
        for _ in range(100):
            readiness.ask()  # the check hangs, and nobody waits for it
        check.error = EngineUnavailable("down")
        check.permits.release(2)
        for _ in range(3):
            assert check.done.acquire(timeout=30)
        with pytest.raises(EngineUnavailable):
            readiness.ask()
        check.error = None
        check.permits.release(2)
        for _ in range(2):
            assert check.done.acquire(timeout=30)
        readiness.ask()


def test_a_bug_in_the_check_is_not_the_end_of_it() -> None:
    check = Check()
    check.error = KeyError("bug")
    with watched(check) as readiness:
        check.permits.release()
        with pytest.raises(KeyError):
            readiness.ask()
        check.error = None
        check.permits.release(3)
        for _ in range(4):
            assert check.done.acquire(timeout=30)
        readiness.ask()


def test_a_glance_waits_for_nothing_and_makes_it_known_for_the_next_one() -> None:
    check = Check()
    with watched(check) as readiness:
        assert readiness.glance() is None
        check.permits.release()
        assert wait_until(lambda: readiness.glance() is True)
        check.error = EngineUnavailable("down")
        check.permits.release()
        assert wait_until(lambda: readiness.glance() is False)


def test_without_a_watch_a_glance_asks() -> None:
    check = Check()
    readiness = Readiness(check)
    check.permits.release(2)
    assert readiness.glance() is True
    check.error = EngineUnavailable("down")
    assert readiness.glance() is False
