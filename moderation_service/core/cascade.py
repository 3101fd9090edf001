"""When the verdict of a small model stands, and when a larger one decides. No I/O.

The small model decides what it is sure of: its label is Safe or Unsafe, and the label's probability reaches the bound
for that label. Everything else goes up to the larger model. There are two bounds because a small model errs on one side
more than on the other: one bound for both labels takes two to three times the calls for the same agreement.

What matters is the action. Where a policy treats controversial text as it treats unsafe text, a doubt between the two
is none, and their probabilities count together; likewise between safe and controversial.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from .policy import Bounds, Rules, Thresholds
from .verdict import PartRead, Severity, Verdict

__all__ = ["Sureness", "Up", "is_certain", "why_up"]


class Up(enum.Enum):
    """Why a text goes up to the larger model; a label of metrics."""

    UNSURE = "unsure"
    """The probability of the label is below its bound."""
    CONTROVERSIAL = "controversial"
    """The label is Controversial, which the small model never decides where it makes a difference."""
    CATEGORIES = "categories"
    """The label is harmful, and the categories decide what happens to the text."""
    THRESHOLDS = "thresholds"
    """The policy's thresholds would overrule the label."""
    PARTLY_READ = "partly_read"
    """Something of the answer could not be read, or a part of the text was not judged."""
    NO_SCORES = "no_scores"
    """The server gives no probabilities."""
    NO_VERDICT = "no_verdict"
    """The small model could not be asked, or gave no verdict."""


@dataclass(frozen=True, slots=True)
class Sureness:
    """What the rules of a policy ask of a verdict that a small model shall decide.

    `safe_is_controversial` and `controversial_is_unsafe`: the policy does the same with both.
    """

    bounds: Bounds = Bounds()
    thresholds: Thresholds = Thresholds()
    needs_categories: bool = False
    safe_is_controversial: bool = False
    controversial_is_unsafe: bool = False

    @classmethod
    def of(cls, rules: Rules) -> Sureness:
        """What these rules ask."""
        # Where a category makes a difference, two severities with the same action may be two things all the same.
        actions, needs_categories = rules.actions, rules.needs_categories
        return cls(
            rules.cascade,
            rules.thresholds,
            needs_categories,
            not needs_categories and actions[Severity.SAFE] is actions[Severity.CONTROVERSIAL],
            not needs_categories and actions[Severity.CONTROVERSIAL] is actions[Severity.UNSAFE],
        )


_PLAIN = Sureness()


def why_up(verdict: Verdict, sureness: Sureness, own: Bounds) -> Up | None:
    """Why this verdict of the small model does not stand; None if it does. `own` are the engine's bounds."""
    scores, severity = verdict.scores, verdict.severity
    if verdict.failure is not None or verdict.read_in_part:
        return Up.PARTLY_READ
    if scores is None:
        return Up.NO_SCORES
    if sureness.thresholds.severity(severity, scores) is not severity:
        return Up.THRESHOLDS
    is_controversial = severity is Severity.CONTROVERSIAL
    if severity is Severity.SAFE or (is_controversial and sureness.safe_is_controversial):
        mass = scores.safe + (scores.controversial if sureness.safe_is_controversial else 0.0)
        bound = _first(sureness.bounds.safe, own.safe)
    elif is_controversial and not sureness.controversial_is_unsafe:
        return Up.CONTROVERSIAL
    elif sureness.needs_categories:
        return Up.CATEGORIES
    else:
        mass = scores.unsafe + (scores.controversial if sureness.controversial_is_unsafe else 0.0)
        bound = _first(sureness.bounds.unsafe, own.unsafe)
    # A probability that is no number (NaN) must not pass for a high one.
    return None if mass >= bound else Up.UNSURE


def is_certain(verdict: Verdict, own: Bounds) -> bool:
    """Whether the small model is sure of the label itself, whatever a policy makes of it.

    What it surely read in one window of a text counts though another window got no verdict.
    """
    read = replace(verdict, failure=None, read_in_part=verdict.read_in_part - {PartRead.WINDOWS})
    return why_up(read, _PLAIN, own) is None


def _first(*bounds: float | None) -> float:
    """The first bound that is given; never reached where none is."""
    return next((bound for bound in bounds if bound is not None), 2.0)
