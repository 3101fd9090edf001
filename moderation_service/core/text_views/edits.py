"""Replacing stretches of a text so that places in the new one can be found in the old one. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from re import Match, Pattern

__all__ = ["Edit", "Step", "edited", "edits_of"]

Edit = tuple[int, int, str]
"""A stretch, from and up to, and what takes its place."""
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """Which stretches of a text became which of the next one.

    Parallel and in order; what lies between them is the same in both. A place inside a stretch stands for all of it.
    """

    before: tuple[Place, ...]
    after: tuple[Place, ...]

    def back(self, place: Place) -> Place:
        """A place of the text after the step in the text before it."""
        return _carried(place, self.after, self.before)

    def forth(self, place: Place) -> Place:
        """A place of the text before the step in the text after it."""
        return _carried(place, self.before, self.after)


def edited(text: str, edits: Iterable[Edit]) -> tuple[str, Step]:
    """The text with the edits made, which must be in order and apart from each other."""
    parts: list[str] = []
    before: list[Place] = []
    after: list[Place] = []
    done = length = 0
    for start, end, new in edits:
        parts += (text[done:start], new)
        length += start - done
        before.append((start, end))
        after.append((length, length + len(new)))
        length += len(new)
        done = end
    parts.append(text[done:])
    return "".join(parts), Step(tuple(before), tuple(after))


def edits_of(pattern: Pattern[str], text: str, change: Callable[[Match[str]], str | None]) -> list[Edit]:
    """An edit for each match that `change` makes something else of; None leaves it."""
    found = []
    for match in pattern.finditer(text):
        new = change(match)
        if new is not None and new != match.group():
            found.append((match.start(), match.end(), new))
    return found


def _carried(place: Place, own: tuple[Place, ...], other: tuple[Place, ...]) -> Place:
    start, end = place
    first = _carried_character(start, own, other)
    return first[0], _carried_character(end - 1, own, other)[1] if end > start else first[0]


def _carried_character(at: int, own: tuple[Place, ...], other: tuple[Place, ...]) -> Place:
    """The place on the other side of the character at `at`: that of its stretch if it lies in one."""
    index = bisect_right(own, at, key=lambda one: one[0]) - 1
    if index >= 0 and at < own[index][1]:
        return other[index]
    shift = other[index][1] - own[index][1] if index >= 0 else 0
    return at + shift, at + shift + 1
