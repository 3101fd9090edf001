"""Batches of records into the database: decisions, texts and hourly sums in one transaction."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import attrgetter
from time import sleep
from typing import Any

from sqlalchemy import Connection, Table, exc, func, select
from sqlalchemy.dialects import postgresql, sqlite

from ..core.policy import Policy
from .codes import stored_name
from .database import Database, insert_new
from .housekeeping import Housekeeping
from .record import Record
from .schema import decisions, latencies, names, policy_versions, rollup, shadow_decisions, texts
from .trail import now_ms

__all__ = ["BUCKETS_MS", "DAY_MS", "HOUR_MS", "DatabaseSink"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BUCKETS_MS = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 5000, 10_000, 30_000)
"""Upper bounds of the buckets of `latencies`; one more is for what took longer."""
# What callers can make up, such as the names of tools, must not fill the table.
_MOST_NAMES = 10_000
_OTHER = "(other)"
_NAMED = ("app", "key", "door", "engine", "model", "tool", "reason", "error")
_SUM_KEYS = ("hour", "app", "door", "action", "categories")
_SUMS = ("n", "degraded", "cached", "chars", "latency_ms")
# The latter are what can't even be sent: numbers without end, text that is no Unicode.
_REFUSED = (exc.IntegrityError, exc.DataError, exc.StatementError, OverflowError, ValueError)
_MOST_PER_STATEMENT = 64
_SLICE, _BREATH_S = 128, 0.0002

# A row is a record with numbers for names, in the order of the table's columns.
_COLUMNS = tuple(column.name for column in decisions.columns if column.name != "id")
_SHADOW_COLUMNS = ("decision_id", "policy", "action", "at")
_APP, _TARGET, _POLICY, _DEGRADED, _TEXT_HASH, _LIST_ENTRY, _SHADOW = map(
    Record._fields.index, ("app", "target", "policy", "degraded", "text_hash", "list_entry", "shadow")
)
Row = tuple[Any, ...]
Numbers = Mapping[str, Mapping["str | None", "int | None"]]
"""By kind the numbers of names; that of None is None."""
Versions = Mapping[tuple[str, str], int]
Policies = Callable[[str, str], "Policy | None"]


class DatabaseSink:
    """The `Sink` of a recorder. Used by one thread of each process."""

    def __init__(self, database: Database, *, records_days: int) -> None:
        self._database = database
        self._housekeeping = Housekeeping(database, records_days=records_days)
        self._names: Numbers = {kind: {None: None} for kind in _NAMED}
        self._versions: Versions = {}

    def write(self, records: Sequence[Record], policies: Policies, *, again: bool) -> int:
        """Write them, all or none; one that the database refuses for good is left out."""
        try:
            self._write(records, policies, again=again)
        except _REFUSED:
            return sum(self._is_refused(one, policies) for one in records)
        return 0

    def look_after(self) -> bool:
        """Delete a part of what is over its time."""
        return self._housekeeping.step()

    def close(self) -> None:
        """Close the connections of this process."""
        self._database.close()

    def _is_refused(self, record: Record, policies: Policies) -> bool:
        try:
            self._write([record], policies, again=True)
        except _REFUSED:
            return True
        return False

    def _write(self, records: Sequence[Record], policies: Policies, *, again: bool) -> None:
        with self._database.write() as connection:
            if again:
                records = _missing(connection, records)
            known, versions, lasting = self._numbers(connection, records, policies)
            rows: list[Row] = []
            for first in range(0, len(records), _SLICE):
                if first:
                    # A thread with a request waits for Python's lock: it would be given it after 5 ms only.
                    sleep(_BREATH_S)
                rows += _rows(records[first : first + _SLICE], known, versions)
            _insert(connection, decisions, _COLUMNS, rows, unless="decision_id")
            insert_new(connection, texts, [_text(one) for one in records if one.kept], unless=["decision_id"])
            shadows = _shadows(records, versions)
            _insert(connection, shadow_decisions, _SHADOW_COLUMNS, shadows, unless="decision_id, policy")
            _add(connection, records, known)
        # Only now are the numbers of new names sure to stay.
        self._names, self._versions = lasting, versions

    def _numbers(
        self, connection: Connection, records: Sequence[Record], policies: Policies
    ) -> tuple[Numbers, Versions, Numbers]:
        """The numbers of these records' names and policies, and the names that are worth to be remembered."""
        known, versions, lasting = self._names, self._versions, self._names
        wanted = {kind: set(map(attrgetter(kind), records)) - known[kind].keys() for kind in _NAMED}
        new = [(kind, name) for kind, of_kind in wanted.items() for name in of_kind]
        if new:
            learnt, full = _learnt(connection, new)
            known = {kind: {**numbers, **learnt.get(kind, {})} for kind, numbers in known.items()}
            # What callers can make up must not fill the memory either.
            lasting = {kind: {**lasting[kind], **full[kind]} if kind in full else known[kind] for kind in known}
        new_versions = {(one.policy, one.policy_version) for one in records}
        new_versions |= {(name, version) for one in records for name, version, _ in one.shadow}
        new_versions -= versions.keys()
        if new_versions:
            versions = {**versions, **_learnt_versions(connection, new_versions, policies)}
        return known, versions, lasting


def _missing(connection: Connection, records: Sequence[Record]) -> list[Record]:
    """Those that an attempt which seemed to fail did not bring in."""
    ids = [one.decision_id for one in records]
    found = connection.execute(select(decisions.c.decision_id).where(decisions.c.decision_id.in_(ids))).scalars()
    there = set(found)
    return [one for one in records if one.decision_id not in there]


def _learnt(connection: Connection, new: Sequence[tuple[str, str]]) -> tuple[Numbers, Numbers]:
    """The numbers of new names, which get one; and of kinds that have as many as there may be, those that had one.

    The latter without names that are stored in another form: callers can make up any number of those.
    """
    counts = connection.execute(select(names.c.kind, func.count()).group_by(names.c.kind))
    full = {kind: _there(connection, kind, new) for kind, count in counts if count >= _MOST_NAMES}
    stored = {
        (kind, name): _OTHER if name not in full.get(kind, {name: 0}) else stored_name(name) for kind, name in new
    }
    rows = [{"kind": kind, "name": name} for kind, name in sorted({(key[0], name) for key, name in stored.items()})]
    insert_new(connection, names, rows, unless=["kind", "name"])
    found: dict[str, Mapping[str | None, int | None]] = {}
    for kind in {kind for kind, _ in stored}:
        wanted = {given: name for (one, given), name in stored.items() if one == kind}
        statement = select(names.c.name, names.c.id).where(names.c.kind == kind, names.c.name.in_(wanted.values()))
        numbers = {row.name: row.id for row in connection.execute(statement)}
        found[kind] = {given: numbers[name] for given, name in wanted.items()}
    exact: dict[str, Mapping[str | None, int | None]] = {
        kind: {name: at for name, at in there.items() if name == stored_name(name)} for kind, there in full.items()
    }
    return found, exact


def _there(connection: Connection, kind: str, new: Iterable[tuple[str, str]]) -> Mapping[str, int]:
    """The numbers of those of the names that have one already, such as an app's from before the start."""
    given = {name: stored_name(name) for one, name in new if one == kind}
    wanted = select(names.c.name, names.c.id).where(names.c.kind == kind, names.c.name.in_(given.values()))
    found = {row.name: row.id for row in connection.execute(wanted)}
    return {name: found[stored] for name, stored in given.items() if stored in found}


def _learnt_versions(
    connection: Connection, new: Iterable[tuple[str, str]], policies: Policies
) -> dict[tuple[str, str], int]:
    rows = []
    for name, version in sorted(new):
        policy = policies(name, version)
        content = json.dumps(policy.to_json() if policy else {"name": name, "version": version}, ensure_ascii=False)
        rows.append({"name": stored_name(name), "version": version, "content": content, "first_at": now_ms()})
    insert_new(connection, policy_versions, rows, unless=["name", "version"])
    table = policy_versions.c
    wanted = {row["version"] for row in rows}
    found = connection.execute(select(table.name, table.version, table.id).where(table.version.in_(wanted)))
    by_place = {(row.name, row.version): row.id for row in found}
    return {(name, version): by_place[stored_name(name), version] for name, version in new}


def _rows(records: Iterable[Record], numbers: Numbers, versions: Versions) -> list[Row]:
    apps, keys, doors, engines, models, tools, reasons, errors = (numbers[kind] for kind in _NAMED)
    return [
        (
            *one[:_APP],
            apps[one.app],
            keys[one.key],
            doors[one.door],
            *one[_TARGET:_POLICY],
            versions[one.policy, one.policy_version],
            tools[one.tool],
            engines[one.engine],
            models[one.model],
            reasons[one.reason],
            errors[one.error],
            *one[_DEGRADED:_TEXT_HASH],
            bytes.fromhex(one.text_hash),
            None if one.user_hash is None else bytes.fromhex(one.user_hash),
            *one[_LIST_ENTRY:_SHADOW],
        )
        for one in records
    ]


def _insert(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row], *, unless: str
) -> None:
    """The same as `insert_new`, handed to the driver as it is: SQLAlchemy's look at each value costs as much again.

    In few statements of many rows: SQLite's driver takes and gives back Python's lock for each, and every time it
    takes it a thread with a request has to stop. Their sizes are powers of two, so that there are few to prepare.
    """
    if connection.dialect.name != "sqlite":
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        insert_new(connection, table, named, unless=unless.split(", "))
        return
    start = 0
    while start < len(rows):
        size = min(_MOST_PER_STATEMENT, 1 << ((len(rows) - start).bit_length() - 1))
        sql = _sqlite_insert(table.name, columns, size, unless)
        connection.exec_driver_sql(sql, tuple(chain.from_iterable(rows[start : start + size])))
        start += size


@cache
def _sqlite_insert(table: str, columns: tuple[str, ...], rows: int, unless: str) -> str:
    """The statement for so many rows."""
    row = f"({', '.join('?' * len(columns))})"
    values = ", ".join([row] * rows)
    # Nothing of it is from outside: the names are the table's, the values are bound.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values} ON CONFLICT ({unless}) DO NOTHING"  # noqa: S608


def _text(record: Record) -> dict[str, Any]:
    kept = record.kept
    assert kept is not None
    turns = [{"role": role, "content": content} for role, content in kept.context]
    return {
        "decision_id": record.decision_id,
        "at": record.at,
        "until": record.at + kept.days * DAY_MS,
        "text": kept.text.replace("\0", "\ufffd"),
        "context": json.dumps(turns, ensure_ascii=False) if turns else None,
    }


def _shadows(records: Iterable[Record], versions: Versions) -> list[Row]:
    return [
        (one.decision_id, versions[name, version], action, one.at)
        for one in records
        for name, version, action in one.shadow
    ]


def _add(connection: Connection, records: Iterable[Record], numbers: Numbers) -> None:
    """The records, to the sums of their hours."""
    apps, doors = numbers["app"], numbers["door"]
    sums: dict[tuple[Any, ...], list[float]] = {}
    buckets: Counter[tuple[int, int]] = Counter()
    for one in records:
        hour = one.at - one.at % HOUR_MS
        key = hour, apps[one.app], doors[one.door], one.action, one.categories
        own = sums.get(key)
        if own is None:
            own = sums[key] = [0, 0, 0, 0, 0.0]
        own[0] += 1
        own[1] += one.degraded
        own[2] += one.cached
        own[3] += one.chars
        own[4] += one.latency_ms
        if one.error is None:
            buckets[hour, bisect_left(BUCKETS_MS, one.latency_ms)] += 1
    _add_to(connection, rollup, [(*key, *own) for key, own in sorted(sums.items())], _SUM_KEYS, _SUMS)
    _add_to(connection, latencies, [(*key, n) for key, n in sorted(buckets.items())], ("hour", "bucket"), ("n",))


def _add_to(
    connection: Connection, table: Table, rows: Sequence[Row], keys: tuple[str, ...], sums: tuple[str, ...]
) -> None:
    if rows:
        statement, sql = _adding(connection.dialect.name, table, keys, sums)
        if sql is not None:
            connection.exec_driver_sql(sql, list(rows))
        else:
            connection.execute(statement, [dict(zip((*keys, *sums), row, strict=True)) for row in rows])


@cache
def _adding(dialect: str, table: Table, keys: tuple[str, ...], sums: tuple[str, ...]) -> tuple[Any, str | None]:
    """The statement that adds to sums, made once; and its text where that is for the driver."""
    made: Any = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    grown = {name: table.c[name] + made.excluded[name] for name in sums}
    statement = made.on_conflict_do_update(index_elements=list(keys), set_=grown)
    if dialect != "sqlite":
        return statement, None
    return statement, str(statement.compile(dialect=sqlite.dialect(), column_keys=[*keys, *sums]))
