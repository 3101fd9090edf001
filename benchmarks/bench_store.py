"""What the database of records costs a verdict, and how long its questions take with a million records in SQLite.

Run: python benchmarks/bench_store.py [--rows 1000000] [--checks 20000] [--seconds 5]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench_moderate import measure
from load import Result
from sqlalchemy import insert

from moderation_service.core.conversation import Conversation
from moderation_service.core.keyed_hash import KeyedHashes
from moderation_service.core.moderator import Check, Moderator
from moderation_service.core.policy import BUILT_IN
from moderation_service.core.verdict import Category, Scores, Severity, Target, Verdict
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.ids import random_hex
from moderation_service.observability.request_context import RequestContext, request_context
from moderation_service.store.database import Database
from moderation_service.store.overview import checks, overview, usage
from moderation_service.store.record import Record
from moderation_service.store.recorder import Recorder
from moderation_service.store.records import Cursor, Filter, count, find, page
from moderation_service.store.schema import decisions, latencies, names, policy_versions, rollup
from moderation_service.store.writing import DAY_MS, HOUR_MS, DatabaseSink

APPS, DOORS = 12, 6
BATCH = 10_000
SUM_KEYS = ("hour", "app", "door", "action", "categories")


class Engine:
    """Answers at once: what is measured is everything else."""

    name, model = "bench", "bench-1"

    def judge(self, conversations, **asked):
        found = Verdict(Target.PROMPT, Severity.SAFE, (), None, Scores(0.9, 0.08, 0.02), self.name, self.model)
        return [found for _ in conversations]

    def check_ready(self): ...

    def close(self): ...


class Events:
    dropped = 0

    def records_written(self, count): ...

    def records_waiting(self, count): ...

    def records_dropped(self, count):
        self.dropped += count


def of_a_verdict(folder: Path, checks: int) -> None:
    """CPU of the requests' thread and of all threads, with and without the recorder, in turns."""
    request_context.set(RequestContext("0" * 32, "shop", app="shop", door="/moderate"))
    database = Database(f"sqlite:///{folder}/verdicts.db")
    events = Events()
    sink = DatabaseSink(database, records_days=90)
    recorder = Recorder(sink, hashes=KeyedHashes(b"bench"), events=events, memory_bytes=1 << 30)
    plain, recording = (
        Moderator(engine=Engine(), cache=VerdictCache(size=0, ttl_s=1), observers=observers)
        for observers in ([], [recorder])
    )
    checks_made = [
        Check(Conversation.of(prompt=f"How do I get from here to the station? {number}"), BUILT_IN["balanced"])
        for number in range(checks // 10)
    ]
    own: dict[str, list[float]] = {"without": [], "with": []}
    whole: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(10):
        for name, moderator in (("without", plain), ("with", recording)):
            began, began_all = time.thread_time(), time.process_time()
            for check in checks_made:
                moderator.decide([check])
            own[name].append((time.thread_time() - began) / len(checks_made) * 1e6)
            while recorder.waiting:
                time.sleep(0.01)
            whole[name].append((time.process_time() - began_all) / len(checks_made) * 1e6)
    recorder.close()
    print("CPU per decision without engine and HTTP, us (median of 10 turns)")
    for what, times in (("thread of the request", own), ("all threads", whole)):
        without, with_it = (statistics.median(times[name]) for name in ("without", "with"))
        print(f"  {what:<24} without {without:6.1f}   with {with_it:6.1f}   more {with_it - without:6.1f}")
    print(f"  dropped: {events.dropped}")


def of_requests(seconds: float) -> None:
    """CPU of all processes per request, and its time, with and without records, in turns."""
    found: dict[str, list[Result]] = {"instant": [], "recorded": []}
    for _ in range(3):
        for kind, results in found.items():
            results.append(measure(kind, clients=16, cached=False, seconds=seconds, checkout=None))
    print("\nPOST /moderate with an engine that costs nothing, 16 clients (median of 3 turns)")
    values = {}
    for kind, results in found.items():
        cpu, p99 = (statistics.median(getattr(one, name) for one in results) for name in ("cpu_us", "p99_ms"))
        values[kind] = cpu, p99
        print(f"  {kind:<10} CPU {cpu:6.0f} us   p99 {p99:6.1f} ms")
    (cpu, p99), (cpu_with, p99_with) = values["instant"], values["recorded"]
    print(f"  with records: CPU x {cpu_with / cpu:.2f}, p99 x {p99_with / p99:.2f}")


def filled(folder: Path, rows: int) -> Database:
    """A database with so many records over thirty days."""
    database = Database(f"sqlite:///{folder}/records.db")
    now = int(time.time() * 1000)
    rng = random.Random(7)
    number = named(database, now)
    sums: dict[tuple[int, ...], list[float]] = {}
    for first in range(0, rows, BATCH):
        times = (now - 30 * DAY_MS + place * 30 * DAY_MS // rows for place in range(first, min(rows, first + BATCH)))
        batch = [row_of(rng, number, at) for at in times]
        for row in batch:
            one = sums.setdefault(tuple(int(row[key]) for key in SUM_KEYS), [0, 0, 0, 0.0])
            for which, value in enumerate((1, row["degraded"], row["chars"], row["latency_ms"])):
                one[which] += value
        with database.write() as connection:
            connection.execute(insert(decisions), [{key: row[key] for key in row if key != "hour"} for row in batch])
    with database.write() as connection:
        of_hours = [
            dict(zip(SUM_KEYS, key, strict=True))
            | {"n": n, "degraded": bad, "cached": 0, "chars": chars, "latency_ms": ms}
            for key, (n, bad, chars, ms) in sums.items()
        ]
        connection.execute(insert(rollup), of_hours)
        hours = sorted({key[0] for key in sums})
        connection.execute(insert(latencies), [{"hour": h, "bucket": b, "n": 70} for h in hours for b in range(20)])
    return database


def named(database: Database, now: int) -> dict[tuple[str, str], int]:
    """The numbers of all names, once they and the policy are written."""
    policy = BUILT_IN["balanced"]
    kinds = [("app", f"app-{n}") for n in range(APPS)] + [("door", f"/door/{n}") for n in range(DOORS)]
    kinds += [("key", "key"), ("engine", "vllm"), ("model", "guard")]
    with database.write() as connection:
        connection.execute(insert(names), [{"kind": kind, "name": name} for kind, name in kinds])
        first = {"name": policy.name, "version": policy.version, "content": "{}", "first_at": now}
        connection.execute(insert(policy_versions), first)
    return {kind: place + 1 for place, kind in enumerate(kinds)}


def row_of(rng: random.Random, number: Mapping[tuple[str, str], int], at: int) -> dict[str, Any]:
    """A row of `decisions` with chance in it, and its hour."""
    action = rng.choices((0, 1, 2), (92, 5, 3))[0]
    row = Record(
        at=at, decision_id=f"mod_{random_hex(24)}", request_id=random_hex(32), app="", key="", door="", target=0,
        severity=action, p_unsafe=rng.random(), p_flagged=rng.random(),
        categories=1 << rng.randrange(9) if action else 0, detail=0, read_in_part=0, refusal=None, coverage=None,
        is_sure=True, action=action, policy="", policy_version="", tool=None, engine="", model="", reason=None,
        error=None, degraded=rng.random() < 0.01, cached=False, windows=1, span_start=None, span_end=None,
        chars=rng.randrange(2000), latency_ms=rng.expovariate(1 / 30), text_hash="", user_hash=None,
        list_entry=None, list_action=None, escalated=None, shadow=[], kept=None,
    )._asdict()  # fmt: skip
    del row["kept"], row["policy_version"], row["shadow"]
    return row | {
        "hour": at - at % HOUR_MS,
        "app": number["app", f"app-{rng.randrange(APPS)}"],
        "door": number["door", f"/door/{rng.randrange(DOORS)}"],
        "key": number["key", "key"],
        "engine": number["engine", "vllm"],
        "model": number["model", "guard"],
        "policy": 1,
        "text_hash": rng.randbytes(16),
    }


def of_questions(folder: Path, rows: int) -> None:
    """The median of seven."""
    began = time.perf_counter()
    database = filled(folder, rows)
    took = time.perf_counter() - began
    assert database.url.database is not None
    database.close()
    size = Path(database.url.database).stat().st_size / 1e6
    print(f"\n{rows} records over 30 days, SQLite: {size:.0f} MB (made in {took:.0f} s)")
    slowest = 0.0
    for what, ask in questions(database).items():
        times, used = [], []
        for _ in range(7):
            with database.read() as connection:
                asked, asked_cpu = time.perf_counter(), time.thread_time()
                ask(connection)
                times.append((time.perf_counter() - asked) * 1000)
                used.append((time.thread_time() - asked_cpu) * 1000)
        slowest = max(slowest, statistics.median(times))
        print(f"  {what:<44} {statistics.median(times):8.1f} ms, of CPU {statistics.median(used):8.1f} ms")
    print(f"  {'slowest':<44} {slowest:8.1f} ms")
    database.close()


def questions(database: Database) -> dict[str, Callable[..., object]]:
    """What the console and `records` ask, by name."""
    now = int(time.time() * 1000) + 1
    month, week = {"since": now - 30 * DAY_MS, "until": now}, {"since": now - 7 * DAY_MS, "until": now}
    block, allow = frozenset({"block"}), frozenset({"allow"})
    with database.read() as connection:
        some = page(connection, Filter(**month), size=50)
    found = some.rows[-1]
    deep = Cursor(now - 20 * DAY_MS, 1)
    return {
        "overview, 24 hours": lambda c: overview(c, since=now - DAY_MS, until=now),
        "overview, 7 days": lambda c: overview(c, **week),
        "overview, 30 days": lambda c: (overview(c, **month), checks(c, **week)),
        "overview of one app, 30 days": lambda c: overview(c, **month, app="app-3"),
        "usage, 30 days": lambda c: usage(c, **month),
        "the latest 50": lambda c: page(c, Filter(**month)),
        "50 from the middle": lambda c: page(c, Filter(**month), after=deep),
        "app and action": lambda c: page(c, Filter(**month, app="app-3", actions=block)),
        "action, category, door": lambda c: page(
            c, Filter(**month, actions=block, category=Category.PII, door="/door/2")
        ),
        "no match among blocked, 30 days": lambda c: page(c, Filter(**month, actions=block, door="/nowhere")),
        "no match among allowed, 30 days": lambda c: page(c, Filter(**month, actions=allow, category=Category.PII)),
        "no match, no action, 30 days": lambda c: page(
            c, Filter(**month, severity=Severity.SAFE, degraded=True, category=Category.PII)
        ),
        "no match by key, 7 days (not in an index)": lambda c: page(c, Filter(**week, key="nobody")),
        "count of an app, up to 1 000": lambda c: count(c, Filter(**month, app="app-3")),
        "count without a match, 30 days": lambda c: count(c, Filter(**month, actions=allow, category=Category.PII)),
        "by decision id": lambda c: find(c, found.decision_id),
        "by request id": lambda c: find(c, found.request_id or ""),
        "by text": lambda c: page(c, Filter(**month, text=found.text_hash)),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--checks", type=int, default=20_000)
    options.add_argument("--seconds", type=float, default=5, help="of each turn with requests; 0 leaves them out")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        of_a_verdict(Path(folder), given.checks)
        if given.seconds:
            of_requests(given.seconds)
        if given.rows:
            of_questions(Path(folder), given.rows)


if __name__ == "__main__":
    main()
