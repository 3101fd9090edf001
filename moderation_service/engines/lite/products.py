"""Products of few rows with a matrix, the quick way round.

What a short text takes is mostly these. A row alone is one pass over the matrix; a matrix product of two or three takes
as long as four or five such passes, and one of a number of rows that is no multiple of four up to twice as long as one
of the next multiple (measured with OpenBLAS 0.3 on x86-64, one thread).
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["product"]

Floats = NDArray[np.float32]

_BLOCK = 4
# From here on what is added to the last block is nothing beside the rest.
_MANY = 256


def product(rows: Floats, weights: Floats) -> Floats:
    """What `rows @ weights` is, but for the last bits."""
    count = len(rows)
    if count < _BLOCK:
        found = np.empty((count, weights.shape[1]), dtype=np.float32)
        for row, into in zip(rows, found, strict=True):
            np.dot(row, weights, out=into)
        return found
    missing = -count % _BLOCK
    if not missing or count > _MANY:
        whole: Floats = rows @ weights
        return whole
    padded = np.zeros((count + missing, rows.shape[1]), dtype=np.float32)
    padded[:count] = rows
    return np.asarray(padded @ weights, dtype=np.float32)[:count]
