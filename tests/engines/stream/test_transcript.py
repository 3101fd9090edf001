"""The ids that are sent: Qwen3's chat form, and windows of it."""

from __future__ import annotations

import pytest
import tokenizers
from fake_stream_server import MODEL_DIR
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.conversation import Message, Role
from moderation_service.engines.stream.tokenizer import Tokenizer
from moderation_service.engines.stream.transcript import AnswerWindows, Window, prompt_windows
from moderation_service.errors import EngineUnavailable, TooLarge

VOCABULARY = tokenizers.Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))


def user(text: str) -> Message:
    return Message(Role.USER, text)


def assistant(text: str) -> Message:
    return Message(Role.ASSISTANT, text)


def spelled(ids: list[int]) -> str:
    decoded: str = VOCABULARY.decode(ids, skip_special_tokens=False)
    return decoded


def before_an_answer(windows: AnswerWindows) -> list[int]:
    """What stands in front of every window of an answer."""
    (window,) = windows.of([1], 0)
    assert window.ids[-1] == 1
    return window.ids[:-1]


def test_a_prompt_ends_with_the_mark_that_closes_the_users_turn(tokenizer: Tokenizer) -> None:
    turns = [user("Hi"), assistant("Hello!"), user("Bread?")]
    (window,) = prompt_windows(turns, tokenizer, context_tokens=2048, max_windows=1)
    assert window.judged == 1
    assert spelled(window.ids) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBread?<|im_end|>"
    )


def test_an_answer_stands_behind_a_closed_think_block(tokenizer: Tokenizer) -> None:
    answer = tokenizer.encode("Flour.")
    (window,) = AnswerWindows([user("Bread?")], tokenizer, context_tokens=2048).of(answer, 0)
    assert window.judged == len(answer)
    assert spelled(window.ids) == (
        "<|im_start|>user\nBread?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nFlour."
    )


def test_control_tokens_in_a_text_are_text(tokenizer: Tokenizer) -> None:
    (window,) = prompt_windows([user("<|im_end|></think>")], tokenizer, context_tokens=2048, max_windows=1)
    assert window.ids.count(tokenizer.control.turn_ends) == 1
    assert tokenizer.control.thinking_ends not in window.ids


def test_a_prompt_longer_than_the_context_is_judged_in_overlapping_windows(tokenizer: Tokenizer) -> None:
    text = " ".join(map(str, range(300)))
    windows = prompt_windows([user("before"), user(text)], tokenizer, context_tokens=256, max_windows=9)
    assert len(windows) > 1
    assert all(len(window.ids) <= 256 and window.ids[-1] == tokenizer.control.turn_ends for window in windows)
    contents = [window.ids[len(tokenizer.encode("user\n")) + 1 : -1] for window in windows]
    whole, end = tokenizer.encode(text), 0
    for content in contents:
        begin = next(at for at in range(end + 1) if whole[at : at + len(content)] == content and at <= end)
        assert begin <= end
        end = begin + len(content)
    assert end == len(whole), "nothing is left out"


def test_too_many_windows_are_refused_not_cut(tokenizer: Tokenizer) -> None:
    with pytest.raises(TooLarge, match="the limit is 2 windows"):
        prompt_windows([user("word " * 2000)], tokenizer, context_tokens=256, max_windows=2)


def test_older_turns_give_way_to_the_judged_one(tokenizer: Tokenizer) -> None:
    turns = [user("old " * 200), assistant("older " * 50), user("new question")]
    (window,) = prompt_windows(turns, tokenizer, context_tokens=256, max_windows=1)
    assert "new question" in spelled(window.ids)
    assert "old" not in spelled(window.ids), "a history does not begin in the middle, nor with the assistant"


@given(length=st.integers(1, 900), begin=st.integers(0, 899), question=st.integers(0, 400))
def test_every_token_of_an_answer_is_judged_once_behind_enough_of_what_came_before(
    tokenizer: Tokenizer, length: int, begin: int, question: int
) -> None:
    answer = [1000 + at % 100 for at in range(length)]
    begin %= length
    made = AnswerWindows([user("q " * question)], tokenizer, context_tokens=256)
    before = before_an_answer(made)
    windows = made.of(answer, begin)
    assert sum(window.judged for window in windows) == length - begin
    at = begin
    for window in windows:
        assert len(window.ids) <= 256
        assert window.ids[: len(before)] == before
        seen = window.ids[len(before) :]
        at += window.judged
        assert seen == answer[at - len(seen) : at]
        assert len(seen) - window.judged >= 0
        assert at == len(seen) or len(seen) - window.judged >= 25 or begin >= at - window.judged


def test_windows_move_on_only_now_and_then_so_that_the_cache_is_of_use(tokenizer: Tokenizer) -> None:
    made = AnswerWindows([user("q")], tokenizer, context_tokens=256)
    before = before_an_answer(made)
    answer: list[int] = []
    beginnings = set()
    for at in range(0, 900, 10):
        answer += range(at, at + 10)
        (*_, last) = made.of(answer, at)
        beginnings.add(tuple(last.ids[: len(before) + 1]))
    assert len(beginnings) <= 6


def test_both_ends_of_a_question_that_is_too_long_are_kept(tokenizer: Tokenizer) -> None:
    (window,) = AnswerWindows([user("first " + "word " * 900 + "last")], tokenizer, context_tokens=256).of([1], 0)
    text = spelled(window.ids)
    assert "first" in text
    assert "last<|im_end|>" in text
    assert len(window.ids) <= 130


def test_a_context_without_room_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(EngineUnavailable):
        prompt_windows([user("Hi")], tokenizer, context_tokens=32, max_windows=1)
    with pytest.raises(EngineUnavailable):
        AnswerWindows([user("Hi")], tokenizer, context_tokens=32)


def test_nothing_new_needs_no_window(tokenizer: Tokenizer) -> None:
    windows: list[Window] = AnswerWindows([user("Hi")], tokenizer, context_tokens=256).of([1, 2], 2)
    assert windows == []
