"""Bounds for a cascade, from texts that both of its models judged: chosen on one half, reported on the other.

The larger model is the measure, so no labels are needed: a text counts as agreed if it goes up, or if the small model
decides as the larger one does. What is chosen and judged on the same texts looks better than it is, so texts are
divided into two halves by a hash of their words, and the same text is never in both. A share has Wilson's interval
(`rates`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, floor, sqrt
from typing import Any

from ...core.cascade import Sureness, why_up
from ...core.conversation import Conversation
from ...core.policy import Bounds, Policies, Rules
from ...core.verdict import Severity, Target, Verdict
from ..window import question_key
from .rates import wilson

__all__ = ["Pair", "allowed_errors", "calibrated", "chosen", "reported"]

_ALL = Bounds(0.0, 0.0)
_NONE = 1.0
_LEAST = 0.34
"""The lowest bound that says anything: the highest of three probabilities is never below a third."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What both models found in one text."""

    small: Verdict
    large: Verdict
    is_for_choosing: bool

    @classmethod
    def of(cls, conversation: Conversation, small: Verdict, large: Verdict) -> Pair:
        """With the half that the text belongs to."""
        return cls(small, large, question_key(conversation)[0] % 2 == 0)


@dataclass(frozen=True, slots=True)
class _Prefix:
    """The surest texts of one label, as many of them as have no more errors than allowed."""

    bound: float
    decided: int


def calibrated(pairs: Sequence[Pair], *, agreement: float, policies: Policies) -> dict[str, Any]:
    """For each target: the bounds that spare the larger model most at this agreement, and what they do on the rest."""
    found = {}
    for target in Target:
        own = [pair for pair in pairs if pair.small.target is target]
        first = [pair for pair in own if pair.is_for_choosing]
        second = [pair for pair in own if not pair.is_for_choosing]
        if not first or not second:
            continue
        bounds = chosen(first, agreement=agreement)
        found[target.value] = {
            "bounds": {"safe": bounds.safe, "unsafe": bounds.unsafe},
            "chosen_on": reported(first, bounds),
            "reported_on": reported(second, bounds),
            "policies": {policy.name: _under(second, bounds, policy.rules[target]) for policy in policies},
            "curve": [_point(first, second, at) for at in (0.95, 0.98, 0.99, 0.995, 1.0)],
        }
    return found


def chosen(pairs: Sequence[Pair], *, agreement: float) -> Bounds:
    """The bounds by which the small model decides most, with so much agreement to be expected on other texts."""
    errors = allowed_errors(len(pairs), agreement)
    safe, unsafe = _prefixes(pairs, Severity.SAFE, errors), _prefixes(pairs, Severity.UNSAFE, errors)
    best = max(range(errors + 1), key=lambda n: safe[n].decided + unsafe[errors - n].decided)
    return Bounds(safe=safe[best].bound, unsafe=unsafe[errors - best].bound)


def allowed_errors(texts: int, agreement: float) -> int:
    """How many of the texts that bounds are chosen on may be wrong: a standard deviation fewer than on others.

    Of many bounds the one that looks best is chosen, so some of its agreement is luck.
    """
    errors = texts * (1.0 - agreement)
    return max(0, floor(errors - sqrt(errors) + 1e-9))


def reported(pairs: Sequence[Pair], bounds: Bounds) -> dict[str, Any]:
    """What these bounds do with these texts; `missed` are those that the small model decides more mildly."""
    decided = [pair for pair in pairs if why_up(pair.small, Sureness(), bounds) is None]
    missed = sum(pair.small.severity.rank < pair.large.severity.rank for pair in decided)
    stricter = sum(pair.small.severity.rank > pair.large.severity.rank for pair in decided)
    return {
        "texts": len(pairs),
        "went_up": len(pairs) - len(decided),
        "missed": missed,
        "stricter": stricter,
        "small_alone": sum(pair.small.severity is pair.large.severity for pair in pairs) / len(pairs),
        **_shares(len(pairs), len(pairs) - len(decided), missed + stricter),
    }


def _under(pairs: Sequence[Pair], bounds: Bounds, rules: Rules) -> dict[str, Any]:
    """The same for one policy: what counts is its action."""
    sureness = Sureness.of(rules)
    decided = [pair for pair in pairs if why_up(pair.small, sureness, bounds) is None]
    other = sum(rules.action(pair.small) is not rules.action(pair.large) for pair in decided)
    return _shares(len(pairs), len(pairs) - len(decided), other)


def _point(first: Sequence[Pair], second: Sequence[Pair], agreement: float) -> dict[str, Any]:
    bounds = chosen(first, agreement=agreement)
    shown = reported(second, bounds)
    names = ("up", "agreement", "agreement_interval")
    return {"wanted": agreement, "safe": bounds.safe, "unsafe": bounds.unsafe, **{name: shown[name] for name in names}}


def _shares(texts: int, up: int, errors: int) -> dict[str, Any]:
    agreed, shares = wilson(texts - errors, texts), wilson(up, texts)
    return {
        "up": up / texts,
        "up_interval": None if shares is None else [shares.low, shares.high],
        "agreement": 1.0 - errors / texts,
        "agreement_interval": None if agreed is None else [agreed.low, agreed.high],
    }


def _prefixes(pairs: Iterable[Pair], label: Severity, errors: int) -> list[_Prefix]:
    """For 0, 1 ... `errors` allowed errors: how far down the small model may decide texts that it gives this label."""
    able = sorted(
        (
            (getattr(pair.small.scores, label.value), pair.large.severity is not label)
            for pair in pairs
            if pair.small.severity is label and why_up(pair.small, Sureness(), _ALL) is None
        ),
        reverse=True,
    )
    steps = [(share, [wrong for _, wrong in same]) for share, same in groupby(able, key=lambda one: one[0])]
    found = [_Prefix(_NONE, 0)] * (errors + 1)
    decided = wrong = 0
    for place, (share, same) in enumerate(steps):
        decided, wrong = decided + len(same), wrong + sum(same)
        if wrong > errors:
            break
        below = steps[place + 1][0] if place + 1 < len(steps) else _LEAST
        for allowed in range(wrong, errors + 1):
            found[allowed] = _Prefix(_between(below, share), decided)
    return found


def _between(below: float, share: float) -> float:
    """A bound that `share` reaches and `below` does not, halfway, with few digits."""
    middle = max((below + share) / 2, _LEAST)
    rounded = ceil(middle * 10_000) / 10_000
    return rounded if rounded <= share else share
