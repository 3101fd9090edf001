"""Products of few rows with a matrix, the quick way round.

What a short text takes is mostly these. A row alone is one pass over the matrix. A matrix product of a number of rows
that is no multiple of four takes up to twice as long as one of the next multiple, and one of two or three rows as long
as four or five passes. Where OpenBLAS has AVX-512, small products are quicker by another way of its own: it does not
copy the matrix first, which for four rows takes longer than the rest. So the inner dimension is cut into runs that are
small enough for that (all measured with OpenBLAS 0.3 on x86-64, one thread).
"""

import numpy as np
from numpy.typing import NDArray

from .blas import is_quick_with_small

__all__ = ["product"]

Floats = NDArray[np.float32]

_BLOCK = 4
# From here on what is added to the last block is nothing beside the rest.
_MANY = 256
# A product is small for OpenBLAS up to this many multiplications: kernel/x86_64/sgemm_small_kernel_permit_skylakex.c.
_SMALL = 1_000_000
# With more rows the copy costs less than the products that come of cutting.
_MOST_CUT = 20
_LANES = 16


def product(rows: Floats, weights: Floats) -> Floats:
    """What `rows @ weights` is, but for the last bits."""
    count = len(rows)
    is_cut = 1 < count <= _MOST_CUT and is_quick_with_small()
    if count < _BLOCK and not is_cut:
        found = np.empty((count, weights.shape[1]), dtype=np.float32)
        for row, into in zip(rows, found, strict=True):
            np.dot(row, weights, out=into)
        return found
    # Small products of two rows are as quick as they are.
    missing = -count % _BLOCK if count > 2 else 0
    if missing and count <= _MANY:
        padded = np.zeros((count + missing, rows.shape[1]), dtype=np.float32)
        padded[:count] = rows
        rows = padded
    whole: Floats = _in_runs(rows, weights) if is_cut else rows @ weights
    return whole[:count]


def _in_runs(rows: Floats, weights: Floats) -> Floats:
    """The product as a sum of small ones."""
    run = max(_LANES, _SMALL // (len(rows) * weights.shape[1]) // _LANES * _LANES)
    found: Floats = rows[:, :run] @ weights[:run]
    for start in range(run, len(weights), run):
        found += rows[:, start : start + run] @ weights[start : start + run]
    return found
