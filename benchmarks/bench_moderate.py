"""What `POST /moderate` costs besides the engine: `python benchmarks/bench_moderate.py`.

CPU per request (user and system time of all server processes) under gunicorn's threads, with API key, metrics, JSON
log and request ids on, beside a bare Flask route in the same run; then start-up time and memory with the embedded
engine. CPU per request is comparable between rows of one run; requests per second depend on what else the machine
does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path

from load import Result, add_before, free_port, machine, memory_mb, post, python_of, run_load
from servers import KEY

SERVERS = Path(__file__).resolve().with_name("servers.py")
CLIENTS = (1, 16, 64)
TEXT = "How can I bake cake number {n} for my friends? Please tell me in detail, because I want to surprise them all."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements per cell; the lowest CPU counts")
    add_before(parser)
    options = parser.parse_args()
    before = [("`POST /moderate`, every text new, before", "instant", False, options.before)]
    rows = [
        ("bare Flask route, stock worker", "baseline", False, None),
        *(before if options.before else ()),
        ("`POST /moderate`, every text new", "instant", False, None),
        ("`POST /moderate`, answered from the cache", "instant", True, None),
    ]
    print("| server | CPU µs/request, 1 client | 16 clients | 64 clients | requests/s, 16 clients | p99 ms, 16 |")
    print("|---|---|---|---|---|---|")
    found: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for _ in range(options.rounds):
        for clients in CLIENTS:
            for title, kind, cached, checkout in rows:  # in turns: what else the machine does meets all of them alike
                found[title, clients].append(measure(kind, clients, cached, options.seconds, checkout))
    best = {cell: min(runs, key=lambda one: one.cpu_us) for cell, runs in found.items()}
    bare = rows[0][0]
    for title, *_ in rows:
        cpu = " | ".join(
            f"{best[title, clients].cpu_us:.0f} ({best[title, clients].cpu_us / best[bare, clients].cpu_us:.2f})"
            for clients in CLIENTS
        )
        one = best[title, 16]
        print(f"| {title} | {cpu} | {one.per_second:.0f} | {one.p99_ms:.1f} |", flush=True)
    starts = [start_to_first_verdict() for _ in range(options.rounds)]
    print(f"\nStart to first verdict, embedded engine: {statistics.median(starts):.2f} s.")
    print(memory_report())
    print(f"\n{machine()}; 2 workers; client on the same machine.")


def start(kind: str, checkout: Path | None = None) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    servers = SERVERS if checkout is None else checkout.resolve() / "benchmarks" / SERVERS.name
    process = subprocess.Popen([python_of(checkout), str(servers), kind, str(port)], stderr=subprocess.DEVNULL)
    return process, port


def wait_for_verdict(port: int) -> None:
    body = json.dumps({"prompt": "Is anybody there?"}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/moderate", body, headers)
    for _ in range(3000):
        try:
            urllib.request.urlopen(request, timeout=5).read()
        except urllib.error.URLError:
            time.sleep(0.01)
        else:
            return
    raise SystemExit("The server did not start.")


def measure(kind: str, clients: int, cached: bool, seconds: float, checkout: Path | None) -> Result:
    process, port = start(kind, checkout)
    try:
        wait_for_verdict(port)

        def make_request(number: int) -> bytes:
            text = TEXT.format(n=0 if cached else number)
            return post("/moderate", json.dumps({"prompt": text}).encode(), key=KEY)

        result = run_load(port=port, pid=process.pid, clients=clients, seconds=seconds, make_request=make_request)
    finally:
        process.terminate()
        process.wait()
    assert set(result.statuses) == {200}, result.statuses
    return result


def start_to_first_verdict() -> float:
    began = time.perf_counter()
    process, port = start("lite")
    try:
        wait_for_verdict(port)
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def memory_report() -> str:
    process, port = start("lite")
    try:
        wait_for_verdict(port)

        def make_request(number: int) -> bytes:
            return post("/moderate", json.dumps({"prompt": TEXT.format(n=number)}).encode(), key=KEY)

        run_load(port=port, pid=process.pid, clients=16, seconds=2, make_request=make_request)
        sizes = memory_mb(process.pid)
    finally:
        process.terminate()
        process.wait()
    workers = [size for pid, size in sizes.items() if pid != process.pid]
    resident = " + ".join(f"{rss:.0f}" for rss, _ in workers)
    own = sum(pss for _, pss in sizes.values())
    return (
        f"\nMemory under load, embedded engine: {own:.0f} MB for master and 2 workers together (proportional set "
        f"size); each worker shows {resident} MB resident, most of it shared."
    )


if __name__ == "__main__":
    main()
