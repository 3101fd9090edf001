"""Whether a probability means what it says: of the texts with P = 0.8, are 80 % unsafe? No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .rates import Interval, wilson

__all__ = ["BINS", "Bin", "Reliability", "reliability"]

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """The texts whose probability is in [low, high), in the last bin up to and with 1."""

    low: float
    high: float
    items: int
    mean_probability: float | None
    positive_share: float | None
    interval: Interval | None
    """Of the share of positives."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of equal width, and the expected calibration error: the mean of |share - probability| over all texts.

    Source of the measure: M. P. Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015.
    """

    bins: tuple[Bin, ...]
    expected_calibration_error: float

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        shown = [
            {
                "low": one.low,
                "high": one.high,
                "items": one.items,
                "mean_probability": one.mean_probability,
                "positive_share": one.positive_share,
                "interval": None if one.interval is None else [one.interval.low, one.interval.high],
            }
            for one in self.bins
        ]
        return {"expected_calibration_error": self.expected_calibration_error, "bins": shown}


def reliability(probabilities: Sequence[float], positive: Sequence[bool], *, bins: int = BINS) -> Reliability | None:
    """Bins and error; None without any text. Raises ValueError for what is no probability."""
    values, wanted = np.asarray(probabilities, np.float64), np.asarray(positive, np.float64)
    if not len(values):
        return None
    # Sums of two probabilities may be a hair above 1.
    if not ((values >= 0) & (values <= 1 + 1e-6)).all():
        raise ValueError("a probability is not between 0 and 1")
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    items = np.bincount(place, minlength=bins)
    told = np.bincount(place, weights=values, minlength=bins)
    seen = np.bincount(place, weights=wanted, minlength=bins)
    found = tuple(
        Bin(
            low=index / bins,
            high=(index + 1) / bins,
            items=int(count),
            mean_probability=min(1.0, float(told[index]) / int(count)) if count else None,
            positive_share=float(seen[index]) / int(count) if count else None,
            interval=wilson(int(seen[index]), int(count)),
        )
        for index, count in enumerate(items)
    )
    return Reliability(found, float(np.abs(seen - told).sum()) / len(values))
