"""Sentences and lines of a long text, and the head that scores each of them.

A request in the middle of harmless text is found by looking at every sentence on its own. Scoring all of them with the
nets would cost as much as the whole text does; hashed n-grams are cheap. So all units get the n-gram score, and only
the best few go through the encoder and a net. The head is trained on single sentences, harmless ones of documents,
code and mails among them, and has thresholds of its own: a prompt's head finds something odd in one of many sentences.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .text import HAN, WINDOW_CHARS, language

__all__ = ["Unit", "UnitTongue", "most_read", "sentences", "stands_alone", "unit_discount", "unit_tongue", "units"]

UnitTongue = Literal["en", "zh"]
"""The languages that the head for sentences knows."""

# A narrower text has no middle; nor has one of a single sentence, nor of two unless something was repeated around them.
_MIN_TEXT, _MIN_UNITS = 120, 3
_UNIT_CHARS = 300
_OVERLAP = 40
_CUT_SEARCH = 60
_MIN_WIDTH = 12
# A Han character, a kana or a syllable of Hangul says about as much as two letters.
_WIDE = re.compile(f"[{HAN}\u3040-\u30ff\uac00-\ud7af]")
# Begins with all that may end one, so that the search leaps from mark to mark; a mark is part of its sentence.
_BORDER = re.compile(
    rf"[.!?。！？；;\n](?:(?<=[.!?])\s+|(?<=[。！？；;])|(?<=[!?])(?=[{HAN}])|(?<=[{HAN}][.!?])|(?<=\n)\n*)"
)


# Units that go through the encoder: of a text that the first window holds whole, of a longer one, and of one with very
# many, where some harmless ones come before the worst.
_BEST_OF_FEW, _BEST_OF_MANY, _BEST_OF_VERY_MANY, _VERY_MANY = 3, 8, 16, 100
# Thresholds are set from texts of a few sentences. In Chinese the highest of many harmless scores grows with the
# logarithm of their number; of 3,700 sentences of manuals, letters and pages of this project this leaves none that is
# flagged in a text of 500, and one in a text of 60.
_GROWTH = {"en": 0.0, "zh": 0.2}
# An English sentence may be less bad where it stands alone: all but the worst two of a text, and one more for every
# fifty, are so far below their thresholds. Of 125 harmless prompts over a window, none of them trained on, 122 are as
# calm, and none of these has a sentence that is flagged then. One at least of those that are read is looked at, however
# many there are: else whoever pads a text with calm ones would have its worst judged less strictly from 700 on.
_ALONE, _FEW, _ONE_MORE_PER, _EASIER = 4.0, 2, 50, 0.65


class Unit(NamedTuple):
    """A sentence or a line, and where it stands in the text."""

    start: int
    end: int
    text: str


def units(cleaned: str, *, by_width: bool = True) -> list[Unit]:
    """The distinct sentences and lines of a cleaned text in order; none for a short text, which has no middle.

    A very short one joins the next; a long one is cut, with an overlap, so that no unit is over 300 characters. They
    cover the text but for white space and repetitions. A text is short up to 120 letters, or 60 Chinese characters,
    which say as much; without `by_width`, up to 120 of either, as it was when the shipped weights were trained.
    """
    wide = len(_WIDE.findall(cleaned)) if by_width and len(cleaned) <= _MIN_TEXT else 0
    if len(cleaned) + wide <= _MIN_TEXT:
        return []
    places = sentences(cleaned)
    if len(places) < _MIN_UNITS:
        return []
    found: dict[str, Unit] = {}
    for unit in places:
        found.setdefault(unit.text, unit)
    return list(found.values())


def sentences(cleaned: str) -> list[Unit]:
    """The sentences and lines of a text of any length in order, cut and joined like units; some may be the same."""
    return [unit for start, end in _joined(cleaned) for unit in _cut(cleaned, start, end)]


def most_read(characters: int, count: int) -> int:
    """How many of a text's `count` units go through the encoder."""
    if characters <= WINDOW_CHARS:
        return _BEST_OF_FEW
    return _BEST_OF_MANY if count < _VERY_MANY else _BEST_OF_VERY_MANY


def unit_tongue(text: str) -> UnitTongue:
    """The language by whose thresholds a unit is judged."""
    return "zh" if language(text) == "zh" else "en"


def stands_alone(above: NDArray[np.floating[Any]], count: int) -> bool:
    """Whether the worst of `count` units stands in a calm text.

    `above` is how far the worst ones are above their thresholds, in any order.
    """
    may_be_bad = min(_FEW + count // _ONE_MORE_PER, _BEST_OF_VERY_MANY - 1)
    rest = np.sort(above)[::-1][may_be_bad:]
    return len(rest) > 0 and bool(rest[0] < -_ALONE)


def unit_discount(tongue: UnitTongue, count: int, *, is_calm: bool) -> float:
    """What a unit must be worse by where `count` of them stand."""
    return _GROWTH[tongue] * math.log(max(1.0, count / _MIN_UNITS)) - (_EASIER if is_calm and tongue == "en" else 0.0)


def _joined(cleaned: str) -> Iterator[tuple[int, int]]:
    """Sentences and lines as places, each at least 12 letters wide; a short one at the end stands alone."""
    begun: int | None = None
    ended = 0
    for start, end in _pieces(cleaned):
        ended = end
        begun = start if begun is None else begun
        if _width(cleaned[begun:end]) >= _MIN_WIDTH:
            yield begun, end
            begun = None
    if begun is not None:
        yield begun, ended


def _pieces(cleaned: str) -> Iterator[tuple[int, int]]:
    """What lies between borders, without the white space around it."""
    start = 0
    for border in _BORDER.finditer(cleaned):
        yield from _stripped(cleaned, start, border.start() + 1)
        start = border.end()
    yield from _stripped(cleaned, start, len(cleaned))


def _stripped(cleaned: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = cleaned[start:end]
    text = piece.strip()
    if text:
        start += len(piece) - len(piece.lstrip())
        yield start, start + len(text)


def _width(text: str) -> int:
    return len(text) + len(_WIDE.findall(text)) if len(text) < _MIN_WIDTH else len(text)


def _cut(cleaned: str, start: int, end: int) -> Iterator[Unit]:
    while end - start > _UNIT_CHARS:
        stop = start + _UNIT_CHARS
        space = cleaned.rfind(" ", stop - _CUT_SEARCH, stop)
        stop = space if space > start else stop
        yield Unit(start, stop, cleaned[start:stop])
        start = stop - _OVERLAP
    yield Unit(start, end, cleaned[start:end])
