"""Two policies on the same judged texts: how many more or fewer are blocked, where, and who was right. No I/O.

What both would have done is found by `what_if`; a text of which that can't be said for one of them is `unknown`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

from .policy import Policy
from .verdict import Action, Severity
from .what_if import Doubt, Judged, would_act

__all__ = ["Case", "Comparison", "Example", "Hits", "Tally", "compare"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Case:
    """One judged text of the past. `should` is what a reviewer said is right, None where nobody has or is unsure."""

    decision_id: str
    at_ms: int
    app: str
    judged: Judged
    should: Action | None = None


@dataclass(slots=True)
class Tally:
    """What both policies did with a group of texts."""

    checks: int = 0
    blocked_a: int = 0
    blocked_b: int = 0
    newly_blocked: int = 0
    no_longer_blocked: int = 0
    unknown: int = 0

    def add(self, a: Action | Doubt, b: Action | Doubt) -> None:
        """Count a text. Blocks are counted only where both actions are known, so that they can be compared."""
        self.checks += 1
        if isinstance(a, Doubt) or isinstance(b, Doubt):
            self.unknown += 1
            return
        blocks_a, blocks_b = a is Action.BLOCK, b is Action.BLOCK
        self.blocked_a += blocks_a
        self.blocked_b += blocks_b
        self.newly_blocked += blocks_b and not blocks_a
        self.no_longer_blocked += blocks_a and not blocks_b

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Hits:
    """How a policy's blocks agree with those that reviewers found right."""

    true_blocks: int = 0
    false_blocks: int = 0
    missed: int = 0
    true_passes: int = 0

    def add(self, action: Action, should: Action) -> None:
        """Count a reviewed text."""
        blocks, ought = action is Action.BLOCK, should is Action.BLOCK
        self.true_blocks += blocks and ought
        self.false_blocks += blocks and not ought
        self.missed += ought and not blocks
        self.true_passes += not blocks and not ought

    @property
    def precision(self) -> float | None:
        """The share of its blocks that are right; None without any."""
        return _share(self.true_blocks, self.false_blocks)

    @property
    def recall(self) -> float | None:
        """The share of what is to be blocked that it blocks; None where nothing is."""
        return _share(self.true_blocks, self.missed)

    def to_json(self) -> dict[str, int | float | None]:
        """Counts and shares by name."""
        counts = {name: getattr(self, name) for name in self.__slots__}
        return {**counts, "precision": self.precision, "recall": self.recall}


@dataclass(frozen=True, slots=True)
class Example:
    """A text on which the policies differ."""

    decision_id: str
    at_ms: int
    app: str
    severity: Severity | None
    categories: tuple[str, ...]
    a: Action
    b: Action

    def to_json(self) -> dict[str, object]:
        """The example by name."""
        return {
            "id": self.decision_id,
            "time": _moment(self.at_ms).isoformat(timespec="milliseconds"),
            "app": self.app,
            "safety": None if self.severity is None else self.severity.value,
            "categories": list(self.categories),
            "a": self.a.value,
            "b": self.b.value,
        }


@dataclass(slots=True)
class Comparison:
    """What came of it. `actions` counts pairs of actions, `doubts` why pairs are unknown; `examples` are bounded."""

    a: Policy
    b: Policy
    total: Tally = field(default_factory=Tally)
    actions: Counter[tuple[Action, Action]] = field(default_factory=Counter)
    doubts: Counter[Doubt] = field(default_factory=Counter)
    by_app: dict[str, Tally] = field(default_factory=dict)
    by_category: dict[str, Tally] = field(default_factory=dict)
    by_day: dict[str, Tally] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    reviewed_a: Hits = field(default_factory=Hits)
    reviewed_b: Hits = field(default_factory=Hits)

    @property
    def reviewed(self) -> int:
        """How many texts the figures of reviewers rest on."""
        return sum(getattr(self.reviewed_a, name) for name in Hits.__slots__)

    def to_json(self) -> dict[str, object]:
        """The whole comparison, as `policies compare --json` prints it."""
        return {
            "a": {"name": self.a.name, "version": self.a.version},
            "b": {"name": self.b.name, "version": self.b.version},
            **self.total.to_json(),
            "actions": [
                {"a": a.value, "b": b.value, "checks": self.actions[a, b]} for a in Action for b in Action
                if self.actions[a, b]
            ],
            "unknown_because": {doubt.value: self.doubts[doubt] for doubt in Doubt if self.doubts[doubt]},
            "by_app": _tallies(self.by_app),
            "by_category": _tallies(self.by_category),
            "by_day": _tallies(self.by_day),
            "examples": [one.to_json() for one in self.examples],
            "reviewed": {"checks": self.reviewed, "a": self.reviewed_a.to_json(), "b": self.reviewed_b.to_json()},
        }  # fmt: skip


def compare(cases: Iterable[Case], a: Policy, b: Policy, *, most_examples: int = 10) -> Comparison:
    """Both policies on all cases. The examples are the first that differ in whether they block, then in other ways."""
    found = Comparison(a, b)
    others: list[Example] = []
    days: dict[int, str] = {}
    for case in cases:
        judged = case.judged
        of_a, of_b = would_act(a, judged), would_act(b, judged)
        day = case.at_ms // _DAY_MS
        if day not in days:
            days[day] = _moment(case.at_ms).date().isoformat()
        names = tuple(category.value for category in judged.categories)
        groups = ((found.by_app, (case.app,)), (found.by_category, names), (found.by_day, (days[day],)))
        tallies = (tally.setdefault(key, Tally()) for tally, keys in groups for key in keys)
        for one in chain((found.total,), tallies):
            one.add(of_a, of_b)
        if isinstance(of_a, Doubt) or isinstance(of_b, Doubt):
            found.doubts[of_a if isinstance(of_a, Doubt) else _doubt(of_b)] += 1
            continue
        found.actions[of_a, of_b] += 1
        if case.should is not None:
            found.reviewed_a.add(of_a, case.should)
            found.reviewed_b.add(of_b, case.should)
        if of_a is not of_b:
            kept = found.examples if Action.BLOCK in (of_a, of_b) else others
            if len(kept) < most_examples:
                kept.append(Example(case.decision_id, case.at_ms, case.app, judged.severity, names, of_a, of_b))
    found.examples += others[: most_examples - len(found.examples)]
    return found


def _doubt(found: Action | Doubt) -> Doubt:
    assert isinstance(found, Doubt)
    return found


def _share(hits: int, others: int) -> float | None:
    return hits / (hits + others) if hits + others else None


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _tallies(groups: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    return {name: groups[name].to_json() for name in sorted(groups)}
