"""What people say of decisions: why one is looked at, what the answer may be, how far two reviewers agree. No I/O."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .policy import Rules
from .verdict import Severity

__all__ = ["SAMPLE_DIGITS", "Agreement", "Answer", "Why", "agreement", "distance_to_a_threshold", "is_sampled"]

SAMPLE_DIGITS = slice(8, 12)
"""Which digits of a decision's id say whether it is looked at by chance. Those before are its time."""


class Why(enum.Enum):
    """Why a decision stands in the queue; ordered by `rank`, what is looked at first has the highest."""

    SAMPLED = "sampled"
    """By chance, so that what nobody suspects is looked at too."""
    CLOSE = "close"
    """It passed, and a score is close to a threshold."""
    FLAGGED = "flagged"
    """It was let through, marked for review."""
    BLOCKED = "blocked"
    """It was blocked."""
    PICKED = "picked"
    """A reviewer came across it, and it was in none of the other groups: a text that should not have passed."""
    APPEALED = "appealed"
    """The blocked person asks for it."""

    rank: int

    def __init__(self, value: str) -> None:
        self.rank = ("sampled", "close", "flagged", "blocked", "picked", "appealed").index(value)


class Answer(enum.Enum):
    """What a reviewer says of a decision."""

    RIGHT = "right"
    """What was done is right."""
    WRONG = "wrong"
    """The text is of another severity, which the reviewer names."""
    UNSURE = "unsure"
    """The reviewer can't say; nothing follows from it."""


def distance_to_a_threshold(rules: Rules, *, unsafe: float | None, flagged: float | None) -> float | None:
    """How far the nearer of both scores is from where the severity changes; None without scores.

    Without a threshold the label decides, which changes where its probability is about one half.
    """
    if unsafe is None or flagged is None:
        return None
    bounds = rules.thresholds
    return min(abs(unsafe - (bounds.unsafe or 0.5)), abs(flagged - (bounds.controversial or 0.5)))


def is_sampled(decision_id: str, share: float) -> bool:
    """Whether a decision is among the share that is looked at by chance, which is told by digits of its id."""
    digits = decision_id.removeprefix("mod_")[SAMPLE_DIGITS]
    return digits < f"{round(share * 16**4):04x}" or share >= 1.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two reviewers answered on the texts that both of them saw.

    `kappa` is Cohen's: 1 for always the same answer, 0 for as often as by chance; None where chance alone would make
    them agree on all (both gave one and the same answer throughout), or without texts.
    """

    texts: int
    agreed: int
    kappa: float | None

    @property
    def share(self) -> float | None:
        """How often they agree."""
        return self.agreed / self.texts if self.texts else None


def agreement(answers: Sequence[tuple[Severity, Severity]]) -> Agreement:
    """Of pairs of severities, the first reviewer's and the second's for each text.

    Source: J. Cohen, A coefficient of agreement for nominal scales, 1960: (p_o - p_e) / (1 - p_e).
    """
    total = len(answers)
    agreed = sum(first is second for first, second in answers)
    firsts, seconds = Counter(first for first, _ in answers), Counter(second for _, second in answers)
    # In whole numbers: (n * agreed - chance) / (n * n - chance).
    chance = sum(firsts[one] * seconds[one] for one in Severity)
    left = total * total - chance
    return Agreement(total, agreed, (total * agreed - chance) / left if left else None)
