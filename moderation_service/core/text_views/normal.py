"""The normal view of a text, for comparing it with lists of words: what looks or counts the same becomes the same.

Compatibility forms are folded (NFKC), letters made small (case folding), accents and points dropped, invisible
characters taken out, traditional Chinese characters made simplified. Letters that are told apart by marks in their own
script (kana, Thai, the scripts of India) keep them. Every character is folded by itself, so the view of a text is that
of its characters in a row, whether they are composed or not. No I/O.

The tables have an entry for each code point, in numpy. They take 15 MB, and half a second to make at first use.
"""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .characters import SIMPLIFIED

__all__ = ["NormalView", "normal_view"]

Codes = NDArray[np.uint32]
Integers = NDArray[np.int64]

# Accents on Latin, Greek and Cyrillic letters, points and vowels of Hebrew and Arabic, strokes and the like.
_DROPPED = (
    (0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05C7), (0x0610, 0x061A), (0x0640, 0x0640), (0x064B, 0x065F),
    (0x0670, 0x0670), (0x06D6, 0x06ED), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F), (0xE0100, 0xE01EF), (0x180B, 0x180F), (0x034F, 0x034F),
)  # fmt: skip
_TAGS, _TAG_END = 0xE0020, 0xE007E
_SURROGATES, _SURROGATE_END = 0xD800, 0xDFFF
# Nothing folds above, but for what is named one by one.
_LAST_FOLDED = 0x2FA1F
_CODING, _ERRORS = "utf-32-le", "surrogatepass"


@dataclass(frozen=True, slots=True)
class NormalView:
    """A text in its normal form, and from which character of the given text each of its characters is."""

    text: str
    _origins: Integers | None

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where in the given text a stretch of this one comes from."""
        if self._origins is None or start >= end:
            return start, end
        return int(self._origins[start]), int(self._origins[end - 1]) + 1


def normal_view(text: str) -> NormalView:
    """The normal view of a text."""
    if text.isascii():
        return NormalView(text.lower(), None)
    tables = _tables()
    codes = np.frombuffer(text.encode(_CODING, _ERRORS), dtype=np.uint32)
    try:
        return NormalView(_text(tables.alone.take(codes)), None)
    except UnicodeDecodeError:
        return _of_other_length(codes, tables)


def _of_other_length(codes: Codes, tables: _Tables) -> NormalView:
    """The view of a text in which some characters become none, or several."""
    lengths = tables.lengths[codes].astype(np.int64)
    origins = np.repeat(np.arange(len(codes)), lengths)
    found = tables.first[codes][origins]
    # Behind the first one, what a character becomes stands in the pool.
    within = np.arange(len(origins)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    further = within > 0
    found[further] = tables.pool[tables.starts[codes][origins][further] + within[further]]
    return NormalView(_text(found), origins)


@dataclass(frozen=True, slots=True)
class _Tables:
    """By code point: how many characters it becomes, the first of them, and where all of several stand in the pool.

    `alone` is the one character that it becomes, or what is none, and can't be decoded: so most texts need no other.
    """

    alone: Codes
    lengths: NDArray[np.uint8]
    first: Codes
    starts: NDArray[np.uint32]
    pool: Codes


@cache
def _tables() -> _Tables:
    first = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    lengths = np.ones(len(first), dtype=np.uint8)
    starts = np.zeros(len(first), dtype=np.uint32)
    pool: list[int] = []
    for code in (*range(_LAST_FOLDED + 1), *range(_TAGS - 0x20, 0xE01EF + 1)):
        char = chr(code)
        folded = _folded(char)
        if folded != char:
            lengths[code] = len(folded)
            first[code] = ord(folded[0]) if folded else 0
            if len(folded) > 1:
                starts[code] = len(pool)
                pool += map(ord, folded)
    alone = np.where(lengths == 1, first, np.uint32(sys.maxunicode + 1))
    return _Tables(alone, lengths, first, starts, np.array(pool, dtype=np.uint32))


def _folded(char: str) -> str:
    code = ord(char)
    if _SURROGATES <= code <= _SURROGATE_END:
        return char
    if _TAGS <= code <= _TAG_END:
        return chr(code - _TAGS + 0x20).lower()
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", char).casefold())
    return "".join(SIMPLIFIED.get(part, part) for part in parts if not _is_dropped(part))


def _is_dropped(char: str) -> bool:
    code = ord(char)
    return unicodedata.category(char) == "Cf" or any(low <= code <= high for low, high in _DROPPED)


def _text(codes: Codes) -> str:
    return codes.tobytes().decode(_CODING, _ERRORS)
