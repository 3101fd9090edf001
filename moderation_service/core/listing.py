"""What the lists say of one text, and what becomes of a decision by it. No I/O.

A block entry decides before the engine, which is then not asked. An entry that flags makes a decision no milder than a
flag. An allow entry excuses what the engine objects to, if that lies in the entry's hits, or if these are all of the
text: it changes the action and nothing else.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from .conversation import says_nothing
from .list_entry import Entry, Side
from .policy import Policy
from .verdict import Action, ListedBy, Severity, Span, Target, Verdict

__all__ = ["ENGINE", "Attached", "Excuse", "Hit", "ListSource", "Listing", "Places", "listed_verdict"]

ENGINE = "lists"
"""What a decision by a list names as its engine."""
_FEW_MARKS = 8


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry, and where in the text it was found."""

    entry: Entry
    span: Span

    @property
    def listed_by(self) -> ListedBy:
        """What a reply says of it."""
        entry = self.entry
        return ListedBy(entry.list_name, entry.id, entry.side.value, entry.reason, self.span)


@dataclass(frozen=True, slots=True)
class Excuse:
    """The hit by which a verdict is excused. `rest` is what else stands in the text and is yet to be judged alone."""

    hit: Hit
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What the lists say of one text: the hit that blocks it, the hit that flags it, and those that allow something."""

    block: Hit | None = None
    flag: Hit | None = None
    allowed: tuple[Hit, ...] = ()

    @classmethod
    def of(cls, hits: Sequence[Hit]) -> Listing:
        """Of several hits the first counts, and of those that begin there the longest.

        A block entry's hit in a longer one of an allow entry counts for nothing: the engine is asked.
        """
        allowed = tuple(hit for hit in hits if hit.entry.side is Side.ALLOW)
        blocking = [hit for hit in hits if hit.entry.side is Side.BLOCK]
        if allowed:
            places = Places([hit.span for hit in allowed])
            blocking = [hit for hit in blocking if not places.exceed(hit.span)]
        blocking.sort(key=lambda hit: (hit.span.start, -hit.span.end, hit.entry.list_name, hit.entry.id))
        return cls(
            next((hit for hit in blocking if hit.entry.action is Action.BLOCK), None),
            next((hit for hit in blocking if hit.entry.action is Action.FLAG), None),
            allowed,
        )

    def excuse(self, verdict: Verdict, text: str) -> Excuse | None:
        """The excuse for what this verdict says of the text, if there is one."""
        if not self.allowed or verdict.failure is not None:
            return None
        places = _merged(self.allowed)
        rest = _without(text, places)
        if _shows_nothing(rest):
            return Excuse(self.allowed[0], rest if _may_say_something(rest) else "")
        span = verdict.span
        if span is None or not any(place.start <= span.start and span.end <= place.end for place in places):
            return None
        first = next(hit for hit in self.allowed if hit.span.start < span.end and span.start < hit.span.end)
        return Excuse(first, rest)


class Places:
    """Stretches of a text, to ask which others lie in one of them."""

    def __init__(self, spans: Iterable[Span]) -> None:
        ordered = sorted((span.start, span.end) for span in spans)
        self._starts = [start for start, _ in ordered]
        self._ends = list(accumulate((end for _, end in ordered), max))

    def cover(self, span: Span) -> bool:
        """Whether it lies in one of them."""
        return self._end(bisect_right(self._starts, span.start)) >= span.end

    def exceed(self, span: Span) -> bool:
        """Whether it lies in one that is longer."""
        longer = self._end(bisect_right(self._starts, span.start)) > span.end
        return longer or self._end(bisect_left(self._starts, span.start)) >= span.end

    def _end(self, count: int) -> int:
        return self._ends[count - 1] if count else -1


@dataclass(frozen=True, slots=True)
class Attached:
    """The lists that count without being named: by policy, and by app."""

    policies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    apps: Mapping[str, Sequence[str]] = field(default_factory=dict)


class ListSource(Protocol):
    """Compares texts with lists. Safe to use from many threads; never raises for a text."""

    def names(self, policy: Policy) -> Sequence[str]:
        """The names of the lists that texts under this policy are compared with, those of the app that asks too."""

    def find(self, names: Sequence[str], target: Target, text: str, *, is_open: bool) -> Listing | None:
        """What the lists of these names say of a text; None for nothing.

        `is_open`: more text will follow. What that could change is left out then.
        """

    def held_from(self, names: Sequence[str], text: str) -> int:
        """The offset from which on an open text may become a hit; its length if none of it."""


def listed_verdict(hit: Hit, target: Target) -> Verdict:
    """The verdict on a text that a block entry stands in."""
    entry = hit.entry
    categories = () if entry.category is None else (entry.category,)
    return Verdict(target, Severity.UNSAFE, categories, None, None, ENGINE, entry.list_name, span=hit.span)


def _merged(hits: Sequence[Hit]) -> list[Span]:
    places: list[Span] = []
    for span in sorted((hit.span for hit in hits), key=lambda span: span.start):
        if places and span.start <= places[-1].end:
            places[-1] = Span(places[-1].start, max(places[-1].end, span.end))
        else:
            places.append(span)
    return places


def _without(text: str, places: Sequence[Span]) -> str:
    parts, done = [], 0
    for place in places:
        parts.append(text[done : place.start])
        done = place.end
    parts.append(text[done:])
    return " ".join(parts)


def _shows_nothing(text: str) -> bool:
    """Whether there is nothing but white space, invisible characters and punctuation."""
    return all(char.isspace() or unicodedata.category(char)[0] in "PCZ" for char in text)


def _may_say_something(text: str) -> bool:
    """Whether a model may read something in it all the same: letters in invisible tags, Morse code."""
    marks = "".join(text.split())
    return not says_nothing(text) and (len(marks) > _FEW_MARKS or not marks.isprintable())
