"""Some entries, compiled: an automaton of all their words, and their patterns. Does not change."""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain

from ahocorasick_rs import AhoCorasick, MatchKind

from ...core.list_entry import Entry, Kind, Side
from ...core.text_views.normal import normal_view
from .patterns import Patterns
from .whole import could_go_on, is_whole, is_whole_domain

__all__ = ["Segment", "plain_blanks", "terms_of"]

Found = tuple[Entry, bool, int, int]
"""An entry, whether an exception of it and not itself was found, and from where to where."""

_SHORT_CHARS = 2000
_WORD = re.compile(b"[A-Za-z0-9]+")
_PARTS = bytes(code if chr(code).isascii() and chr(code).isalnum() else 32 for code in range(256))
"""For `bytes.translate`: blanks for all that no word is made of."""
_ASCII_BLANKS, _OTHER_BLANKS = "\t\r\n\x0b\x0c\x1c\x1d\x1e\x1f", "\x85\u1680\u2028\u2029"


def plain_blanks(view: str) -> str:
    """The text with plain blanks for other white space, each in its place: the form in which words are compared."""
    # Looking for one character is a hundred times faster than looking at each.
    for blank in _ASCII_BLANKS if view.isascii() else _ASCII_BLANKS + _OTHER_BLANKS:
        if blank in view:
            view = view.replace(blank, " ")
    return view


def words_of(text: str) -> list[bytes] | None:
    """The words of a short ASCII text, such as most are; None for any other text."""
    if len(text) > _SHORT_CHARS or not text.isascii():
        return None
    return text.lower().encode().translate(_PARTS).split()


def terms_of(entry: Entry) -> list[str]:
    """What is looked for in a text for this entry: a domain is written in several ways."""
    if entry.kind is not Kind.DOMAIN:
        return [entry.text]
    spellings = [entry.text]
    with contextlib.suppress(UnicodeError):  # too long, or empty between two dots, in that form
        spellings.append(entry.text.encode("idna").decode())
    return [one.replace(".", dot) for one in dict.fromkeys(spellings) for dot in (".", "\u3002", "[.]")]


def _views(terms: Sequence[str]) -> list[str]:
    """The view of each term, blanks in a row being one; all in one call, which is much faster."""
    # A character is folded by itself, whatever stands beside it, and no term has a line break.
    views = normal_view("\n".join(terms)).text.split("\n") if terms else []
    return [" ".join(plain_blanks(view).split()) for view in views]


def _marks_of(terms: Iterable[str]) -> frozenset[bytes] | None:
    """For each term that an ASCII text may hold, a word that is in such a text wherever the term is: its longest.

    The term stands as whole words (`whole.is_whole`), so what is a word in it is one in the text. None where a term has
    no word at all, such as one of signs.
    """
    marks = set()
    for term in terms:
        if term.isascii():
            words = _WORD.findall(term.encode())
            if not words:
                return None
            marks.add(max(words, key=len))
    return frozenset(marks)


class Segment:
    """Entries, compiled. What has no view, such as a word of invisible characters, is left out."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        entries = list(entries)
        worded = [entry for entry in entries if entry.kind is not Kind.PATTERN]
        wanted = [(term, entry, False) for entry in worded for term in terms_of(entry)]
        wanted += [(term, entry, True) for entry in entries for term in entry.exceptions]
        owners: dict[str, list[tuple[Entry, bool]]] = {}
        for (_, entry, is_exception), view in zip(wanted, _views([term for term, _, _ in wanted]), strict=True):
            if view:
                owners.setdefault(view, []).append((entry, is_exception))
        self._terms = list(owners)
        self._owners = [tuple(found) for found in owners.values()]
        self.has_allowing = any(entry.side is Side.ALLOW for entry in entries)
        self._is_first_enough = [not any(entry.exceptions for entry, _ in found) for found in self._owners]
        self._automaton = AhoCorasick(self._terms, matchkind=MatchKind.Standard, store_patterns=False)
        self._patterns = Patterns([entry for entry in entries if entry.kind is Kind.PATTERN])
        self.has_patterns = bool(self._patterns)
        self._longest = max(map(len, self._terms), default=0)
        self._marks = _marks_of(self._terms)

    def words(self, view: str, *, firsts: bool) -> list[Found]:
        """The words found in a text of the form of `plain_blanks`.

        With `firsts`, of a word without exceptions only the first place: a text may be nothing but listed words.
        """
        matches = self._automaton.find_matches_as_indexes(view, overlapping=True)
        found: list[Found] = []
        done: set[int] = set()
        for index, start, end in matches:
            if index in done:
                continue
            are_all = firsts and self._is_first_enough[index]
            for entry, is_exception in self._owners[index]:
                stands = is_whole_domain if entry.kind is Kind.DOMAIN and not is_exception else is_whole
                if stands(view, start, end):
                    found.append((entry, is_exception, start, end))
                else:
                    are_all = False
            if are_all:
                done.add(index)
        return found

    def lacks(self, words: Sequence[bytes]) -> bool:
        """Whether it is plain that `words` finds nothing in a text with these words (`words_of`).

        So it is of most. The automaton is too large to stay in a processor's cache, and gives Python's lock away.
        """
        return self._marks is not None and self._marks.isdisjoint(words)

    def patterns(self, text: str) -> Iterator[Found]:
        """The patterns found in any text."""
        for entry, start, end in self._patterns.hits(text):
            yield entry, False, start, end

    def open_from(self, view: str) -> int:
        """From where on a text that goes on may become a hit, or the beginning of one; its length for nowhere."""
        ordered, first = self._ordered
        length = len(view)
        goes_on = could_go_on(view)
        for start in range(max(0, length - self._longest), length):
            if view[start] not in first or (start and not is_whole(view, start, length)):
                continue
            tail = view[start:]
            at = bisect_right(ordered, tail)
            is_begun = at < len(ordered) and ordered[at].startswith(tail)
            if is_begun or (goes_on and at and ordered[at - 1] == tail):
                return start
        return length

    @cached_property
    def _ordered(self) -> tuple[list[str], frozenset[str]]:
        """The terms in order, to find those that begin with a text; and their first characters."""
        return sorted(self._terms), frozenset(chain.from_iterable(term[0] for term in self._terms))
