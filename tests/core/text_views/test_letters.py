"""Sentences, and gaps between Chinese characters: as the plainest way to find them does."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from moderation_service.core.text_views.letters import gaps_of_han
from moderation_service.core.text_views.words import sentences

TEXTS = st.text(st.sampled_from("a.?。； \n大麻烦大麻烦大麻烦··**-,,. "), max_size=24)
BORDER = re.compile(r"(?<=[.?!])\s+|(?<=[。？！；])|\n+")
GAP = re.compile(r"(?<=[一-鿿])[ ·.*_\-|/,~•+#^=]{1,3}(?=[一-鿿])")


def plain_sentences(text: str) -> list[str]:
    return [one for one in BORDER.split(text) if one]


@settings(max_examples=300)
@given(TEXTS)
def test_sentences_end_behind_their_marks_and_at_line_breaks(text: str) -> None:
    assert [text[start:end] for start, end in sentences(text)] == plain_sentences(text)


@settings(max_examples=300)
@given(TEXTS)
def test_characters_are_torn_apart_where_gaps_are_many_for_one_sentence(text: str) -> None:
    expected = []
    for one in plain_sentences(text):
        gaps = GAP.findall(one)
        share = 0.7 if gaps and "," in gaps[0] else 0.4
        torn = len(gaps) >= 3 and len(gaps) > share * len(re.findall("[一-鿿]", one))
        expected += [(gap, "") for gap in gaps] if torn else []
    # Only texts with three gaps or more are looked at.
    if len(GAP.findall(text)) < 3:
        expected = []
    assert [(text[start:end], new) for start, end, new in gaps_of_han(text)] == expected


def test_torn_characters_are_joined() -> None:
    assert gaps_of_han("大·麻·烦·了。没事") == [(1, 2, ""), (3, 4, ""), (5, 6, "")]
    assert gaps_of_han("今天 下雨，明天 晴天，后天 不知道") == []
