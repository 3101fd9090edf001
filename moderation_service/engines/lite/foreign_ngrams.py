"""Hashed n-grams of words and letters for the languages beside English and Chinese, and the linear model over them.

The nets see what a sentence is about, and hardly whether somebody wants to forge a banknote or to recognise a forged
one; words tell. These languages are inflected or written without spaces, so that parts of words count as well. Arabic
is read without vowel marks, lengthening and the forms of letters that writers leave out in a hurry.
"""

import math
import re
import zlib
from functools import lru_cache
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .assets import Meta, Stored
from .languages import FOREIGN
from .text import WINDOW_CHARS

__all__ = ["NGRAM_SHARES", "ForeignHead", "foreign_buckets"]

# The nets tell least in these two, of whose words the vocabulary has hardly any whole.
NGRAM_SHARES = dict.fromkeys(FOREIGN, 1 / 2) | dict.fromkeys(("ar", "ko"), 3 / 4)
"""What the n-gram logit counts in each language, where the nets' counts a half; chosen by topics that were kept out."""

_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")
# Marks of Arabic vowels, and the bar that lengthens a word.
_ARABIC_MARKS = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670]")
_ARABIC_LETTERS = str.maketrans("أإآٱىةؤئ", "اااايهوي")
# Japanese is written without spaces: a run is a clause rather than a word.
_JAPANESE = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_SIZES, _JAPANESE_SIZES = (2, 3, 4, 5), (1, 2, 3, 4)
# A word has up to four parts per letter: of longer ones a caller could fill hundreds of megabytes with.
_CACHED_WORDS, _CACHED_LETTERS = 8192, 24


def foreign_buckets(cleaned: str, bits: int) -> list[int]:
    """The distinct buckets of a text's first 600 characters, numbers below 2**bits."""
    words = _WORD.findall(_normalised(cleaned[:WINDOW_CHARS]))
    found: set[int] = set()
    for word in words:
        found.update(_of_word(word) if len(word) <= _CACHED_LETTERS else _parts_of(word))
    found.update(zlib.crc32(f"p{one} {next_one}".encode()) for one, next_one in pairwise(words))
    mask = (1 << bits) - 1
    return sorted({value & mask for value in found})


def _normalised(text: str) -> str:
    plain = _DIGIT.sub("0", text.lower())
    return _ARABIC_MARKS.sub("", plain).translate(_ARABIC_LETTERS)


def _parts_of(word: str) -> tuple[int, ...]:
    is_japanese = _JAPANESE.search(word) is not None
    sizes = _JAPANESE_SIZES if is_japanese else _SIZES
    run = word if is_japanese else f"<{word}>"
    parts = {run[start : start + size] for size in sizes for start in range(len(run) - size + 1)}
    return zlib.crc32(f"w{word}".encode()), *(zlib.crc32(f"c{part}".encode()) for part in sorted(parts))


_of_word = lru_cache(maxsize=_CACHED_WORDS)(_parts_of)


class ForeignHead:
    """One linear model over these buckets, quantised to int8."""

    def __init__(self, weights: NDArray[np.int8], scale: float, bias: float) -> None:
        self._weights = weights
        self._scale = scale
        self._bias = bias
        self._bits = len(weights).bit_length() - 1

    @classmethod
    def of(cls, arrays: Stored, meta: Meta) -> Self:
        """The head of a weights file; one that says nothing of any text where the file has none, as older ones."""
        if "foreign_ngrams" not in arrays:
            return cls(np.zeros(1, dtype=np.int8), scale=0.0, bias=0.0)
        return cls(arrays["foreign_ngrams"], **meta["foreign_linear"])

    def logit(self, cleaned: str) -> float:
        """The log-odds that a text is harmful, by its first 600 characters; the bias alone without words."""
        found = foreign_buckets(cleaned, self._bits)
        total = int(self._weights[np.array(found, dtype=np.int64)].sum(dtype=np.int64))
        return total * self._scale / math.sqrt(max(len(found), 1)) + self._bias
