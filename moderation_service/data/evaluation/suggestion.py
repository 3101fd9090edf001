"""A threshold for a policy from texts that people have reviewed, and the curve it rests on. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import floor

from .curves import Curve, Point

__all__ = ["FEW", "Suggestion", "suggest"]

FEW = 50
"""With fewer texts of either kind the suggestion says little."""
_POINTS = 12
_DIGITS = range(4, 17)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The threshold with the best F1, among those whose precision is as asked, and the curve around it.

    `setting` is that threshold as a policy file has it: a short number that finds the same texts.
    """

    best: Point | None
    setting: str | None
    curve: Sequence[Point]
    positives: int
    negatives: int

    @property
    def is_weak(self) -> bool:
        """Whether it rests on few texts."""
        return min(self.positives, self.negatives) < FEW

    def to_json(self) -> dict[str, object]:
        """The suggestion by name."""
        return {
            "setting": self.setting,
            "threshold": None if self.best is None else asdict(self.best),
            "positives": self.positives,
            "negatives": self.negatives,
            "is_weak": self.is_weak,
            "curve": [asdict(point) for point in self.curve],
        }


def suggest(scores: Sequence[float], positive: Sequence[bool], *, least_precision: float = 0.0) -> Suggestion | None:
    """For texts with these scores, of which these are to be found; None unless there are both kinds of them."""
    curve = Curve.of(scores, positive)
    if curve is None:
        return None
    points = [curve.point(index) for index in range(len(curve.thresholds))]
    fit = [point for point in points if point.precision is not None and point.precision >= least_precision]
    best = max(fit, key=_f1, default=None)
    setting = None if best is None else _setting(best.threshold, scores)
    return Suggestion(best, setting, curve.thinned(_POINTS), curve.positives, curve.negatives)


def _setting(threshold: float, scores: Sequence[float]) -> str:
    """Rounded down, as scores of the threshold itself are found, but not to where the next lower score would be too."""
    below = max((one for one in scores if one < threshold), default=-1.0)
    for digits in _DIGITS:
        rounded = floor(threshold * 10**digits) / 10**digits
        if below < rounded <= threshold:
            return f"{rounded:.{digits}f}".rstrip("0").rstrip(".")
    return str(threshold)


def _f1(point: Point) -> float:
    precision = point.precision or 0.0
    return 2 * precision * point.recall / (precision + point.recall) if precision + point.recall else 0.0
