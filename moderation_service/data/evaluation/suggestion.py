"""A threshold for a policy from texts that people have reviewed, and the curve it rests on. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .curves import Curve, Point

__all__ = ["FEW", "Suggestion", "suggest"]

FEW = 50
"""With fewer texts of either kind the suggestion says little."""
_POINTS = 12


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The threshold with the best F1, among those whose precision is as asked, and the curve around it."""

    best: Point | None
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
    return Suggestion(best, curve.thinned(_POINTS), curve.positives, curve.negatives)


def _f1(point: Point) -> float:
    precision = point.precision or 0.0
    return 2 * precision * point.recall / (precision + point.recall) if precision + point.recall else 0.0
