"""Words in a string without spaces, and sentences in a text. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .likeness import COMMON

__all__ = ["Words", "sentences", "split_words"]

Words = Callable[[str], float | None]
"""The log-probability of a lower-case word, None for one that is not known."""

# Begins with all that may end one, so that the search leaps from mark to mark.
_SENTENCE_END = re.compile(r"[.?!。？！；\n](?:(?<=[.?!])\s+|(?<=[。？！；])|(?<=\n)\n*)")
_LONGEST_WORD = 20
_LONGEST_GLUED = 2000
_MIN_WORDS, _MIN_COMMON, _MOST_PER_COMMON = 4, 2, 4
# Parts of words are in the vocabulary too, with much the same probability as words.
_COMMON_GAIN, _WORD_COST = 3.0, 2.0
_SHORT_WORDS = frozenset(("a", "i"))


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Sentences and lines as places."""
    start = 0
    for border in _SENTENCE_END.finditer(text):
        # The mark is part of the sentence, the end of a line is not.
        end = border.start() + (text[border.start()] != "\n")
        if end > start:
            yield start, end
        start = border.end()
    if start < len(text):
        yield start, len(text)


def split_words(glued: str, words: Words) -> str | None:
    """The most probable words that lower-case letters are made of; None if they hardly are English words."""
    if len(glued) > _LONGEST_GLUED:
        return None
    best: list[float] = [0.0]
    start_of: list[int] = [0]
    for end in range(1, len(glued) + 1):
        found, begin = -1e9, end - 1
        for start in range(max(0, end - _LONGEST_WORD), end):
            word = glued[start:end]
            if len(word) == 1 and word not in _SHORT_WORDS:
                continue
            score = words(word)
            if score is None:
                continue
            score += best[start] - _WORD_COST + (_COMMON_GAIN if word in COMMON else 0.0)
            if score > found:
                found, begin = score, start
        best.append(found)
        start_of.append(begin)
    if best[-1] < -1e8:
        return None
    parts = []
    at = len(glued)
    while at:
        parts.append(glued[start_of[at] : at])
        at = start_of[at]
    parts.reverse()
    common = sum(part in COMMON and len(part) > 1 for part in parts)
    enough = len(parts) >= _MIN_WORDS and common >= _MIN_COMMON and common * _MOST_PER_COMMON >= len(parts)
    return " ".join(parts) if enough else None
