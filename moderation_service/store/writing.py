"""Batches of records into the database: decisions, texts and hourly sums in one transaction."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from time import sleep
from typing import Any, TypeVar

from sqlalchemy import Connection, exc, func, select
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
_HASHES = ("text_hash", "user_hash")
_SUMS = ("n", "degraded", "cached", "chars", "latency_ms")
# The latter are what can't even be sent: numbers without end, text that is no Unicode.
_REFUSED = (exc.IntegrityError, exc.DataError, exc.StatementError, OverflowError, ValueError)
_ELSEWHERE = ("kept", "policy_version", "shadow")

_T = TypeVar("_T")
_MOST_PER_STATEMENT = 64
_SLICE, _BREATH_S = 32, 0.0002

Policies = Callable[[str, str], "Policy | None"]


class DatabaseSink:
    """The `Sink` of a recorder. Used by one thread of each process."""

    def __init__(self, database: Database, *, records_days: int) -> None:
        self._database = database
        self._housekeeping = Housekeeping(database, records_days=records_days)
        self._names: dict[tuple[str, str], int] = {}
        self._versions: dict[tuple[str, str], int] = {}

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
            known, versions = self._numbers(connection, records, policies)
            rows = [_row(record, known, versions) for record in _gently(records)]
            _insert(connection, rows)
            insert_new(connection, texts, [_text(one) for one in records if one.kept], unless=["decision_id"])
            insert_new(connection, shadow_decisions, _shadows(records, versions), unless=["decision_id", "policy"])
            _add(connection, rows)
        # Only now are the numbers of new names sure to stay.
        self._names, self._versions = known, versions

    def _numbers(
        self, connection: Connection, records: Sequence[Record], policies: Policies
    ) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        known, versions = dict(self._names), dict(self._versions)
        wanted = {(kind, getattr(one, kind)) for one in records for kind in _NAMED}
        new = [(kind, name) for kind, name in wanted if name is not None and (kind, name) not in known]
        if new:
            known |= _learnt(connection, new)
        new_versions = {(one.policy, one.policy_version) for one in records}
        new_versions |= {(name, version) for one in records for name, version, _ in one.shadow}
        new_versions -= versions.keys()
        if new_versions:
            versions |= _learnt_versions(connection, new_versions, policies)
        return known, versions


def _gently(rows: Sequence[_T]) -> Iterator[_T]:
    """The rows, with a breath between a few and the next: a thread with a request waits for Python's lock meanwhile.

    Without it, it would be given the lock after five milliseconds only.
    """
    for place, row in enumerate(rows):
        if place % _SLICE == _SLICE - 1:
            sleep(_BREATH_S)
        yield row


def _missing(connection: Connection, records: Sequence[Record]) -> list[Record]:
    """Those that an attempt which seemed to fail did not bring in."""
    ids = [one.decision_id for one in records]
    found = connection.execute(select(decisions.c.decision_id).where(decisions.c.decision_id.in_(ids))).scalars()
    there = set(found)
    return [one for one in records if one.decision_id not in there]


def _learnt(connection: Connection, new: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    counts = connection.execute(select(names.c.kind, func.count()).group_by(names.c.kind))
    full = {kind for kind, count in counts if count >= _MOST_NAMES}
    stored = {(kind, name): (kind, _OTHER if kind in full else stored_name(name)) for kind, name in new}
    rows = [{"kind": kind, "name": name} for kind, name in sorted(set(stored.values()))]
    insert_new(connection, names, rows, unless=["kind", "name"])
    found: dict[tuple[str, str], int] = {}
    for kind in {kind for kind, _ in stored}:
        wanted = [name for one, name in stored.values() if one == kind]
        statement = select(names.c.name, names.c.id).where(names.c.kind == kind, names.c.name.in_(wanted))
        found |= {(kind, row.name): row.id for row in connection.execute(statement)}
    return {key: found[place] for key, place in stored.items()}


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


def _row(record: Record, known: dict[tuple[str, str], int], versions: dict[tuple[str, str], int]) -> dict[str, Any]:
    row = record._asdict()
    for name in _ELSEWHERE:
        del row[name]
    for kind in _NAMED:
        value = row[kind]
        row[kind] = None if value is None else known[kind, value]
    for name in _HASHES:
        value = row[name]
        row[name] = None if value is None else bytes.fromhex(value)
    row["policy"] = versions[record.policy, record.policy_version]
    return row


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """The same as `insert_new`, handed to the driver as it is: SQLAlchemy's look at each value costs as much again.

    In few statements of many rows: SQLite's driver takes and gives back Python's lock for each, and every time it
    takes it a thread with a request has to stop. Their sizes are powers of two, so that there are few to prepare.
    """
    if connection.dialect.name != "sqlite":
        insert_new(connection, decisions, rows, unless=["decision_id"])
        return
    start = 0
    while start < len(rows):
        size = min(_MOST_PER_STATEMENT, 1 << ((len(rows) - start).bit_length() - 1))
        sql, order = _sqlite_insert(size)
        connection.exec_driver_sql(sql, tuple([row[name] for row in rows[start : start + size] for name in order]))
        start += size


@cache
def _sqlite_insert(rows: int) -> tuple[str, Sequence[str]]:
    """The statement for so many rows, and the columns of each in their order."""
    order = [column.name for column in decisions.columns if column.name != "id"]
    row = f"({', '.join('?' * len(order))})"
    columns, values = ", ".join(order), ", ".join([row] * rows)
    # Nothing of it is from outside: the names are the table's, the values are bound.
    sql = f"INSERT INTO decisions ({columns}) VALUES {values} ON CONFLICT (decision_id) DO NOTHING"  # noqa: S608
    return sql, order


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


def _shadows(records: Sequence[Record], versions: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
    return [
        {"decision_id": one.decision_id, "policy": versions[name, version], "action": action, "at": one.at}
        for one in records
        for name, version, action in one.shadow
    ]


def _add(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """The rows, to the sums of their hours."""
    sums: dict[tuple[int, ...], list[float]] = {}
    buckets: Counter[tuple[int, int]] = Counter()
    for row in _gently(rows):
        hour = row["at"] - row["at"] % HOUR_MS
        one = sums.setdefault((hour, row["app"], row["door"], row["action"], row["categories"]), [0, 0, 0, 0, 0.0])
        for place, value in enumerate((1, row["degraded"], row["cached"], row["chars"], row["latency_ms"])):
            one[place] += value
        if row["error"] is None:
            buckets[hour, bisect_left(BUCKETS_MS, row["latency_ms"])] += 1
    keys = ("hour", "app", "door", "action", "categories")
    added = [dict(zip((*keys, *_SUMS), (*key, *one), strict=True)) for key, one in sorted(sums.items())]
    _add_to(connection, rollup, added, keys, _SUMS)
    times = [{"hour": hour, "bucket": bucket, "n": n} for (hour, bucket), n in sorted(buckets.items())]
    _add_to(connection, latencies, times, ("hour", "bucket"), ("n",))


def _add_to(
    connection: Connection, table: Any, rows: list[dict[str, Any]], keys: Sequence[str], sums: Sequence[str]
) -> None:
    if rows:
        dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(table)
        grown = {name: table.c[name] + statement.excluded[name] for name in sums}
        connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=grown), rows)
