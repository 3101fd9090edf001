"""One list, compiled, of which some entries are new.

Compiling a hundred thousand entries takes half a second, in which other threads stand still for a good part. So an
edit compiles only what is new since the last time, beside the big part, and names what of that counts no more. When
there is much new, all is compiled together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...core.list_entry import Entry, Kind
from ...core.text_views.normal import normal_view
from .patterns import pattern_fault
from .segment import Found, Segment, terms_of

__all__ = ["Matcher", "bad_entries"]

_MOST_NEW = 2000


def bad_entries(entries: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    """The entries that nothing can be compared with, and why."""
    for entry in entries:
        reason = pattern_fault(entry.text) if entry.kind is Kind.PATTERN else None
        if entry.kind is not Kind.PATTERN and not all(normal_view(term).text.strip() for term in terms_of(entry)):
            reason = "the text has no character that can be seen"
        if reason is not None:
            yield entry, reason


class Matcher:
    """The entries of one list, ready to be compared with texts. Does not change: `edited` makes another one."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {entry.id: entry for entry in entries}
        self._old = self._entries
        self._segments: tuple[Segment, ...] = (Segment(self._entries.values()),)
        self._gone: frozenset[str] = frozenset()
        self._note_kinds()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def edited(self, entries: Iterable[Entry]) -> Matcher:
        """The list with these entries instead; itself if nothing has changed."""
        wanted = {entry.id: entry for entry in entries}
        if wanted == self._entries:
            return self
        new = [one for one in wanted.values() if (old := self._old.get(one.id)) is not one and old != one]
        if len(new) > _MOST_NEW:
            return Matcher(wanted.values())
        made = object.__new__(Matcher)
        made._entries, made._old = wanted, self._old
        made._gone = frozenset(
            key for key, old in self._old.items() if (one := wanted.get(key)) is not old and one != old
        )
        made._segments = (self._segments[0], Segment(new)) if new else (self._segments[0],)
        made._note_kinds()
        return made

    def lacks(self, words: Sequence[bytes]) -> bool:
        """Whether it is plain that `words` finds nothing in a text with these words (`segment.words_of`)."""
        first, *more = self._segments
        return first.lacks(words) and (not more or all(one.lacks(words) for one in more))

    def words(self, view: str, *, firsts: bool = False) -> Iterable[Found]:
        """The words found in a text of the form of `segment.plain_blanks`; `firsts` as there."""
        if len(self._segments) == 1 and not self._gone:
            return self._segments[0].words(view, firsts=firsts)
        return self._counted(segment.words(view, firsts=firsts) for segment in self._segments)

    def patterns(self, text: str) -> Iterator[Found]:
        """The patterns found in a text."""
        return self._counted(segment.patterns(text) for segment in self._segments)

    def open_from(self, view: str) -> int:
        """From where on a text that goes on may become a hit; see `Segment`."""
        return min(segment.open_from(view) for segment in self._segments)

    def _note_kinds(self) -> None:
        """What kinds of entries there are, for those who ask that of each text."""
        self.has_patterns = any(segment.has_patterns for segment in self._segments)
        """Whether some entries are patterns."""
        self.has_allowing = any(segment.has_allowing for segment in self._segments)
        """Whether some entries may be allow entries."""

    def _counted(self, found: Iterable[Iterable[Found]]) -> Iterator[Found]:
        for number, hits in enumerate(found):
            for hit in hits:
                if number or hit[0].id not in self._gone:
                    yield hit
