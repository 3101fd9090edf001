"""Unigram tokenizer of the encoder: the most probable split of a text into known pieces.

The vocabulary is that of Google's universal-sentence-encoder-multilingual v3 (SentencePiece, unigram), pruned. A piece
carries the word mark only at its front, so the best split of a text is the best splits of its words, one after the
other: words can be solved alone and remembered.
"""

import re
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pieces", "Tokenizer"]

Pieces = Sequence[str]

_UNKNOWN, _BEGIN, _END = 0, 1, 2
# A space in its place, which no word has, makes most keys ASCII and half as large.
_WORD_MARK, _MARK = "\u2581", " "
# What SentencePiece's nmt_nfkc rule does beyond NFKC: these become a space (sentencepiece, builder.cc).
_SPACES = re.compile("[\t\n\x0c\r \u1680\u200b\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd]+")
_UNKNOWN_PENALTY = 10.0
_CACHED_WORDS = 8192
_CACHED_WORD_CHARS = 24
_PREFIX_ONLY = -1


class Tokenizer:
    """Maps cleaned text to piece numbers. Safe to share between threads: nothing but a cache changes.

    Texts in languages beside English and Chinese fall into any piece, those two into the first `common` ones only:
    words of the others would split English ones otherwise than in training.
    """

    def __init__(self, pieces: Sequence[str], scores: NDArray[np.float32], *, common: int | None = None) -> None:
        self._scores = scores.tolist()
        self._common = len(pieces) if common is None else common
        self._unknown_score = float(scores[: self._common].min()) - _UNKNOWN_PENALTY
        self._longest = max(map(len, pieces))
        self._numbers = _prefix_table([piece.replace(_WORD_MARK, _MARK) for piece in pieces])
        self._remembered, self._remembered_foreign = (
            lru_cache(maxsize=_CACHED_WORDS)(partial(self._split, limit=limit)) for limit in (self._common, len(pieces))
        )

    @classmethod
    def of_lines(cls, text: str, scores: NDArray[np.float32], *, common: int | None = None) -> Self:
        """A tokenizer over the pieces in the lines of a text, none of which is in memory twice."""
        return cls(text.replace(_WORD_MARK, _MARK).split("\n"), scores, common=common)

    def encode(self, cleaned: str, *, is_foreign: bool = False) -> list[int]:
        """Return the piece numbers of a text between the begin and end marks."""
        remembered = self._remembered_foreign if is_foreign else self._remembered
        limit = len(self._scores) if is_foreign else self._common
        numbers = [_BEGIN]
        for word in _SPACES.split(cleaned.strip()):
            if word:
                marked = _MARK + word
                is_short = len(marked) <= _CACHED_WORD_CHARS
                numbers += remembered(marked) if is_short else self._split(marked, limit=limit)
        if len(numbers) == 1:
            numbers.append(_UNKNOWN)
        numbers.append(_END)
        return numbers

    def numbers_of(self, pieces: Pieces) -> list[int]:
        """The numbers of those pieces that are known."""
        found = (self._numbers.get(piece.replace(_WORD_MARK, _MARK), _PREFIX_ONLY) for piece in pieces)
        return [number for number in found if number != _PREFIX_ONLY]

    def word_score(self, word: str) -> float | None:
        """The log-probability of a lower-case word that is a piece by itself, else None."""
        number = self._numbers.get(_MARK + word)
        return float(self._scores[number]) if number is not None and 0 <= number < self._common else None

    def _split(self, word: str, *, limit: int) -> tuple[int, ...]:
        """Viterbi: best[i] is the score of the best split of word[:i], reached by piece_at[i] from start_at[i].

        Only pieces below the limit count.
        """
        length = len(word)
        best = [0.0] + [-1e38] * length
        start_at = [0] * (length + 1)
        piece_at = [_UNKNOWN] * (length + 1)
        number_of, scores, longest = self._numbers.get, self._scores, self._longest
        for start in range(length):
            base = best[start]
            has_single = False
            for end in range(start + 1, min(start + longest, length) + 1):
                number = number_of(word[start:end])
                if number is None:
                    break
                if 0 <= number < limit:
                    has_single = has_single or end == start + 1
                    score = base + scores[number]
                    if score > best[end]:
                        best[end], start_at[end], piece_at[end] = score, start, number
            if not has_single and base + self._unknown_score > best[start + 1]:
                best[start + 1], start_at[start + 1], piece_at[start + 1] = base + self._unknown_score, start, _UNKNOWN
        return _backtrack(start_at, piece_at)


def _backtrack(start_at: list[int], piece_at: list[int]) -> tuple[int, ...]:
    numbers = []
    position = len(start_at) - 1
    while position > 0:
        numbers.append(piece_at[position])
        position = start_at[position]
    return tuple(reversed(numbers))


def _prefix_table(pieces: Sequence[str]) -> dict[str, int]:
    """Piece -> number, and -1 for a text that only begins one: the walk stops at the first text it does not know."""
    table = {piece: number for number, piece in enumerate(pieces)}
    for piece in pieces:
        for end in range(len(piece) - 1, 0, -1):
            if piece[:end] in table:
                break
            table[piece[:end]] = _PREFIX_ONLY
    return table
