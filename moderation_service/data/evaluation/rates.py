"""Counts of a yes-or-no decision, the usual rates, and how sure one can be of them. No I/O.

Intervals are of 95 %. A share's is Wilson's score interval, which holds for small counts and for shares of 0 and 1
(E. B. Wilson, JASA 22, 1927). F1 is a function of one share, J = TP / (TP + FP + FN), by F1 = 2J / (1 + J), which only
ever rises with it; so Wilson's interval of J becomes F1's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

__all__ = ["Z_95", "BinaryScore", "Interval", "binary", "f1_interval", "ratio", "wilson"]

Z_95 = 1.959963984540054
"""How many standard deviations on each side hold 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, both within 0 and 1."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BinaryScore:
    """Counts of a yes-or-no decision, and the usual rates; a rate without a denominator is None.

    Where all items are positive there is nothing that could be found by mistake: precision and F1 would only repeat the
    recall in a flattering way, and are None, as is the false positive rate.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def positives(self) -> int:
        """Those that should be found."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> int:
        """Those that should not."""
        return self.false_positives + self.true_negatives

    @property
    def precision(self) -> float | None:
        """Share of the found ones that are right."""
        return ratio(self.true_positives, self.true_positives + self.false_positives) if self.negatives else None

    @property
    def recall(self) -> float | None:
        """Share of the positives that were found."""
        return ratio(self.true_positives, self.positives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None without a positive or without a negative."""
        if not self.positives or not self.negatives:
            return None
        return ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def false_positive_rate(self) -> float | None:
        """Share of the negatives that were found by mistake."""
        return ratio(self.false_positives, self.negatives)

    def intervals(self) -> dict[str, Interval | None]:
        """The 95 % interval of each rate that there is, by the rate's name."""
        found = self.true_positives + self.false_positives
        return {
            "precision": wilson(self.true_positives, found) if self.negatives else None,
            "recall": wilson(self.true_positives, self.positives),
            "f1": None if self.f1 is None else f1_interval(self),
            "false_positive_rate": wilson(self.false_positives, self.negatives),
        }

    def to_dict(self) -> dict[str, object]:
        """Counts, rates and intervals for JSON."""
        rates = {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "false_positive_rate": self.false_positive_rate,
        }
        shown = {name: None if one is None else [one.low, one.high] for name, one in self.intervals().items()}
        return {**asdict(self), **rates, "intervals": shown}


def binary(pairs: Iterable[tuple[bool, bool]]) -> BinaryScore:
    """Count pairs of (is positive, was found)."""
    counted = Counter(pairs)
    return BinaryScore(counted[True, True], counted[False, True], counted[True, False], counted[False, False])


def wilson(part: int, whole: int, *, z: float = Z_95) -> Interval | None:
    """Wilson's score interval of the share `part / whole`; None for nothing."""
    if not whole:
        return None
    share, square = part / whole, z * z
    middle = (share + square / (2 * whole)) / (1 + square / whole)
    half = z / (1 + square / whole) * math.sqrt(share * (1 - share) / whole + square / (4 * whole * whole))
    # At the ends the formula gives 0 and 1 exactly, and floating point nearly.
    low = 0.0 if part == 0 else max(0.0, middle - half)
    high = 1.0 if part == whole else min(1.0, middle + half)
    return Interval(low, high)


def f1_interval(score: BinaryScore) -> Interval | None:
    """The interval of F1; None where nothing is positive and nothing was found."""
    share = wilson(score.true_positives, score.true_positives + score.false_positives + score.false_negatives)
    return None if share is None else Interval(2 * share.low / (1 + share.low), 2 * share.high / (1 + share.high))


def ratio(part: int, whole: int) -> float | None:
    """A share; None of nothing."""
    return part / whole if whole else None
