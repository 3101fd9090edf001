"""Turns at judging, and calls beside the thread that waits for them."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable

import pytest

from moderation_service.chat.background import Background
from moderation_service.chat.turns import Turns


def waits_for(background: Background) -> bool:
    poller = select.poll()
    poller.register(background, select.POLLIN)
    return bool(poller.poll(30_000))


def test_there_are_so_many_turns_at_once() -> None:
    turns = Turns(2)
    assert [turns.try_take() for _ in range(3)] == [True, True, False]
    turns.give_back()
    turns.take()
    assert not turns.try_take()


def test_a_turn_goes_to_who_has_waited_longest_and_nobody_pushes_in() -> None:
    turns, order = Turns(1), []
    turns.take()
    threads = []
    for name in "abc":
        started = threading.Event()

        def wait(name: str = name, started: threading.Event = started) -> None:
            started.set()
            turns.take()
            order.append((name, turns.try_take()))
            turns.give_back()

        before = turns.waiting
        threads.append(threading.Thread(target=wait))
        threads[-1].start()
        assert started.wait(30)
        until(lambda before=before: turns.waiting == before + 1)
    turns.give_back()
    for thread in threads:
        thread.join(30)
    assert order == [("a", False), ("b", False), ("c", False)]
    assert turns.try_take()


def until(holds: Callable[[], bool]) -> None:
    end = threading.Event()
    for _ in range(30_000):
        if holds():
            return
        end.wait(0.001)
    raise AssertionError("it never came so far")


def test_a_result_is_there_when_it_can_be_read() -> None:
    background = Background()
    background.start(lambda: 42)
    assert waits_for(background)
    assert (background.is_busy, background.take(), background.is_busy) == (True, 42, False)
    background.close()


def test_what_a_call_raises_is_raised_where_its_result_is_taken() -> None:
    background = Background()
    background.start(lambda: 1 // 0)
    assert waits_for(background)
    with pytest.raises(ZeroDivisionError):
        background.take()
    background.close()


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_turn_that_nobody_takes_any_more_is_given_back(has_ended: bool) -> None:
    turns, background = Turns(1), Background()
    if not has_ended:
        turns.take()
    background.start(turns.take, undo=turns.give_back)
    if has_ended:
        assert waits_for(background)
    background.close()
    background.close()
    if not has_ended:
        turns.give_back()
    until(turns.try_take)
