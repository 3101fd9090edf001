"""What every threshold on a probability would give: precision, recall, false positive rate. No I/O.

A text is found when its score reaches the threshold. Only thresholds that are scores of some text matter, so the curve
has one point per distinct score, and texts of the same score come together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["FALSE_POSITIVE_RATES", "RECALLS", "Curve", "Point"]

FALSE_POSITIVE_RATES = (0.01, 0.02, 0.05, 0.10)
"""The limits for which the table says how much is found."""
RECALLS = (0.90, 0.95, 0.99)
"""The goals for which the table says what it costs in false alarms."""


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold and what it gives. `precision` is None where nothing is found."""

    threshold: float
    precision: float | None
    recall: float
    false_positive_rate: float


@dataclass(frozen=True, eq=False)
class Curve:
    """All thresholds, the highest first. Made by `of`."""

    thresholds: npt.NDArray[np.float64]
    found: npt.NDArray[np.int64]
    """How many positives reach each threshold."""
    mistaken: npt.NDArray[np.int64]
    """How many negatives do."""
    positives: int
    negatives: int

    @classmethod
    def of(cls, scores: Sequence[float], positive: Sequence[bool]) -> Curve | None:
        """The curve of these scores; None unless there are positives and negatives.

        Raises ValueError for a score that is no number: it would be sorted anywhere.
        """
        values, wanted = np.asarray(scores, np.float64), np.asarray(positive, np.bool_)
        if np.isnan(values).any():
            raise ValueError("a score is no number")
        positives = int(wanted.sum())
        if not 0 < positives < len(wanted):
            return None
        order = np.argsort(-values, kind="stable")
        values, wanted = values[order], wanted[order]
        last = np.flatnonzero(np.append(values[1:] != values[:-1], True))
        found = np.cumsum(wanted, dtype=np.int64)[last]
        return cls(values[last], found, last.astype(np.int64) + 1 - found, positives, len(wanted) - positives)

    @property
    def average_precision(self) -> float:
        """The area under the curve of precision over recall, as a sum of steps, without interpolation."""
        gained = np.diff(self.found, prepend=0) / self.positives
        return float(np.sum(gained * self.found / (self.found + self.mistaken)))

    def point(self, index: int) -> Point:
        """The point of one of the thresholds."""
        found, mistaken = int(self.found[index]), int(self.mistaken[index])
        return Point(
            float(self.thresholds[index]),
            found / (found + mistaken),
            found / self.positives,
            mistaken / self.negatives,
        )

    def at(self, threshold: float) -> Point:
        """What any threshold gives, also one that is no score."""
        reached = int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1
        if reached < 0:
            return Point(threshold, None, 0.0, 0.0)
        point = self.point(reached)
        return Point(threshold, point.precision, point.recall, point.false_positive_rate)

    def within_false_positive_rate(self, limit: float) -> Point | None:
        """The lowest threshold with no more false alarms than that, which finds most; None if there is none."""
        allowed = np.flatnonzero(self.mistaken <= limit * self.negatives)
        return self.point(int(allowed[-1])) if len(allowed) else None

    def with_recall(self, goal: float) -> Point:
        """The highest threshold that finds so large a share, which makes the fewest false alarms."""
        return self.point(int(np.flatnonzero(self.found >= goal * self.positives)[0]))

    def thinned(self, points: int) -> list[Point]:
        """At most so many points, spread evenly over the recall, with the first and the last: enough for a picture."""
        if len(self.thresholds) <= points:
            chosen = np.arange(len(self.thresholds))
        else:
            goals = np.linspace(self.found[0], self.found[-1], points)
            chosen = np.unique(np.searchsorted(self.found, goals))
            chosen = np.unique(np.append(chosen, len(self.thresholds) - 1))[-points:]
        return [self.point(int(index)) for index in chosen]

    def table(self) -> dict[str, list[dict[str, float | None]]]:
        """The threshold table for JSON."""
        limited = [(limit, self.within_false_positive_rate(limit)) for limit in FALSE_POSITIVE_RATES]
        return {
            "at_false_positive_rate": [
                {"limit": limit, **({} if point is None else asdict(point))} for limit, point in limited
            ],
            "at_recall": [{"goal": goal, **asdict(self.with_recall(goal))} for goal in RECALLS],
        }
