"""Matrices in one block of memory, for which the system may take large pages.

A short text reads each of them once, some 15 MB: with pages of 4 kB looking up the pages takes a part of that time.
numpy asks the system (Linux, `madvise`) for large ones from 4 MB on; of the matrices hardly one is that large.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_one_block"]

Floats = NDArray[np.float32]


def in_one_block(matrices: Sequence[Floats]) -> list[Floats]:
    """The same matrices as views of one new array."""
    block = np.empty(sum(matrix.size for matrix in matrices), dtype=np.float32)
    found, at = [], 0
    for matrix in matrices:
        view = block[at : at + matrix.size].reshape(matrix.shape)
        view[...] = matrix
        found.append(view)
        at += matrix.size
    return found
