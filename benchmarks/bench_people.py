"""What records, apps, lists and a shadow policy cost a verdict together: `python benchmarks/bench_people.py`.

Two services in front of the same stand-in for a model server (`mock_vllm.c`, 20 ms, needs `cc`), in turns: one with an
API key alone; one with a database in SQLite, an app with limits, 100,000 entries of lists and a shadow policy. CPU is
user and system time of all processes of a service; only figures of one run can be compared.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench_gateway import HERE, KEY, load, model_server, moderate, process
from bench_lists import entries
from load import Result, free_port, machine

POLICIES = """policies:
  bench: {extends: balanced, on_failure: error}
  shadowed: {extends: bench, shadow: [strict], lists: [own]}
"""
APPS = """apps:
  shop:
    keys: {{main: {{sha256: {digest}}}}}
    policies: [shadowed]
    policy: shadowed
    limits: {{per_second: 1000000, per_minute: 50000000, per_day: 900000000, at_once: 500}}
"""


@contextlib.contextmanager
def service(upstream: str, folder: Path, environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The service as its users start it."""
    port = free_port()
    (folder / "policies.yaml").write_text(POLICIES, encoding="utf-8")
    shared = {
        "MODERATION_POLICIES_FILE": str(folder / "policies.yaml"),
        "MODERATION_LISTS_FILE": str(folder / "own.txt"),
        "MODERATION_DEFAULT_POLICY": "bench",
        "MODERATION_DEADLINE_S": "300",
        "MODERATION_UPSTREAM_TIMEOUT_S": "300",
    }
    command = [sys.executable, "-m", "moderation_service", "serve", "--engine", "vllm", "--upstream", upstream]
    with process([*command, "--port", str(port)], port, {**shared, **environment}) as pid:
        yield pid, port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements per cell; the median counts")
    parser.add_argument("--entries", type=int, default=100_000)
    options = parser.parse_args()
    found: dict[tuple[str, int], list[Result]] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder, mock = Path(name), Path(name) / "mock_vllm"
        subprocess.run(["cc", "-O2", "-o", mock, HERE / "mock_vllm.c"], check=True)
        words = "".join(f"{one.text}\n" for one in entries(options.entries))
        (folder / "own.txt").write_text(words, encoding="utf-8")
        (folder / "apps.yaml").write_text(
            APPS.format(digest=hashlib.sha256(KEY.encode()).hexdigest()), encoding="utf-8"
        )
        upstream, _ = stack.enter_context(model_server(mock, name, 20, "ok_stopped_after_safe"))
        kinds = {
            "an API key": {"MODERATION_API_KEYS": f"bench:{KEY}", "MODERATION_STORE": "off"},
            "records, an app, lists, a shadow policy": {
                "MODERATION_APPS_FILE": str(folder / "apps.yaml"),
                "MODERATION_STORE": f"sqlite:///{folder}/moderation.db",
            },
        }
        started = {kind: stack.enter_context(service(upstream, folder, own)) for kind, own in kinds.items()}
        for _ in range(options.rounds):
            for clients in (4, 16):
                for kind, (pid, port) in started.items():
                    one = load(port, pid, clients, options.seconds, moderate)
                    assert set(one.statuses) == {200}, (kind, one)
                    found.setdefault((kind, clients), []).append(one)
    print("| | clients | verdicts/s | CPU µs/verdict | p50 ms | p99 ms |\n|---|---|---|---|---|---|")
    middle = {
        cell: [
            statistics.median(getattr(one, name) for one in runs)
            for name in ("per_second", "cpu_us", "p50_ms", "p99_ms")
        ]
        for cell, runs in found.items()
    }
    for (kind, clients), (rate, cpu, p50, p99) in middle.items():
        print(f"| {kind} | {clients} | {rate:.0f} | {cpu:.0f} | {p50:.1f} | {p99:.1f} |")
    plain, whole = kinds
    for clients in (4, 16):
        (_, cpu, _, p99), (_, cpu_whole, _, p99_whole) = middle[plain, clients], middle[whole, clients]
        print(f"\n{clients} clients: CPU x {cpu_whole / cpu:.2f}, p99 x {p99_whole / p99:.2f}")
    print(f"\n{machine()}; 2 workers; model server and load on the same machine.")


if __name__ == "__main__":
    main()
