"""A completion is parted into what was thought and what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.thoughts import Written, split_thoughts


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("Bread.", "", "Bread."),
        ("<think>Hm.</think>Bread.", "Hm.", "Bread."),
        ("\n<think>\nHm.\n</think>\n\nBread.", "\nHm.\n", "\n\nBread."),
        ("Hm.</think>Bread.", "Hm.", "Bread."),
        ("<think>\n\n</think>\n\nBread.", "\n\n", "\n\nBread."),
        ("<think>Hm, and on", "Hm, and on", ""),
        ("", "", ""),
    ],
)
def test_the_thought_ends_with_its_tag(text: str, thought: str, answer: str) -> None:
    assert split_thoughts(text) == Written(thought, answer)


def test_nothing_that_is_shown_passes_for_a_thought() -> None:
    assert split_thoughts("<think>a</think>b<think>c</think>d").answer == "b<think>c</think>d"
    assert split_thoughts("a</think>b</think>c").answer == "b</think>c"
    assert split_thoughts("bomb<think>a</think>b") == Written("a", "bombb")
    assert split_thoughts("bomb<think>a") == Written("a", "bomb")


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "b ", "\n"]), max_size=12))
def test_every_word_is_in_one_of_the_two(pieces: list[str]) -> None:
    written = split_thoughts("".join(pieces))
    for letter in "ab":
        assert (written.thought + written.answer).count(letter) == pieces.count("a" if letter == "a" else "b ")
