"""Sums over time, from the hourly ones that are kept beside the records: thirty days in milliseconds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from ..core.verdict import Category
from .codes import ACTIONS, NO_DECISION, categories_of
from .schema import latencies, names, rollup
from .writing import BUCKETS_MS, DAY_MS, HOUR_MS

__all__ = ["Overview", "Sums", "Usage", "overview", "usage"]

_SUMS = ("n", "degraded", "cached", "chars", "latency_ms")
_WORDS = {**{place: action.value for place, action in enumerate(ACTIONS)}, NO_DECISION: "error"}


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

    def add(self, row: Row[Any]) -> None:
        """Add a row of sums."""
        self.actions[_WORDS[row.action]] += int(row.n)
        self.degraded += int(row.degraded)
        self.cached += int(row.cached)
        self.chars += int(row.chars)
        self.latency_ms += float(row.latency_ms)

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

    `quantiles_ms` are upper bounds of the latency's 50, 95 and 99 per cent; empty without decisions.
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
    steps: defaultdict[int, Sums] = defaultdict(Sums)
    apps: defaultdict[str, Sums] = defaultdict(Sums)
    doors: defaultdict[str, Sums] = defaultdict(Sums)
    categories: defaultdict[Category, Sums] = defaultdict(Sums)
    total = Sums()
    asked: dict[str, Any] = {"since": since, "until": until, "app": _numbers(words, app)}
    # Two sums: one with the categories too would hand over a row for nearly every one that it reads.
    for row in _rows(connection, step=step, by=["app", "door"], **asked):
        for one in (total, steps[int(row.at)], apps[words[row.app]], doors[words[row.door]]):
            one.add(row)
    for row in _rows(connection, by=["categories"], **asked):
        for category in categories_of(row.categories):
            categories[category].add(row)
    quantiles = _quantiles(connection, since, until)
    return Overview(since, until, step, total, dict(sorted(steps.items())), apps, doors, categories, quantiles)


def usage(connection: Connection, *, since: int, until: int, app: str | None = None) -> Sequence[Usage]:
    """By day, app and door, the oldest first."""
    words = _names(connection)
    found: defaultdict[tuple[int, str, str], Sums] = defaultdict(Sums)
    asked: dict[str, Any] = {"since": since, "until": until, "app": _numbers(words, app)}
    for row in _rows(connection, step=DAY_MS, by=["app", "door"], **asked):
        found[int(row.at), words[row.app], words[row.door]].add(row)
    return [Usage(*key, found[key]) for key in sorted(found)]


def _names(connection: Connection) -> dict[int, str]:
    statement = select(names.c.id, names.c.name).where(names.c.kind.in_(("app", "door")))
    return {row.id: row.name for row in connection.execute(statement)}


def _numbers(words: Mapping[int, str], app: str | None) -> Sequence[int] | None:
    # A name may stand for an app and for a door; the numbers of doors are no app's.
    return None if app is None else [number for number, word in words.items() if word == app]


def _rows(
    connection: Connection,
    *,
    since: int,
    until: int,
    app: Sequence[int] | None,
    step: int | None = None,
    by: Sequence[str] = (),
) -> Iterable[Row[Any]]:
    """The sums by action and these columns, and by the beginning of each step of time (`at`)."""
    table = rollup.c
    keys: list[ColumnElement[Any]] = [table.action, *(table[name] for name in by)]
    if step is not None:
        keys.append((table.hour - table.hour % step).label("at"))
    sums = (func.sum(table[name]).label(name) for name in _SUMS)
    statement = select(*keys, *sums).where(table.hour >= since - since % HOUR_MS, table.hour < until)
    if app is not None:
        statement = statement.where(table.app.in_(app))
    return connection.execute(statement.group_by(*keys))


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
