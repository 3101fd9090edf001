"""What records, apps, lists and a shadow policy cost a verdict together: `python benchmarks/bench_people.py`.

Two services in front of the same stand-in for a model server (`mock_vllm.c`, 20 ms, needs `cc`), in turns: one with an
API key alone; one with a database in SQLite, an app with limits, 100,000 entries of lists and a shadow policy. With
`--parts` one service more for each of the four alone. CPU is user and system time of all processes of a service; only
figures of one run can be compared, and of that only those of one round: how fast a shared machine is changes from one
second to the next. "Times" are therefore medians over the rounds of what each kind took there beside the plain one.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench_gateway import HERE, KEY, load, model_server, moderate, process
from bench_lists import entries
from load import Result, free_port, machine

POLICIES = """policies:
  plain: {extends: balanced, on_failure: error}
  listed: {extends: plain, lists: [own]}
  watched: {extends: plain, shadow: [strict]}
  whole: {extends: listed, shadow: [strict]}
"""
APPS = """apps:
  shop:
    keys: {{main: {{sha256: {digest}}}}}
    policies: [{policy}]
    policy: {policy}
    limits: {{per_second: 1000000, per_minute: 50000000, per_day: 900000000, at_once: 500}}
"""
CLIENTS = (4, 16)
PLAIN, WHOLE = "an API key", "all four"
Cell = tuple[str, int]


class Middle(NamedTuple):
    """The medians of several runs; `Result` has the fields."""

    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, runs: Sequence[Result]) -> Middle:
        return cls(*(statistics.median(getattr(one, name) for one in runs) for name in cls._fields))


@contextlib.contextmanager
def service(engine: Sequence[str], folder: Path, environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The service as its users start it."""
    port = free_port()
    (folder / "policies.yaml").write_text(POLICIES, encoding="utf-8")
    shared = {
        "MODERATION_POLICIES_FILE": str(folder / "policies.yaml"),
        "MODERATION_LISTS_FILE": str(folder / "own.txt"),
        "MODERATION_DEADLINE_S": "300",
        "MODERATION_UPSTREAM_TIMEOUT_S": "300",
    }
    command = [sys.executable, "-m", "moderation_service", "serve", "--engine", *engine]
    with process([*command, "--port", str(port)], port, {**shared, **environment}) as pid:
        yield pid, port


def kinds_in(folder: Path, *, with_parts: bool) -> dict[str, dict[str, str]]:
    """The services to compare, by their titles: the first is the one without anything, the last has it all."""
    key = {"MODERATION_API_KEYS": f"bench:{KEY}"}

    def of(policy: str, caller: dict[str, str], database: str | None = None) -> dict[str, str]:
        store = "off" if database is None else f"sqlite:///{folder}/{database}.db"
        return {"MODERATION_DEFAULT_POLICY": policy, "MODERATION_STORE": store, **caller}

    def app_of(policy: str) -> dict[str, str]:
        path = folder / f"apps-{policy}.yaml"
        path.write_text(APPS.format(policy=policy, digest=hashlib.sha256(KEY.encode()).hexdigest()), encoding="utf-8")
        return {"MODERATION_APPS_FILE": str(path)}

    parts = {
        "records": of("plain", key, "part"),
        "an app with limits": of("plain", app_of("plain")),
        "lists": of("listed", key),
        "a shadow policy": of("watched", key),
    }
    return {PLAIN: of("plain", key), **(parts if with_parts else {}), WHOLE: of("whole", app_of("whole"), "whole")}


def measured(folder: Path, options: argparse.Namespace, kinds: dict[str, dict[str, str]]) -> dict[Cell, list[Result]]:
    """The runs of each kind at each number of clients, by round; all kinds are up, and take turns."""
    found: dict[Cell, list[Result]] = {}
    with contextlib.ExitStack() as stack:
        engine = ["lite"]
        if not options.lite:
            mock = model_server(folder / "mock_vllm", str(folder), 20, "ok_stopped_after_safe")
            engine = ["vllm", "--upstream", stack.enter_context(mock)[0]]
        started = {kind: stack.enter_context(service(engine, folder, own)) for kind, own in kinds.items()}
        order = list(started)
        for _ in range(options.rounds):
            # What comes first finds another machine than what comes last: each has its turn at each place.
            order.append(order.pop(0))
            for clients in CLIENTS:
                for kind in order:
                    pid, port = started[kind]
                    one = load(port, pid, clients, options.seconds, moderate)
                    assert set(one.statuses) == {200}, (kind, one)
                    found.setdefault((kind, clients), []).append(one)
    return found


def times(runs: Sequence[Result], plain: Sequence[Result], name: str) -> float:
    """How many times what the plain kind took in the same round."""
    return statistics.median(getattr(one, name) / getattr(other, name) for one, other in zip(runs, plain, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=15, help="measurements per cell")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--parts", action="store_true", help="also each part by itself")
    parser.add_argument("--lite", action="store_true", help="in front of the embedded engine instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["cc", "-O2", "-o", folder / "mock_vllm", HERE / "mock_vllm.c"], check=True)
        words = "".join(f"{one.text}\n" for one in entries(options.entries))
        (folder / "own.txt").write_text(words, encoding="utf-8")
        kinds = kinds_in(folder, with_parts=options.parts)
        found = measured(folder, options, kinds)
    print("| | clients | verdicts/s | CPU µs/verdict | more | CPU, times | p50 ms | p99 ms | p99, times |")
    print("|---|---|---|---|---|---|---|---|---|")
    for clients in CLIENTS:
        plain = found[PLAIN, clients]
        for kind in kinds:
            runs = found[kind, clients]
            rate, cpu, p50, p99 = Middle.of(runs)
            more = statistics.median(one.cpu_us - other.cpu_us for one, other in zip(runs, plain, strict=True))
            print(
                f"| {kind} | {clients} | {rate:.0f} | {cpu:.0f} | {more:+.0f} | {times(runs, plain, 'cpu_us'):.2f} "
                f"| {p50:.1f} | {p99:.1f} | {times(runs, plain, 'p99_ms'):.2f} |"
            )
    print(f"\n{machine()}; 2 workers; model server and load on the same machine.")


if __name__ == "__main__":
    main()
