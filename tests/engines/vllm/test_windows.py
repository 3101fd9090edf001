"""How a conversation is cut when it does not fit the model's context."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation_service.engines.vllm import windows
from moderation_service.errors import EngineUnavailable, TooLarge

PER_TURN = 8

turn = st.builds(
    lambda role, text: {"role": role, "content": text},
    st.sampled_from(["user", "assistant"]),
    st.text(alphabet="ab 你😀क़é\n", max_size=300),
)
conversations = st.lists(turn, min_size=1, max_size=6).map(lambda turns: [{"role": "user", "content": "q"}, *turns])


def planned(messages: list[dict[str, str]], budget: int, lengths: list[int] | None = None, limit: int = 10_000):
    normal, _ = windows.normalised(messages)
    turns = windows.measure(normal, lengths)
    return windows.plan(turns, budget_tokens=budget, max_windows=limit)


def plan(messages: list[dict[str, str]], budget: int, lengths: list[int] | None = None, limit: int = 10_000):
    return [window.messages for window in planned(messages, budget, lengths, limit)]


def text_of(window: list[dict[str, str]]) -> str:
    return "".join(message["content"] for message in window)


def cost(window: list[dict[str, str]]) -> int:
    return sum(len(message["content"].encode()) + PER_TURN for message in window)


def test_what_fits_is_one_window_as_it_was_sent() -> None:
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    assert plan(messages, 100) == [messages]


def test_a_long_prompt_is_cut_into_windows_that_overlap() -> None:
    text = "".join(f"word{number} " for number in range(100))
    parts = [window[-1]["content"] for window in plan([{"role": "user", "content": text}], 200)]
    assert len(parts) > 3
    assert all(left[-10:] in right for left, right in pairwise(parts))


def test_a_long_response_is_judged_behind_its_prompt_in_every_window() -> None:
    messages = [{"role": "user", "content": "Tell me all"}, {"role": "assistant", "content": "blah " * 200}]
    for window in plan(messages, 300):
        assert window[0] == {"role": "user", "content": "Tell me all"}
        assert window[-1]["role"] == "assistant"


def test_older_turns_that_do_not_fit_are_still_seen_with_the_judged_turn() -> None:
    history = [{"role": "user" if n % 2 == 0 else "assistant", "content": f"turn {n} " * 10} for n in range(12)]
    found = plan([*history, {"role": "user", "content": "the question"}], 400)
    assert len(found) > 1
    assert all(window[-1]["content"] == "the question" for window in found)
    for message in history:
        assert any(message["content"] in text_of(window) for window in found)


@given(conversations, st.integers(300, 600))
@settings(max_examples=200)
def test_nothing_is_left_out_and_every_window_fits(messages: list[dict[str, str]], budget: int) -> None:
    found = plan(messages, budget)
    for window in found:
        assert cost(window) <= budget
        assert window[0]["role"] == "user"
        assert window[-1]["role"] == messages[-1]["role"]
    for message in messages:
        content = unicodedata.normalize("NFC", message["content"])
        # Also where it was cut: pieces overlap.
        for at in range(max(len(content) - 1, 0)):
            assert any(content[at : at + 2] in part["content"] for window in found for part in window)


@given(conversations, st.integers(120, 600))
def test_a_window_knows_its_place_in_the_judged_turn(messages: list[dict[str, str]], budget: int) -> None:
    judged = unicodedata.normalize("NFC", messages[-1]["content"])
    for window in planned(messages, budget):
        span = window.span
        assert window.messages[-1]["content"] == (judged if span is None else judged[span.start : span.end])


@given(conversations, st.integers(60, 400), st.randoms(use_true_random=False))
def test_cuts_fall_between_characters_whatever_the_tokens_are(messages, budget, random) -> None:
    normal, joined = windows.normalised(messages)
    left, lengths = len(joined.encode()), []
    while left:
        lengths.append(min(left, random.randint(1, 7)))
        left -= lengths[-1]
    turns = windows.measure(normal, lengths)
    assert [one.content.decode() for one in turns] == [message["content"] for message in normal]
    for window in windows.plan(turns, budget_tokens=budget, max_windows=10_000):
        assert "\ufffd" not in text_of(window.messages)


@given(conversations)
def test_the_cheap_check_never_lets_too_much_through(messages: list[dict[str, str]]) -> None:
    normal, _ = windows.normalised(messages)
    needed = windows.measured_tokens(windows.measure(normal, None))
    assert not windows.fits_surely(messages, budget_tokens=needed - 1)
    assert windows.fits_surely(messages, budget_tokens=12 * needed)


def test_too_many_windows_are_refused_with_the_limit() -> None:
    with pytest.raises(TooLarge, match="the limit is 3 windows"):
        plan([{"role": "user", "content": "x" * 5000}], 200, limit=3)


def test_a_context_too_small_for_anything_is_refused() -> None:
    with pytest.raises(EngineUnavailable, match="too small"):
        plan([{"role": "user", "content": "x" * 5000}], 20)


def test_a_megabyte_is_planned_without_losing_anything() -> None:
    text = "".join(f"word{number:07} " for number in range(87_000))
    found = plan([{"role": "user", "content": text}], 32_000, [6, 6] * 87_000)
    assert len(found) == 7
    joined = found[0][-1]["content"]
    for window in found[1:]:
        part = window[-1]["content"]
        joined = joined[: joined.index(part[:12])] + part
    assert joined == text
