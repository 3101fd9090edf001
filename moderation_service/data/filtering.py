"""Which labelled rows are kept, and why the others are not. Pure.

A row that was not judged is not kept: nothing is known of it. What a rule would need and the label does not have (a
probability, categories) is a reason to drop, never one to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from ..core.policy import Policy
from ..core.verdict import Action, Category, PartRead, Scores, Severity, Target, Verdict
from ..errors import DataError
from .json_text import dumps

__all__ = ["Groups", "Label", "Rules", "read_label"]

NOT_JUDGED = "not_judged"
_SEVERITIES = {severity.value: severity for severity in Severity}
_CATEGORIES = {category.value: category for category in Category}
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Label:
    """What was found in a row, as its columns say it; `severity` is None where it was not judged."""

    severity: Severity | None
    categories: tuple[Category, ...] | None = None
    refusal: bool | None = None
    scores: Scores | None = None

    def verdict(self, target: Target) -> Verdict:
        """The verdict that the columns were made of, for a policy."""
        assert self.severity is not None
        parts = frozenset({PartRead.CATEGORIES} if self.categories is None else ())
        return Verdict(
            target, self.severity, self.categories or (), self.refusal, self.scores, "", "", read_in_part=parts
        )


def read_label(row: Mapping[str, object], head: str) -> Label:
    """The label in the columns that begin with `head`; of CSV too, where all is text. Raises DataError."""
    safety = row.get(f"{head}safety")
    if safety is None:
        return Label(None)
    if not isinstance(safety, str) or safety not in _SEVERITIES:
        raise DataError(f"The column {head}safety has something else in it than safe, controversial or unsafe.")
    shares = [_number(row, f"{head}{name}") for name in ("p_safe", "p_controversial", "p_unsafe")]
    scores = None if None in shares else Scores(*(share or 0.0 for share in shares))
    refusal = row.get(f"{head}refusal")
    if isinstance(refusal, str):
        refusal = _BOOLEANS.get(refusal)
    severity = _SEVERITIES[safety]
    categories = _categories(row.get(f"{head}categories"), head)
    if categories is None and severity is Severity.SAFE:
        categories = ()
    return Label(severity, categories, refusal if isinstance(refusal, bool) else None, scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a row must be to be kept. `target` is what was judged, where the refusal column does not tell it."""

    policy: Policy
    target: Target | None = None
    drop: frozenset[Category] = frozenset()
    max_unsafe: float | None = None
    max_flagged: float | None = None
    drops_refusals: bool = False

    def reason(self, label: Label) -> str | None:
        """Why this row is dropped, in a word; None for one that is kept."""
        if label.severity is None:
            return NOT_JUDGED
        if self._action(label) is Action.BLOCK:
            return str(label.severity.value)
        return self._by_category(label) or self._by_probability(label)

    def _action(self, label: Label) -> Action:
        """What the policy says; where the target is not known, the stricter of both."""
        target = self.target or (Target.RESPONSE if label.refusal is not None else None)
        targets = tuple(Target) if target is None else (target,)
        actions = (self.policy.action(label.verdict(one)) for one in targets)
        return max(actions, key=lambda action: action.rank)

    def _by_category(self, label: Label) -> str | None:
        if self.drops_refusals and label.refusal is not False and self._may_refuse(label):
            return "refusal" if label.refusal else "refusal_unknown"
        if self.drop and label.categories is None:
            return "categories_unknown"
        found = next((one for one in label.categories or () if one in self.drop), None)
        return None if found is None else f"category_{found.value}"

    def _may_refuse(self, label: Label) -> bool:
        return label.refusal is True or self.target is Target.RESPONSE

    def _by_probability(self, label: Label) -> str | None:
        if self.max_unsafe is None and self.max_flagged is None:
            return None
        scores = label.scores
        if scores is None:
            return "no_probability"
        # "not up to" rather than "above": NaN must not pass for a low one.
        if self.max_unsafe is not None and not scores.unsafe <= self.max_unsafe:
            return "p_unsafe"
        if self.max_flagged is not None and not scores.unsafe + scores.controversial <= self.max_flagged:
            return "p_flagged"
        return None


@dataclass(slots=True)
class Groups:
    """Answers to the same prompt, for choosing the prompts that have both kinds of answers.

    A prompt whose answers are all alike teaches a model nothing about the difference. Rows that were not judged say
    nothing of their group. About 100 bytes are kept for each group.
    """

    _seen: dict[bytes, int] = field(default_factory=dict)

    def note(self, group: object, *, passes: bool) -> None:
        """An answer, and whether the rules would keep it."""
        key = _key(group)
        self._seen[key] = self._seen.get(key, 0) | (1 if passes else 2)

    def reason(self, group: object) -> str | None:
        """Why the rows of this group are dropped; None for a mixed one."""
        return {0: NOT_JUDGED, 1: "group_all_pass", 2: "group_none_passes"}.get(self._seen.get(_key(group), 0))


def _key(group: object) -> bytes:
    return blake2b(dumps(group), digest_size=12).digest()


def _number(row: Mapping[str, object], name: str) -> float | None:
    value = row.get(name)
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DataError(f"The column {name} has something else in it than numbers.") from None


def _categories(value: object, head: str) -> tuple[Category, ...] | None:
    if value is None:
        return None
    names = value.split(";") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(one in _CATEGORIES for one in names):
        raise DataError(f"The column {head}categories has something else in it than categories.")
    return tuple(_CATEGORIES[one] for one in names)
