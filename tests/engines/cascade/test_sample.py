"""The thread that judges a sample of the small model's verdicts: it neither dies early nor lives too long."""

from __future__ import annotations

import threading
from queue import Empty

from fake_guard_server import wait_until
from fakes import verdict

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Severity
from moderation_service.engines.cascade.comparing import Sample

TEXT = Conversation.of(prompt="Hello")


class Large:
    """Judges as a test says."""

    def __init__(self) -> None:
        self.asked = 0

    def judge_aside(self, conversation, **options):
        self.asked += 1
        if self.asked == 1:
            raise ZeroDivisionError
        return verdict()


class Told:
    def __init__(self) -> None:
        self.compared = 0

    def cascade_compared(self, how, small, large) -> None:
        self.compared += 1


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "cascade sample"]


def test_a_fault_while_one_text_is_judged_does_not_end_the_sample() -> None:
    told = Told()
    sample = Sample(Large(), told)
    for _ in range(3):
        sample.offer(TEXT, Severity.SAFE)
    assert wait_until(lambda: told.compared == 2)
    sample.close()
    assert threads() == []


def test_what_is_offered_after_the_end_begins_no_thread() -> None:
    sample = Sample(Large(), Told())
    sample.close()
    sample.offer(TEXT, Severity.SAFE)
    assert threads() == []


def test_it_ends_though_its_thread_takes_the_last_text_at_that_moment(monkeypatch) -> None:
    sample = Sample(Large(), Told())

    def taken() -> None:
        raise Empty

    monkeypatch.setattr(sample._waiting, "empty", lambda: False)
    monkeypatch.setattr(sample._waiting, "get_nowait", taken)
    sample.close()


def test_a_text_for_which_there_is_no_room_is_left_out() -> None:
    class Busy(Large):
        def judge_aside(self, conversation, **options):
            self.asked += 1
            return None if self.asked == 1 else verdict()

    told, large = Told(), Busy()
    sample = Sample(large, told)
    for _ in range(2):
        sample.offer(TEXT, Severity.SAFE)
    assert wait_until(lambda: large.asked == 2)
    sample.close()
    assert told.compared == 1
