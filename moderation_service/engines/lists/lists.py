"""All lists of a service, by name: the `ListSource` of the moderator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import time

from ...core.list_entry import Entry
from ...core.listing import Attached, Hit, Listing, Places
from ...core.policy import Policy
from ...core.text_views.edits import Edit, Step, edited, edits_of
from ...core.text_views.letters import gaps_of_han, look_alikes
from ...core.text_views.normal import NormalView, normal_view
from ...core.verdict import Span, Target
from ...errors import ConfigurationError
from .matcher import Matcher, bad_entries
from .segment import Found, plain_blanks, words_of

__all__ = ["Lists"]

_RUNS = re.compile(" {2,}")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LATIN = re.compile("[A-Za-z\U0001f150-\U0001f1ff]")
_GAP = re.compile("[ ·.*_\\-|/,~•+#^=]")
_BLOCK_CHARS, _OVERLAP_CHARS = 32_768, 512
"""Look-alikes and gaps are looked for in so much of a text at a time, each block with some of those beside it: where
nothing is disguised that costs no more than a search, and what is disguised in one block makes others no dearer."""

View = tuple[str, Callable[[int, int], tuple[int, int]]]
"""A text as words are compared, and where in the given text a stretch of it comes from."""


class Lists:
    """Compares texts with lists. Safe to use from many threads while `put` gives a list other entries."""

    def __init__(self, lists: Mapping[str, Iterable[Entry]], *, now: Callable[[], float] = time) -> None:
        """Raises ConfigurationError that says where the entry stands at fault."""
        self._now = now
        self._matchers: dict[str, Matcher] = {}
        self._attached = Attached()
        for name, entries in lists.items():
            self.put(name, entries)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._matchers))

    def __getitem__(self, name: str) -> Matcher:
        return self._matchers[name]

    def names(self, policy: Policy) -> Sequence[str]:
        """The names of the lists that texts under this policy are compared with, those of the app that asks too."""
        attached = self._attached
        names = (*policy.lists, *attached.policies.get(policy.name, ()))
        if policy.app is None or not (own := (*policy.app.lists, *attached.apps.get(policy.app.name, ()))):
            return names
        return tuple(dict.fromkeys((*names, *own)))

    @property
    def attached(self) -> Attached:
        """The lists that count without being named."""
        return self._attached

    def attach(self, attached: Attached) -> None:
        """Have texts compared with these lists too, besides those that policies and apps name."""
        self._attached = attached

    def put(self, name: str, entries: Iterable[Entry]) -> None:
        """Give the list of this name these entries. Raises ConfigurationError that says which is at fault."""
        entries = list(entries)
        known = self._matchers.get(name)
        before = {entry.id: entry for entry in known} if known is not None else {}
        new = (entry for entry in entries if (old := before.get(entry.id)) is not entry and old != entry)
        for entry, reason in bad_entries(new):
            raise ConfigurationError(f"{entry.origin or f'list {name}, entry {entry.id}'}: {reason}.")
        # One assignment: who reads sees the list as it was or as it is.
        self._matchers[name] = Matcher(entries) if known is None else known.edited(entries)

    def remove(self, name: str) -> None:
        """Forget a list; policies that name it do without it."""
        self._matchers.pop(name, None)

    def find(self, names: Sequence[str], target: Target, text: str, *, is_open: bool = False) -> Listing | None:
        """What the lists of these names say of a text; None for nothing."""
        words = words_of(text)
        compared = []
        for one in self._named(names):
            has_words = words is None or not one.lacks(words)
            if has_words or one.has_patterns:
                compared.append((one, has_words))
        if not compared:
            return None
        text = _encodable(text)
        normal = normal_view(text)
        views = _views(text, normal)
        # Where nothing is allowed or excepted, the first place of a word decides as all of them would.
        firsts = True
        for one, _ in compared:
            firsts = firsts and not one.has_allowing
        hits: list[Hit] = []
        for one, has_words in compared:
            found = _found(one, text, normal, views if has_words else (), firsts=firsts)
            if found:
                hits += self._hits(found, target)
        if hits and is_open:
            end = _open_from(self._named(names), views[0], len(text))
            hits = [hit for hit in hits if hit.span.start < end]
        return Listing.of(hits) if hits else None

    def held_from(self, names: Sequence[str], text: str) -> int:
        """The offset from which on an open text may become a hit; its length if none of it."""
        text = _encodable(text)
        return _open_from(self._named(names), _view(normal_view(text)), len(text))

    def _named(self, names: Sequence[str]) -> list[Matcher]:
        return [matcher for name in names if (matcher := self._matchers.get(name)) is not None]

    def _hits(self, found: Iterable[Found], target: Target) -> list[Hit]:
        """What counts of what one list has found."""
        words: dict[tuple[str, int, int], Hit] = {}
        exceptions: dict[str, list[Span]] = {}
        for entry, is_exception, start, end in found:
            if is_exception:
                exceptions.setdefault(entry.id, []).append(Span(start, end))
            elif target in entry.targets:
                words.setdefault((entry.id, start, end), Hit(entry, Span(start, end)))
        if not words:
            return []
        now = self._now()
        places = {key: Places(spans) for key, spans in exceptions.items()}
        return [
            hit
            for hit in words.values()
            if (hit.entry.expires_at is None or now < hit.entry.expires_at)
            and not (hit.entry.id in places and places[hit.entry.id].cover(hit.span))
        ]


def _found(matcher: Matcher, text: str, normal: NormalView, views: Sequence[View], *, firsts: bool) -> list[Found]:
    """All that is found in any view of a text, with places in the text."""
    found: list[Found] = []
    for view, origin in views:
        words = matcher.words(view, firsts=firsts)
        if words:
            found += _placed(words, origin)
    if matcher.has_patterns:
        found += matcher.patterns(text)
        if normal.text != text and not text.isascii():
            found += _placed(matcher.patterns(normal.text), normal.origin)
    return found


def _views(text: str, normal: NormalView) -> list[View]:
    """The text in its normal form; and, where letters look like others or are torn apart, as it is meant."""
    views = [_view(normal)]
    if text.isascii():
        return views
    meant, steps = text, []
    for mark, undo in ((_LATIN, look_alikes), (_GAP, gaps_of_han)):
        # Nothing is mixed or torn apart without these, and looking for them costs much less.
        edits = _in_blocks(undo, meant) if mark.search(meant) else []
        if edits:
            meant, step = edited(meant, edits)
            steps.append(step)
    if steps:
        view, origin = _view(normal_view(meant))
        views.append((view, lambda start, end: _back(steps, origin(start, end))))
    return views


def _in_blocks(undo: Callable[[str], list[Edit]], text: str) -> list[Edit]:
    """The edits of a text, each found in the block in which it begins."""
    if len(text) <= _BLOCK_CHARS:
        return undo(text)
    edits: list[Edit] = []
    done = 0
    for start in range(0, len(text), _BLOCK_CHARS):
        first, end = max(0, start - _OVERLAP_CHARS), start + _BLOCK_CHARS
        for from_, to, new in undo(text[first : end + _OVERLAP_CHARS]):
            if max(start, done) <= first + from_ < end:
                done = first + to
                edits.append((first + from_, done, new))
    return edits


def _view(normal: NormalView) -> View:
    """The normal view, blanks in a row being one."""
    view = plain_blanks(normal.text)
    if "  " not in view:
        return view, normal.origin
    short, step = edited(view, edits_of(_RUNS, view, lambda match: " "))
    return short, lambda start, end: normal.origin(*step.back((start, end)))


def _back(steps: Sequence[Step], place: tuple[int, int]) -> tuple[int, int]:
    for step in reversed(steps):
        place = step.back(place)
    return place


def _placed(found: Iterable[Found], origin: Callable[[int, int], tuple[int, int]]) -> Iterator[Found]:
    for entry, is_exception, start, end in found:
        yield entry, is_exception, *origin(start, end)


def _open_from(matchers: Sequence[Matcher], view: View, length: int) -> int:
    text, origin = view
    start = min((matcher.open_from(text) for matcher in matchers), default=len(text))
    return origin(start, start + 1)[0] if start < len(text) else length


def _encodable(text: str) -> str:
    """The text without lone halves of surrogate pairs, which no library takes."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text
