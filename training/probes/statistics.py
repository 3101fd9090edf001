"""Rates with Wilson's interval, and the area under the curve with a bootstrap one, as text for a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["area", "area_text", "rate_text"]

_Z = 1.96
_RESAMPLES = 1_000


def rate_text(found: Sequence[bool]) -> str:
    """Such as `85 [71-93]`: the share that is true in percent, with its 95 % interval."""
    count, hits = len(found), sum(found)
    if not count:
        return "-"
    share = hits / count
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return f"{100 * share:.0f} [{100 * max(0.0, centre - half):.0f}-{100 * min(1.0, centre + half):.0f}]"


def area_text(unsafe: Sequence[float], safe: Sequence[float]) -> str:
    """Such as `.94 [.90-.97]`: how often an unsafe text scores above a safe one, with its 95 % interval."""
    if not unsafe or not safe:
        return "-"
    above, below = np.array(unsafe), np.array(safe)
    random = np.random.RandomState(0)
    resampled = [area(random.choice(above, len(above)), random.choice(below, len(below))) for _ in range(_RESAMPLES)]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return f"{area(above, below):.3f} [{low:.2f}-{high:.2f}]"


def area(unsafe: NDArray[np.float64], safe: NDArray[np.float64]) -> float:
    """The area under the curve; ties count half."""
    more = (unsafe[:, None] > safe[None, :]).mean()
    same = (unsafe[:, None] == safe[None, :]).mean()
    return float(more + same / 2)
