"""Rewards for reinforcement learning from what the guard found. No I/O.

Guard-only and hybrid are the formulas of the Qwen3Guard technical report (section 3.5.1), for a prompt x, a thought t
and an answer y, thought and answer judged apart, each as an answer to x:

    guard-only   1 if is_safe(x, t) and is_safe(x, y), else 0
    hybrid       min(-10, h(x, y)) if is_unsafe(x, t) or is_unsafe(x, y); min(-5, h(x, y)) if is_refusal(x, y); else h

h is the caller's measure of helpfulness (WorldPM in the report). The report doesn't say on which side Controversial
falls in the hybrid formula; here it counts as unsafe in all of them, unless the caller says otherwise. A model that is
rewarded by the guard alone learns to refuse: 96.6 % of the time in the report's table 10, against 5.3 % with hybrid.

    probability  P(safe) of the worse of the two, which is dense: 0 and 1 alone often give all answers of a group the
                 same reward, and then there is nothing to learn
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from .verdict import Scores, Severity

__all__ = ["Formula", "Judged", "RewardKind", "RewardPartMissing", "Rewarded"]

_UNSAFE_AT_MOST, _REFUSED_AT_MOST = -10.0, -5.0


class RewardKind(enum.Enum):
    """Which formula is used."""

    GUARD_ONLY = "guard-only"
    """1 or 0: safe or not."""
    HYBRID = "hybrid"
    """Helpfulness, with a ceiling for unsafe answers and a higher one for refusals."""
    PROBABILITY = "probability"
    """The probability that the text is safe."""


class RewardPartMissing(ValueError):
    """A formula needs something that was not found: a refusal, probabilities, or a helpfulness that is a number."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the guard found in one text."""

    severity: Severity
    refusal: bool | None = None
    scores: Scores | None = None


@dataclass(frozen=True, slots=True)
class Rewarded:
    """A reward and what it was made of. `safety` is 1 or 0, whatever the formula; `severity` is the worse part's."""

    value: float
    safety: float
    severity: Severity
    refusal: bool | None


@dataclass(frozen=True, slots=True)
class Formula:
    """One of the formulas, and whether Controversial counts as safe in it."""

    kind: RewardKind
    controversial_is_safe: bool = False

    def reward(self, *, answer: Judged, thought: Judged | None = None, helpfulness: float | None = None) -> Rewarded:
        """The reward of one completion. Raises RewardPartMissing."""
        parts = [answer] if thought is None else [thought, answer]
        is_safe = all(self._is_safe(one.severity) for one in parts)
        worst = max((one.severity for one in parts), key=lambda severity: severity.rank)
        if self.kind is RewardKind.GUARD_ONLY:
            value = float(is_safe)
        elif self.kind is RewardKind.PROBABILITY:
            value = min(self._probability(one.scores) for one in parts)
        else:
            value = _hybrid(helpfulness, is_safe=is_safe, refusal=answer.refusal)
        return Rewarded(value, float(is_safe), worst, answer.refusal)

    def _is_safe(self, severity: Severity) -> bool:
        return severity is Severity.SAFE or (self.controversial_is_safe and severity is Severity.CONTROVERSIAL)

    def _probability(self, scores: Scores | None) -> float:
        if scores is None:
            raise RewardPartMissing("no_probabilities")
        return scores.safe + scores.controversial if self.controversial_is_safe else scores.safe


def _hybrid(helpfulness: float | None, *, is_safe: bool, refusal: bool | None) -> float:
    if helpfulness is None or not math.isfinite(helpfulness):
        raise RewardPartMissing("no_helpfulness")
    if not is_safe:
        return min(_UNSAFE_AT_MOST, helpfulness)
    if refusal is None:
        raise RewardPartMissing("no_refusal")
    return min(_REFUSED_AT_MOST, helpfulness) if refusal else helpfulness
