"""Hashed n-grams of words, letters and Han characters, and linear models over them.

A text becomes a set of buckets; a head is one int8 weight per bucket. Word pairs and triples catch wording, letter
n-grams catch spelling variants, Han n-grams stand in for words in Chinese.
"""

import math
import re
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["TEXT_CHARS", "LinearHead", "buckets", "normalise"]

TEXT_CHARS = 3000
"""Characters one set of features covers. Callers split longer texts; see `model.py`."""

_TOKEN = re.compile("[a-z0-9_']+|[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+|[^\\s]")
_DIGIT = re.compile(r"\d")
_HAN_START = "\u3400"
_WORD_LETTERS = 20
_CHARACTER_SIZES = (3, 4, 5)
_HAN_SIZES = (1, 2, 3, 4)
_CACHED_WORDS = 8192
_HASHED_AT_ONCE = 512


def normalise(cleaned: str) -> str:
    """Lower-case a cleaned text and write every digit as 0."""
    return _DIGIT.sub("0", cleaned.lower())


def buckets(cleaned: str, bits: int, *, seed: int = 0) -> list[int]:
    """Return the distinct buckets of a text, numbers below 2**bits; another seed gives another, unrelated hash."""
    mask = (1 << bits) - 1
    return list({value & mask for value in _hashes(normalise(cleaned)[:TEXT_CHARS], seed)})


class LinearHead:
    """One linear model over n-gram buckets, quantised to int8."""

    def __init__(self, weights: NDArray[np.int8], scale: float, bias: float, *, seed: int = 0) -> None:
        self._weights = weights
        self._scale = scale
        self._bias = bias
        self._seed = seed
        self._bits = len(weights).bit_length() - 1

    def logit(self, cleaned: str) -> float:
        """Return the log-odds of the positive class; a text without features gives the bias alone."""
        return self.contribution(cleaned) + self._bias

    def contribution(self, cleaned: str) -> float:
        """Return the log-odds without the bias, to be added to another head's."""
        found = buckets(cleaned, self._bits, seed=self._seed)
        if not found:
            return 0.0
        total = int(self._weights[np.array(found)].sum(dtype=np.int64))
        return total * self._scale / math.sqrt(len(found))

    def logits(self, texts: Sequence[str], checkpoint: Callable[[], None]) -> NDArray[np.float32]:
        """`logit` of many short texts; `checkpoint` is called between parts of them and may raise."""
        found = np.empty(len(texts), dtype=np.float32)
        for start in range(0, len(texts), _HASHED_AT_ONCE):
            checkpoint()
            part = texts[start : start + _HASHED_AT_ONCE]
            found[start : start + len(part)] = self._some(part)
        return found

    def _some(self, texts: Sequence[str]) -> NDArray[np.float32]:
        hashed = [buckets(text, self._bits, seed=self._seed) for text in texts]
        counts = np.array([len(one) for one in hashed])
        # One gather for all; a text without features adds a stand-in, whose weight is taken out again.
        flat = np.fromiter(chain.from_iterable(one or (0,) for one in hashed), dtype=np.int64)
        starts = np.concatenate(([0], np.cumsum(np.maximum(counts, 1))[:-1]))
        totals = np.add.reduceat(self._weights[flat].astype(np.int32), starts)
        totals = np.where(counts > 0, totals, 0)
        return np.asarray(totals * self._scale / np.sqrt(np.maximum(counts, 1)) + self._bias, dtype=np.float32)


class _Word(NamedTuple):
    """What a word adds to a text: hashes of its own, and those that pairs and triples beginning with it go on from.

    A checksum of two strings one after the other goes on from that of the first.
    """

    hashes: Sequence[int]
    pair: int
    triple: int
    encoded: bytes


def _hashes(text: str, seed: int) -> list[int]:
    crc32 = zlib.crc32
    found: list[int] = []
    previous: _Word | None = None
    triple: int | None = None
    for token in _TOKEN.findall(text):
        if token[0] >= _HAN_START and _is_han(token[0]):
            _add_run(found, token, _HAN_SIZES, "z", seed)
            previous = triple = None
            continue
        word = _word(token, seed) if len(token) <= _WORD_LETTERS else _long_word(token, seed)
        found += word.hashes
        if previous is not None:
            found.append(crc32(word.encoded, previous.pair))
            if triple is not None:
                found.append(crc32(word.encoded, triple))
            triple = crc32(b" ", crc32(word.encoded, previous.triple))
        previous = word
    return found


def _is_han(character: str) -> bool:
    return (
        "\u3400" <= character <= "\u4dbf"
        or "\u4e00" <= character <= "\u9fff"
        or "\uf900" <= character <= "\ufaff"
        or "\U00020000" <= character <= "\U0003ffff"
    )


def _long_word(word: str, seed: int) -> _Word:
    hashes = [zlib.crc32(f"w{word}".encode(), seed)]
    if len(word) >= _CHARACTER_SIZES[0]:
        _add_run(hashes, f"<{word[:_WORD_LETTERS]}>", _CHARACTER_SIZES, "c", seed)
    pair, triple = (zlib.crc32(f"{kind}{word} ".encode(), seed) for kind in "bt")
    return _Word(tuple(hashes), pair, triple, word.encode())


_word = lru_cache(maxsize=_CACHED_WORDS)(_long_word)


def _add_run(found: list[int], run: str, sizes: Sequence[int], prefix: str, seed: int) -> None:
    """Add the hashes of all stretches of some sizes, which follow each other."""
    crc32 = zlib.crc32
    first = crc32(prefix.encode(), seed)
    encoded = run.encode()
    if len(encoded) == len(run):
        for size in sizes:
            found += [crc32(encoded[start : start + size], first) for start in range(len(run) - size + 1)]
        return
    characters = [character.encode() for character in run]
    smallest, largest = sizes[0], sizes[-1]
    for start in range(len(run) - smallest + 1):
        value = first
        for count, character in enumerate(characters[start : start + largest], 1):
            value = crc32(character, value)
            if count >= smallest:
                found.append(value)
