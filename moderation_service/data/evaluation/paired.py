"""Two guards on the same texts: is one better, or is it chance? No I/O.

McNemar's test looks only at the texts on which exactly one of the two is right (Q. McNemar, Psychometrika 12, 1947).
If the guards were equally good, each of these would go either way like the toss of a coin.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .rates import Interval

__all__ = ["EXACT_UP_TO", "McNemar", "difference_of_f1", "mcnemar"]

_Array = npt.NDArray[np.float64]

EXACT_UP_TO = 1000
"""Discordant texts up to which coins are counted exactly; above it the normal curve is as good to four digits."""
_DRAWS = 2000
_SEED = 1


@dataclass(frozen=True, slots=True)
class McNemar:
    """`p` is the two-sided probability of a difference like this or larger if both were equally good."""

    only_first_right: int
    only_second_right: int
    p: float
    exact: bool


def mcnemar(only_first_right: int, only_second_right: int) -> McNemar:
    """The test for these counts: the exact binomial one, for many discordant texts chi-square with Edwards' correction.

    Without a discordant text p is 1.
    """
    discordant, smaller = only_first_right + only_second_right, min(only_first_right, only_second_right)
    exact = discordant <= EXACT_UP_TO
    if exact:
        tail = sum(math.comb(discordant, count) for count in range(smaller + 1))
        p = min(1.0, 2 * tail / 2**discordant)
    else:
        corrected = max(0, abs(only_first_right - only_second_right) - 1)
        p = math.erfc(math.sqrt(corrected * corrected / discordant / 2))
    return McNemar(only_first_right, only_second_right, p, exact)


def difference_of_f1(outcomes: Iterable[tuple[bool, bool, bool]]) -> tuple[float, Interval] | None:
    """F1 of the second guard less F1 of the first, with its 95 % interval; None unless both have an F1.

    `outcomes` are (is positive, first found it, second found it), one per text. The interval is a paired bootstrap's,
    with a fixed seed. Drawing texts with replacement is drawing the eight kinds of outcome from a multinomial, which
    takes no longer for a million texts.
    """
    counted = Counter(outcomes)
    kinds = [(gold, one, two) for gold in (True, False) for one in (True, False) for two in (True, False)]
    counts = np.array([counted[kind] for kind in kinds], np.float64)
    total = int(counts.sum())
    if not counts[:4].sum() or not counts[4:].sum():
        return None
    drawn = np.random.default_rng(_SEED).multinomial(total, counts / total, size=_DRAWS).astype(np.float64)

    def f1(of: _Array, guard: int) -> _Array:
        found = [index for index, kind in enumerate(kinds) if kind[0] and kind[guard]]
        wrong = [index for index, kind in enumerate(kinds) if kind[0] != kind[guard]]
        twice: _Array = 2 * of[..., found].sum(axis=-1)
        whole: _Array = twice + of[..., wrong].sum(axis=-1)
        shares: _Array = np.divide(twice, whole, out=np.zeros_like(whole), where=whole > 0)
        return shares

    low, high = np.percentile(f1(drawn, 2) - f1(drawn, 1), [2.5, 97.5])
    return float(f1(counts[None], 2)[0] - f1(counts[None], 1)[0]), Interval(float(low), float(high))
