from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.text_views.normal import normal_view


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Weed", "weed"),
        ("ＷＥＥＤ", "weed"),
        ("wéëd", "weed"),
        ("we\u0301e\u0336d", "weed"),
        ("we\u200bed\u00ad", "weed"),
        ("Straße", "strasse"),
        ("ﬁn", "fin"),
        ("毒\u200b品", "毒品"),
        ("製作炸彈", "制作炸弹"),
        ("ёлка", "елка"),
        ("مُحَمَّد", "محمد"),
        ("".join(chr(0xE0000 + ord(char)) for char in "Weed"), "weed"),
        ("😀毒品😀", "😀毒品😀"),
    ],
)
def test_what_looks_or_counts_the_same_becomes_the_same(text: str, normal: str) -> None:
    assert normal_view(text).text == normal


@pytest.mark.parametrize("word", ["ガス", "ｶﾞｽ", "กำลัง", "हिन्दी", "한국어"])
def test_marks_that_tell_words_apart_stay(word: str) -> None:
    bare = "".join(char for char in unicodedata.normalize("NFD", word) if not unicodedata.combining(char))
    assert normal_view(word).text == normal_view(unicodedata.normalize("NFD", word)).text
    if bare != unicodedata.normalize("NFD", word):
        assert normal_view(word).text != normal_view(bare).text


@given(st.text(max_size=40))
def test_the_view_of_a_text_is_that_of_its_characters_in_a_row(text: str) -> None:
    assert normal_view(text).text == "".join(normal_view(char).text for char in text)


@given(st.text(max_size=40))
def test_a_normal_view_is_its_own(text: str) -> None:
    once = normal_view(text).text
    assert normal_view(once).text == once


@given(st.text(max_size=30), st.text(min_size=1, max_size=8), st.text(max_size=30))
def test_a_stretch_is_found_in_the_text_as_it_was_given(before: str, word: str, after: str) -> None:
    view = normal_view(before + word + after)
    start = len(normal_view(before).text)
    length = len(normal_view(word).text)
    if length:
        begin, end = view.origin(start, start + length)
        assert len(before) <= begin < end <= len(before) + len(word)
        assert normal_view((before + word + after)[begin:end]).text == view.text[start : start + length]
