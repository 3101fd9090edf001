import unicodedata

import pytest
from cpu_time import is_within
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.engines.lite.text import clean, edge_sentences, language, place_before_cleaning, windows


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("b\u200bo\u200dm\u2060b", "bomb"),
        ("b\u00ado\u00admb", "bomb"),
        ("\u202ebomb\u202c", "bomb"),
        ("\uff42\uff4f\uff4d\uff42", "bomb"),
        ("\U0001d41b\U0001d428\U0001d426\U0001d41b", "bomb"),
        ("".join(chr(0xE0000 + ord(letter)) for letter in "bomb"), "bomb"),
        ("b\ufe0fomb\ufeff", "bomb"),
    ],
)
def test_invisible_and_compatibility_characters_do_not_hide_a_word(disguised, plain):
    assert clean(disguised) == plain


def test_letter_and_accent_are_composed():
    assert clean("cafe\u0301") == "caf\u00e9"


def test_a_character_cannot_grow_the_text():
    assert len(clean("\ufdfa" * 1000)) <= 1000
    assert len(clean("\u2a74" * 1000)) <= 3000


def test_no_character_grows_to_more_than_three():
    assigned = (chr(code) for code in range(0x80, 0x30000) if not 0xD800 <= code < 0xE000)
    grown = [char for char in assigned if len(unicodedata.normalize("NFKC", char)) > 3 and len(clean(char)) > 3]
    assert grown == []


@pytest.mark.parametrize("flood", ["a" + "\u0315\u0300" * 100_000, "\u0f71\u0f72" * 100_000])
def test_a_flood_of_combining_marks_takes_linear_time(flood):
    assert is_within(3, lambda: clean(flood))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How are you?", "en"),
        ("你好吗？", "zh"),
        ("Explain the word 你好 in two sentences, please.", "en"),
        ("用Python写一个函数", "zh"),
        ("مرحبا بالعالم", "ar"),
        ("", "en"),
    ],
)
def test_language_goes_by_the_share_of_han_characters(text, expected):
    assert language(text) == expected


@given(st.lists(st.sampled_from(["word ", "x" * 90, " ", "\n", "中文" * 40, "a b c " * 30]), max_size=60))
def test_windows_hold_every_character_and_none_is_too_long(parts):
    text = "".join(parts)
    found = windows(text)
    covered = 0
    for start, window in found:
        assert len(window) <= 600
        assert start <= covered
        assert text[start : start + len(window)] == window
        covered = start + len(window)
    assert covered == len(text)


def test_a_short_text_is_one_window():
    assert windows("x" * 600) == [(0, "x" * 600)]


def test_windows_overlap():
    (_, first), (start, _) = windows("word " * 200)
    assert start < len(first)


def test_edge_sentences_are_the_first_two_the_last_two_and_the_last():
    sentences = [f"Sentence number {number} is about boats and nothing else at all." for number in range(8)]
    assert edge_sentences(" ".join(sentences)) == [" ".join(sentences[:2]), " ".join(sentences[-2:]), sentences[-1]]


def test_short_texts_have_no_edge_sentences():
    assert edge_sentences("One sentence here. Another sentence here. And a third one here.") == []


ODD = "ab \u00ad\u200be\u0301\uff71\uff76\uff9e\ufb03\u2167\u2057\u1100\u1161\U000e0041"


@given(st.text(alphabet=ODD, max_size=300), st.data())
def test_a_place_of_the_cleaned_text_is_found_in_the_text_as_it_was_given(text: str, data: st.DataObject) -> None:
    cleaned = clean(text)
    at = data.draw(st.integers(0, len(cleaned)))
    place = place_before_cleaning(text, at)
    assert cleaned.startswith(clean(text[:place])[:at])
    assert len(clean(text[:place]).rstrip()) <= at
