"""The small numbers for closed sets in the tables. They never change their meaning; new ones go at the end."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.verdict import Action, Category, Coverage, Detail, PartRead, Severity, Target

__all__ = [
    "ACTIONS",
    "COVERAGES",
    "DETAILS",
    "NO_DECISION",
    "PARTS",
    "SEVERITIES",
    "TARGETS",
    "categories_of",
    "mask_of",
    "part_mask_of",
    "parts_of",
    "stored_name",
]

ACTIONS = (Action.ALLOW, Action.FLAG, Action.BLOCK)
NO_DECISION = 3
"""In the place of an action: the caller got an error."""
SEVERITIES = (Severity.SAFE, Severity.CONTROVERSIAL, Severity.UNSAFE)
TARGETS = (Target.PROMPT, Target.RESPONSE)
COVERAGES = (Coverage.FULL, Coverage.PARTIAL, Coverage.NONE)
DETAILS = (Detail.FULL, Detail.SEVERITY)
PARTS = (
    PartRead.TEXT,
    PartRead.CATEGORIES,
    PartRead.REFUSAL,
    PartRead.CUT,
    PartRead.CONTRADICTION,
    PartRead.PROBABILITIES,
    PartRead.WINDOWS,
)
_CATEGORIES = (
    Category.VIOLENT,
    Category.NON_VIOLENT_ILLEGAL_ACTS,
    Category.SEXUAL_CONTENT,
    Category.PII,
    Category.SUICIDE_SELF_HARM,
    Category.UNETHICAL_ACTS,
    Category.POLITICALLY_SENSITIVE_TOPICS,
    Category.COPYRIGHT_VIOLATION,
    Category.JAILBREAK,
)
_BITS = {one: 1 << place for place, one in enumerate(_CATEGORIES)}
_PART_BITS = {one: 1 << place for place, one in enumerate(PARTS)}


def mask_of(categories: Iterable[Category]) -> int:
    """A bit for each of the categories."""
    mask = 0
    for category in categories:
        mask |= _BITS[category]
    return mask


def categories_of(mask: int) -> tuple[Category, ...]:
    """The categories of a mask, in the model's order."""
    return tuple(category for category, bit in _BITS.items() if mask & bit)


def part_mask_of(parts: Iterable[PartRead]) -> int:
    """A bit for each of what is missing."""
    mask = 0
    for part in parts:
        mask |= _PART_BITS[part]
    return mask


def parts_of(mask: int) -> frozenset[PartRead]:
    """What was missing, of a mask."""
    return frozenset(part for part, bit in _PART_BITS.items() if mask & bit)


def stored_name(name: str) -> str:
    """A name as the tables can hold it: PostgreSQL has neither NUL nor half a character, and its columns an end."""
    return name.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:200]
