"""Sums over time, from the hourly ones that are kept beside the records: thirty days in milliseconds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, func, select

from ..core.verdict import Category
from .codes import ACTIONS, NO_DECISION, categories_of
from .schema import latencies, names, rollup
from .writing import BUCKETS_MS, DAY_MS, HOUR_MS

__all__ = ["Overview", "Sums", "Usage", "checks", "overview", "usage"]

_SUMS = ("n", "degraded", "cached", "chars", "latency_ms")
_ACTIONS = NO_DECISION + 1
_WORDS = {**{place: action.value for place, action in enumerate(ACTIONS)}, NO_DECISION: "error"}

_Group = TypeVar("_Group")


class _Key(NamedTuple):
    """What a row of sums is of: the beginning of its step of time, and the numbers of an app, a door and an action."""

    at: int
    app: int
    door: int
    action: int


_Found = Mapping[_Key, Sequence[float]]
"""Sums in the order of `_SUMS`."""


@dataclass(slots=True)
class Sums:
    """Checks of one stretch of time, one app, one door or one category, by what was done.

    `actions` has allow, flag, block and error; `chars` are the characters that were judged.
    """

    actions: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    cached: int = 0
    chars: int = 0
    latency_ms: float = 0.0

    def add(self, action: int, sums: Sequence[float]) -> None:
        """Add the sums of one action, in the order of the table's columns."""
        n, degraded, cached, chars, latency_ms = sums
        self.actions[_WORDS[action]] += int(n)
        self.degraded += int(degraded)
        self.cached += int(cached)
        self.chars += int(chars)
        self.latency_ms += latency_ms

    @property
    def checks(self) -> int:
        """All of them."""
        return self.actions.total()

    @property
    def mean_ms(self) -> float | None:
        """The mean time of those with a decision."""
        decided = self.checks - self.actions["error"]
        return self.latency_ms / decided if decided else None


@dataclass(frozen=True, slots=True)
class Overview:
    """What happened from `since` to `until`; times in milliseconds, in steps of an hour or a day.

    `quantiles_ms` are upper bounds of the latency's 50, 95 and 99 per cent; empty without decisions. Of `categories`
    there are the actions only.
    """

    since: int
    until: int
    step: int
    total: Sums
    steps: Mapping[int, Sums]
    apps: Mapping[str, Sums]
    doors: Mapping[str, Sums]
    categories: Mapping[Category, Sums]
    quantiles_ms: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one app asked for on one day (UTC, its first millisecond)."""

    day: int
    app: str
    door: str
    sums: Sums


def overview(connection: Connection, *, since: int, until: int, app: str | None = None) -> Overview:
    """The sums of the hours from that of `since` on, before `until`; by hours up to two days, else by days."""
    step = HOUR_MS if until - since <= 2 * DAY_MS else DAY_MS
    words = _names(connection)
    which = _which(since, until, _numbers(words, app))
    # Two questions: one with the categories too would hand over a row for nearly every one that it reads.
    found = _sums(connection, which, words, first=since - since % step, step=step)
    return Overview(
        since,
        until,
        step,
        total=_added(found, lambda key: None).get(None, Sums()),
        steps=dict(sorted(_added(found, lambda key: key.at).items())),
        apps=_added(found, lambda key: words[key.app]),
        doors=_added(found, lambda key: words[key.door]),
        categories=_categories(connection, which),
        quantiles_ms=_quantiles(connection, since, until),
    )


def checks(connection: Connection, *, since: int, until: int) -> int:
    """How many there were, where nothing else of an overview is wanted."""
    statement = select(func.coalesce(func.sum(rollup.c.n), 0)).where(*_which(since, until, None))
    return int(connection.execute(statement).scalar_one())


def usage(connection: Connection, *, since: int, until: int, app: str | None = None) -> Sequence[Usage]:
    """By day, app and door, the oldest first."""
    words = _names(connection)
    which = _which(since, until, _numbers(words, app))
    sums = _sums(connection, which, words, first=since - since % DAY_MS, step=DAY_MS)
    found = _added(sums, lambda key: (key.at, words[key.app], words[key.door]))
    return [Usage(*key, found[key]) for key in sorted(found)]


def _names(connection: Connection) -> defaultdict[int, str]:
    """Those of apps and doors by number; empty for one that came after this question."""
    statement = select(names.c.id, names.c.name).where(names.c.kind.in_(("app", "door")))
    return defaultdict(str, {row.id: row.name for row in connection.execute(statement)})


def _numbers(words: Mapping[int, str], app: str | None) -> Sequence[int] | None:
    # A name may stand for an app and for a door; the numbers of doors are no app's.
    return None if app is None else [number for number, word in words.items() if word == app]


def _which(since: int, until: int, app: Sequence[int] | None) -> Sequence[ColumnElement[bool]]:
    """The rows of these hours, and of these apps."""
    table = rollup.c
    found = [table.hour >= since - since % HOUR_MS, table.hour < until]
    return found if app is None else [*found, table.app.in_(app)]


def _sums(
    connection: Connection,
    which: Iterable[ColumnElement[bool]],
    words: Mapping[int, str],
    *,
    first: int,
    step: int,
) -> _Found:
    """The sums by steps of time from `first` on, app, door and action.

    All four are one number to the database: SQLite sorts what it groups, and one number in half the time of four.
    """
    table, size = rollup.c, max(words, default=0) + 1
    packed = (((table.hour - first) // step * size + table.app) * size + table.door) * _ACTIONS + table.action
    statement = select(packed.label("packed"), *(func.sum(table[name]) for name in _SUMS))
    # Names that came meanwhile have no place in the number.
    statement = statement.where(*which, table.app < size, table.door < size).group_by("packed")
    found: dict[_Key, Sequence[float]] = {}
    for number, *sums in connection.execute(statement):
        rest, action = divmod(int(number), _ACTIONS)
        rest, door = divmod(rest, size)
        place, of_app = divmod(rest, size)
        found[_Key(first + place * step, of_app, door, action)] = sums
    return found


def _added(found: _Found, group: Callable[[_Key], _Group]) -> dict[_Group, Sums]:
    """The sums of each group, which a key is in."""
    groups: dict[tuple[_Group, int], list[float]] = {}
    for key, sums in found.items():
        place = group(key), key.action
        own = groups.get(place)
        groups[place] = list(sums) if own is None else [one + more for one, more in zip(own, sums, strict=True)]
    added: defaultdict[_Group, Sums] = defaultdict(Sums)
    for (name, action), sums in groups.items():
        added[name].add(action, sums)
    return added


def _categories(connection: Connection, which: Iterable[ColumnElement[bool]]) -> dict[Category, Sums]:
    """The actions by category; most checks have none, and are not looked at."""
    table = rollup.c
    packed = (table.categories * _ACTIONS + table.action).label("packed")
    statement = select(packed, func.sum(table.n)).where(*which, table.categories != 0).group_by("packed")
    found: defaultdict[Category, Sums] = defaultdict(Sums)
    for number, n in connection.execute(statement):
        mask, action = divmod(int(number), _ACTIONS)
        for category in categories_of(mask):
            found[category].actions[_WORDS[action]] += int(n)
    return found


def _quantiles(connection: Connection, since: int, until: int) -> dict[int, float]:
    table = latencies.c
    statement = select(table.bucket, func.sum(table.n)).where(table.hour >= since - since % HOUR_MS, table.hour < until)
    found = {int(bucket): int(n) for bucket, n in connection.execute(statement.group_by(table.bucket))}
    counts = [found.get(place, 0) for place in range(len(BUCKETS_MS) + 1)]
    total = sum(counts)
    if not total:
        return {}
    bounds = (*BUCKETS_MS, float("inf"))
    reached = list(accumulate(counts))
    return {
        per_cent: next(bound for bound, n in zip(bounds, reached, strict=True) if n * 100 >= total * per_cent)
        for per_cent in (50, 95, 99)
    }
