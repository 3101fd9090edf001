"""Patterns of entries, by RE2: its time is linear in the text, whatever the pattern.

One set for many patterns says which of them are in a text, then each of these says where. Case does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import re2

from ...core.list_entry import Entry, Side

__all__ = ["Patterns", "pattern_fault"]

_SET_SIZE = 200
_SET_MEMORY_BYTES = 64 * 1024 * 1024
_MEMORY_BYTES = 4 * 1024 * 1024
_MOST_HITS = 20
"""Of one pattern in one text: a pattern that ends late may look through the rest of the text for each of its hits."""
Compiled = tuple[Entry, Any]
_ADVICE = "it is RE2's syntax, without look-around, back references, and repeats above 1000"


def _options(memory: int) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = memory
    return options


def pattern_fault(pattern: str) -> str | None:
    """Why RE2 can't use this pattern, or nobody should; None if it can."""
    try:
        compiled = re2.compile(pattern, _options(_MEMORY_BYTES))
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return f"the pattern is refused: {shown}; {_ADVICE}"
    return "the pattern matches an empty text, and so every text" if compiled.search("") else None


class Patterns:
    """The patterns of some entries. Raises re2.error for one that `pattern_fault` objects to."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        options = _options(_MEMORY_BYTES)
        patterns = [(entry, re2.compile(entry.text, options)) for entry in entries]
        parts = (patterns[first : first + _SET_SIZE] for first in range(0, len(patterns), _SET_SIZE))
        self._sets = [one for part in parts for one in _sets(part)]

    def __bool__(self) -> bool:
        return bool(self._sets)

    def hits(self, text: str) -> Iterator[tuple[Entry, int, int]]:
        """Each entry whose pattern is in the text, and where: 20 of one entry at most.

        The last of these goes to the end of the text for a block entry, so that none behind it is missed. What an
        allow entry allows is never more than it says.
        """
        for one, patterns in self._sets:
            for index in one.Match(text) or ():
                entry, pattern = patterns[index]
                for number, match in enumerate(pattern.finditer(text), start=1):
                    start, end = match.span()
                    if start == end:
                        continue
                    is_exact = number < _MOST_HITS or entry.side is Side.ALLOW
                    yield entry, start, end if is_exact else len(text)
                    if number == _MOST_HITS:
                        break


def _sets(patterns: Sequence[Compiled]) -> list[tuple[Any, Sequence[Compiled]]]:
    """Sets of the patterns, each with those in it: of large patterns not so many fit into the memory of one."""
    one = re2.Set.SearchSet(_options(_SET_MEMORY_BYTES))
    for entry, _ in patterns:
        one.Add(entry.text)
    try:
        one.Compile()
    except re2.error:
        if len(patterns) == 1:
            raise
        half = len(patterns) // 2
        return [*_sets(patterns[:half]), *_sets(patterns[half:])]
    return [(one, patterns)]
