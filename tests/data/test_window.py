"""The judging window."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from fakes import FakeEngine

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Severity, Verdict
from moderation_service.data.window import JudgingWindow, WindowOptions, judged
from moderation_service.errors import EngineAnswerInvalid, EngineUnavailable, InvalidRequest


def prompt(text: str) -> Conversation:
    return Conversation.of(prompt=text)


class Meeting(FakeEngine):
    """Answers only when so many calls are there at once."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.barrier = threading.Barrier(calls, timeout=20)

    def judge(self, conversations: Sequence[Conversation], **how: Any) -> Any:
        self.barrier.wait()
        return super().judge(conversations, **how)


class Failing(FakeEngine):
    """Away for so many calls."""

    def __init__(self, calls: float) -> None:
        super().__init__()
        self.left = calls

    def judge(self, conversations: Sequence[Conversation], **how: Any) -> Any:
        self.left -= 1
        if self.left >= 0:
            return [EngineUnavailable("away", retry_after_s=0.01)]
        return super().judge(conversations, **how)


def test_outcomes_come_in_order_with_errors_in_their_places() -> None:
    engine = FakeEngine(errors={"garbled": EngineAnswerInvalid("no verdict")})
    asked = [prompt("bread"), InvalidRequest("blank"), prompt("garbled"), prompt("a bomb")]
    with JudgingWindow(engine) as window:
        found = [outcome for _, outcome in judged(window, asked, lambda one: one)]
    assert [type(one) for one in found] == [Verdict, InvalidRequest, EngineAnswerInvalid, Verdict]
    assert isinstance(found[3], Verdict)
    assert found[3].severity is Severity.UNSAFE


def test_as_many_questions_are_in_flight_as_the_window_has_room_for() -> None:
    with JudgingWindow(Meeting(40), WindowOptions(in_flight=40)) as window:
        assert len(window.judge([prompt(str(number)) for number in range(80)])) == 80


def test_identical_texts_are_asked_once() -> None:
    engine = FakeEngine()
    with JudgingWindow(engine) as window:
        window.judge([prompt("bread")] * 50)
        window.judge([prompt("bread")])
    assert len(engine.calls) == 1


def test_a_text_in_other_mouths_is_another_text() -> None:
    engine = FakeEngine()
    with JudgingWindow(engine) as window:
        window.judge([prompt("bread"), Conversation.of(response="bread"), Conversation.of(prompt="b", response="read")])
    assert len(engine.calls) == 3


def test_what_is_remembered_has_a_bound() -> None:
    engine = FakeEngine()
    with JudgingWindow(engine, WindowOptions(in_flight=1, remembered=2)) as window:
        for text in ("a", "b", "c", "a"):
            window.judge([prompt(text)])
    assert len(engine.calls) == 4


def test_an_engine_that_is_away_for_a_moment_is_waited_for() -> None:
    with JudgingWindow(Failing(1)) as window:
        assert isinstance(window.judge([prompt("bread")])[0], Verdict)


def test_an_engine_that_stays_away_ends_the_run() -> None:
    with (
        JudgingWindow(Failing(float("inf")), WindowOptions(patience_s=0.0)) as window,
        pytest.raises(EngineUnavailable),
    ):
        window.judge([prompt("bread"), prompt("butter")])


def test_a_bug_in_an_engine_is_an_error_and_leaves_nobody_waiting() -> None:
    with JudgingWindow(FakeEngine(raises=RuntimeError("secret text"))) as window:
        [found] = window.judge([prompt("bread")])
    assert "secret" not in str(found)
