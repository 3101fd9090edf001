"""Hashed n-grams of words, letters and Han characters, and linear models over them.

A text becomes a set of buckets; a head is one int8 weight per bucket. Word pairs and triples catch wording, letter
n-grams catch spelling variants, Han n-grams stand in for words in Chinese.
"""

import math
import re
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .checksums import Hashes, of_rows, of_runs

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
# Text and bucket together must fit into 32 bits.
_HASHED_AT_ONCE = 512
_HASH_BYTES = 4
# A single text is hashed with arrays from so many characters on.
_WORTH_ARRAYS = 500
# UTF-8 writes nearly all Chinese characters in three bytes, those from here on in four.
_FOUR_BYTES = "\U00010000"


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
        if len(cleaned) > _WORTH_ARRAYS:
            (total,), (count,) = self._sums([cleaned])
        else:
            found = buckets(cleaned, self._bits, seed=self._seed)
            total, count = self._weights[np.array(found, dtype=np.int64)].sum(dtype=np.int64), len(found)
        return float(total * self._scale / math.sqrt(count)) if count else 0.0

    def logits(self, texts: Sequence[str], checkpoint: Callable[[], None]) -> NDArray[np.float32]:
        """`logit` of many short texts; `checkpoint` is called between parts of them and may raise."""
        found = np.empty(len(texts), dtype=np.float32)
        for start in range(0, len(texts), _HASHED_AT_ONCE):
            checkpoint()
            part = texts[start : start + _HASHED_AT_ONCE]
            totals, counts = self._sums(part)
            logits = totals * self._scale / np.sqrt(np.maximum(counts, 1)) + self._bias
            found[start : start + len(part)] = logits
        return found

    def _sums(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each text the sum of its buckets' weights, and their number."""
        found = _Several(texts, self._seed)
        # A text and a bucket as one number, each once. Sorting is several times as quick as `np.unique` here.
        mask = np.uint32(len(self._weights) - 1)
        keys = (found.owners << np.uint32(self._bits)) | (found.hashes & mask)
        keys.sort()
        keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))[: len(keys)]]
        text_of = keys >> np.uint32(self._bits)
        counts = np.bincount(text_of, minlength=len(texts))
        totals = np.bincount(text_of, weights=self._weights[keys & mask], minlength=len(texts))
        return np.asarray(totals, dtype=np.int64), np.asarray(counts, dtype=np.int64)


class _Word(NamedTuple):
    """What a word adds to a text: hashes of its own, and those that pairs and triples beginning with it go on from.

    A checksum of two strings one after the other goes on from that of the first. `packed` are the hashes as bytes.
    """

    hashes: Sequence[int]
    pair: int
    triple: int
    encoded: bytes
    packed: bytes


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
    return _word_of(hashes, word, seed)


def _word_of(hashes: Sequence[int], word: str, seed: int) -> _Word:
    pair, triple = (zlib.crc32(f"{kind}{word} ".encode(), seed) for kind in "bt")
    return _Word(tuple(hashes), pair, triple, word.encode(), _packed(hashes))


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


def _packed(hashes: Sequence[int]) -> bytes:
    return array("I", hashes).tobytes()


class _Several:
    """The hashes of several texts, each with the number of its text.

    Words come from the cache, as they do in `_hashes`. Runs of Chinese characters, and the letters of words that are
    too long for the cache, are hashed together in the end: that takes half the time or less.
    """

    def __init__(self, texts: Sequence[str], seed: int) -> None:
        self._seed = seed
        self._han: list[str] = []
        self._han_owners: list[int] = []
        self._long: list[bytes] = []
        self._long_owners: list[int] = []
        parts = [self._hashed(normalise(text)[:TEXT_CHARS], owner) for owner, text in enumerate(texts)]
        owners = np.repeat(np.arange(len(parts), dtype=np.uint32), [len(part) // _HASH_BYTES for part in parts])
        found = [(np.frombuffer(b"".join(parts), dtype=np.uint32), owners), *self._of_han(), *self._of_long()]
        self.hashes = np.concatenate([hashes for hashes, _ in found])
        self.owners = np.concatenate([owners for _, owners in found])

    def _hashed(self, text: str, owner: int) -> bytes:
        """The hashes of one text but for those that come in the end."""
        crc32 = zlib.crc32
        parts: list[bytes] = []
        joint: list[int] = []
        previous: _Word | None = None
        triple: int | None = None
        for token in _TOKEN.findall(text):
            if token[0] >= _HAN_START and _is_han(token[0]):
                self._keep_han(token, owner, joint)
                previous = triple = None
                continue
            word = _word(token, self._seed) if len(token) <= _WORD_LETTERS else self._keep_long(token, owner)
            parts.append(word.packed)
            if previous is not None:
                joint.append(crc32(word.encoded, previous.pair))
                if triple is not None:
                    joint.append(crc32(word.encoded, triple))
                triple = crc32(b" ", crc32(word.encoded, previous.triple))
            previous = word
        return b"".join((*parts, _packed(joint)))

    def _keep_han(self, run: str, owner: int, others: list[int]) -> None:
        if max(run) < _FOUR_BYTES:
            self._han.append(run)
            self._han_owners.append(owner)
        else:
            _add_run(others, run, _HAN_SIZES, "z", self._seed)

    def _keep_long(self, word: str, owner: int) -> _Word:
        self._long.append(f"<{word[:_WORD_LETTERS]}>".encode())
        self._long_owners.append(owner)
        return _word_of([zlib.crc32(f"w{word}".encode(), self._seed)], word, self._seed)

    def _of_han(self) -> Iterator[tuple[Hashes, Hashes]]:
        if self._han:
            yield from of_runs(self._han, self._han_owners, _HAN_SIZES, zlib.crc32(b"z", self._seed))

    def _of_long(self) -> Iterator[tuple[Hashes, Hashes]]:
        if self._long:
            rows = np.frombuffer(b"".join(self._long), dtype=np.uint8).reshape(len(self._long), -1)
            hashes = of_rows(rows, _CHARACTER_SIZES, zlib.crc32(b"c", self._seed))
            yield hashes.ravel(), np.repeat(np.array(self._long_owners, dtype=np.uint32), hashes.shape[1])
