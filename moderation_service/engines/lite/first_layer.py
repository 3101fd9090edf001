"""What the encoder's first layer makes of frequent pieces, computed once and kept.

A piece's projection, and its products with the first convolutions, depend on nothing but the piece. The 2,000 that most
prompts and answers have are seven in ten of the distinct pieces of a text; the 2,000 likeliest ones of the vocabulary,
which is of texts in many languages, are five in ten of a Chinese one. They take 26 MB.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["FirstLayer"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_MOST_KEPT = 2000


class FirstLayer:
    """Arrays with a row per piece: looked up for the pieces that are kept, computed for the others. Read-only."""

    def __init__(self, compute: Callable[[Integers], Sequence[Floats]], frequent: Sequence[int], size: int) -> None:
        """`compute` does the work for some pieces; kept are the first frequent ones with numbers below `size`."""
        self._compute = compute
        common = np.sort(np.array([number for number in frequent if number < size][:_MOST_KEPT], dtype=np.int64))
        # One entry more than pieces, so that a number past the end is looked up too.
        self._row = np.full(size + 1, -1, dtype=np.int32)
        self._row[common] = np.arange(len(common))
        self._kept = compute(common)

    def of(self, pieces: Integers) -> list[Floats]:
        """The arrays of some pieces, each with a last row of zeros for the places where no piece is."""
        rows = self._row[np.minimum(pieces, len(self._row) - 1)]
        known, others = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
        computed = self._compute(pieces[others]) if len(others) else [part[:0] for part in self._kept]
        found = []
        for kept, new in zip(self._kept, computed, strict=True):
            whole = np.empty((len(pieces) + 1, kept.shape[1]), dtype=np.float32)
            whole[known] = kept[rows[known]]
            whole[others] = new
            whole[-1] = 0
            found.append(whole)
        return found
