"""Figures that must be reached, for CI: `strict_f1=0.66`. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import DataError
from .summary import Document

__all__ = ["METRICS", "Gate", "figure"]

_RATES = ("f1", "precision", "recall", "false_positive_rate")
_SCORES = ("strict", "loose", "refusal")
_POLICY_SCORES = ("block", "flag_or_block")
METRICS = (
    *(f"{score}_{rate}" for score in _SCORES for rate in _RATES),
    "category_hit_rate",
    "judged",
)
"""The figures by name; those of a policy are `policy:NAME:block_recall` and the like."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A figure and its limit: it must not be under it, or where `is_ceiling`, not over it."""

    metric: str
    limit: float
    is_ceiling: bool = False

    @classmethod
    def parse(cls, text: str, *, is_ceiling: bool = False) -> Gate:
        """`METRIC=VALUE`. Raises DataError."""
        option = "--fail-over" if is_ceiling else "--fail-under"
        metric, _, value = text.partition("=")
        try:
            limit = float(value)
        except ValueError:
            limit = -1.0
        if not 0 <= limit <= 1:
            raise DataError(f"{option}: {text!r} is not METRIC=VALUE with a value between 0 and 1.")
        if metric not in METRICS and not _is_of_policy(metric):
            known = ", ".join(METRICS)
            raise DataError(f"{option}: {metric!r} is no figure; there are {known}, and policy:NAME:block_recall.")
        return cls(metric, limit, is_ceiling)

    def failure(self, document: Document, *, of: str = "") -> str | None:
        """Why it is not held, None if it is. A figure that is not there fails: what can't be checked is not right."""
        value = figure(document, self.metric)
        name = f"{of}: {self.metric}" if of else self.metric
        if value is None:
            return f"{name} can't be told from these texts"
        if self.is_ceiling:
            return f"{name} is {value:.4f}, over {self.limit:g}" if value > self.limit else None
        return f"{name} is {value:.4f}, under {self.limit:g}" if value < self.limit else None


def figure(document: Document, metric: str) -> float | None:
    """The figure of that name; None where it has no value. Raises DataError for a policy that is not there."""
    if metric == "judged":
        return document["judged"] / document["items"] if document["items"] else None
    if metric == "category_hit_rate":
        hit_rate: float | None = document["categories"]["hit_rate"]
        return hit_rate
    scores = document
    if metric.startswith("policy:"):
        _, policy, metric = metric.split(":")
        if policy not in document["policies"]:
            known = ", ".join(document["policies"])
            raise DataError(f"policy:{policy}: is no policy of this report; it has {known}.")
        scores = document["policies"][policy]
    score = next(name for name in (*_SCORES, *reversed(_POLICY_SCORES)) if metric.startswith(f"{name}_"))
    value: float | None = scores[score][metric.removeprefix(f"{score}_")]
    return value


def _is_of_policy(metric: str) -> bool:
    parts = metric.split(":")
    names = {f"{score}_{rate}" for score in _POLICY_SCORES for rate in _RATES}
    return len(parts) == 3 and parts[0] == "policy" and bool(parts[1]) and parts[2] in names
