"""Does a string of letters look like English? By pairs of letters, and by the commonest words. No I/O."""

from __future__ import annotations

import re

from .characters import LETTER_PAIRS

__all__ = ["COMMON", "ENGLISH_SELDOM", "UNLIKE_SELDOM", "seldom", "seldom_pairs"]

_COMMON_WORDS = (
    "the to a of in and is you how i for my me what write make do that with on it give without can be are this from "
    "not your have get an or tell at by will so who why when where please about use into as if home all people "
    "someone no go us we he she they them there which would could should does did was were has had been more than "
    "then out up just want need help explain "
)
COMMON = frozenset(_COMMON_WORDS.split())
"""Words that hardly an English text of two sentences is without."""

_NOT_LETTERS = re.compile("[^a-z]+")
_SAMPLE_CHARS = 400
_PAIRS = tuple(ord(char) - ord("0") for char in LETTER_PAIRS)
# Measured, in the table's units per pair: English 8.8 to 10, German 10.8 to 12, ROT13 of English 15 to 19.
ENGLISH_SELDOM, UNLIKE_SELDOM = 10.4, 11.0


def seldom_pairs(word: str) -> int:
    """How seldom the letter pairs of a word are, in sum; a word of lower-case letters, its borders counted in."""
    total, last = 0, 0
    for char in word:
        code = ord(char) - 96
        total += _PAIRS[last * 27 + code]
        last = code
    return total + _PAIRS[last * 27]


def seldom(text: str) -> float:
    """How seldom the letter pairs of a text are, on average; the beginning of a long one counts. Few letters: a lot."""
    words = _NOT_LETTERS.sub(" ", text[:_SAMPLE_CHARS].lower()).split()
    pairs = sum(len(word) + 1 for word in words)
    return sum(map(seldom_pairs, words)) / pairs if pairs >= 8 else 99.0
