"""Keeps probes out of training: which rows are a probe, or close to one."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from .rows import all_texts

__all__ = ["NEAR_LIMIT", "Nearness"]

NEAR_LIMIT = 0.6
"""Jaccard index of two texts' character n-grams from which they count as the same text."""
_NOT_A_LETTER = re.compile(r"[\W_]+")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_GRAM, _WIDE_GRAM = 5, 3
_CHARS = 1_500


class Nearness:
    """Compares texts with all probes, or with other texts."""

    def __init__(self, texts: Iterable[str] | None = None) -> None:
        self._texts = all_texts() if texts is None else list(texts)
        self._sizes: list[int] = []
        self._having: dict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(self._texts):
            grams = _grams(text)
            self._sizes.append(len(grams))
            for gram in grams:
                self._having[gram].append(number)

    def nearest(self, text: str) -> tuple[float, str]:
        """The highest Jaccard index and the probe that has it; 0 and an empty text if nothing is shared."""
        grams = _grams(text)
        shared = Counter(number for gram in grams for number in self._having.get(gram, ()))
        indexes = ((count / (len(grams) + self._sizes[number] - count), number) for number, count in shared.items())
        index, number = max(indexes, default=(0.0, -1))
        return index, self._texts[number] if number >= 0 else ""

    def close(self, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Those that are a probe or near one, each with that probe."""
        for text in texts:
            index, probe = self.nearest(text)
            if index >= NEAR_LIMIT:
                yield text, probe


def _grams(text: str) -> set[str]:
    letters = _NOT_A_LETTER.sub("", unicodedata.normalize("NFKC", text).lower())[:_CHARS]
    size = _WIDE_GRAM if len(_WIDE.findall(letters)) > _WIDE_GRAM else _GRAM
    return {letters[start : start + size] for start in range(max(1, len(letters) - size + 1))}
