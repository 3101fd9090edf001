"""What the service costs in front of a model server: `python benchmarks/bench_gateway.py`.

The model server is a stand-in in C (`mock_vllm.c`, needs `cc`) that answers with recorded replies of vLLM, at once or
after 20 ms. Everything of the service is on: API key, metrics, JSON log, request ids, neutralising, logprobs, cache
(every text is new). Beside it, in the same run: the usual way to write such a gateway, Flask with a
`requests.Session` under gunicorn's threads, with nothing on; and the stand-in itself.

CPU per verdict is user and system time of all server processes. It is comparable between rows of one run; requests per
second and latencies depend on what else the machine does, and the load runs on the same cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from load import Result, add_before, free_port, machine, post, python_of, run_load

HERE = Path(__file__).resolve().parent
RECORDINGS = HERE.parent / "tests" / "recordings" / "vllm"
KEY = "bench-0123456789abcdef"
TEXT = "How can I bake cake number {n} for my friends? Please tell me in detail, because I want to surprise them all."
QUESTION = {"model": "qwen3guard", "temperature": 0, "max_tokens": 64}

ALONE = "model server alone"
CLIENTS = (1, 16, 64)

Request = Callable[[int], bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements per cell; the best one counts")
    add_before(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mock = Path(folder) / "mock_vllm"
        subprocess.run(["cc", "-O2", "-o", mock, HERE / "mock_vllm.c"], check=True)
        cost(mock, folder, options)
        throughput(mock, folder, options)
    print(f"\n{machine()}; 2 workers; model server and load on the same machine.")


def cost(mock: Path, folder: str, options: argparse.Namespace) -> None:
    """CPU per verdict with a model that answers at once."""
    print("CPU per verdict in µs, the model answers at once:\n")
    print("| | 1 client | 16 clients | 64 clients | verdicts/s, 16 clients |\n|---|---|---|---|---|")
    earlier = partial(service, checkout=options.before)
    before = [("`POST /moderate`, safe prompt, before", "ok_stopped_after_safe", earlier, moderate)]
    rows = [
        ("Flask + `requests.Session`, bare", "ok_without_logprobs", session_gateway, moderate_without_key),
        *(before if options.before else ()),
        ("`POST /moderate`, safe prompt", "ok_stopped_after_safe", service, moderate),
        ("`POST /moderate`, unsafe prompt", "ok_not_stopped_unsafe", service, moderate),
        ("the same, `detail: severity`", "ok_label_controversial", service, moderate_severity),
    ]
    found: dict[tuple[str, int], list[Result]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        # All are up, and take turns: what else the machine does then meets all of them alike.
        started = []
        for title, recording, start, make in rows:
            upstream, _ = stack.enter_context(model_server(mock, folder, 0, recording))
            started.append((title, *stack.enter_context(start(upstream)), make))
        for _ in range(options.rounds):
            for clients in CLIENTS:
                for title, pid, port, make in started:
                    one = load(port, pid, clients, options.seconds, make)
                    assert set(one.statuses) == {200}, (title, one)
                    found[title, clients].append(one)
    best = {cell: min(runs, key=lambda one: one.cpu_us) for cell, runs in found.items()}
    bare = rows[0][0]
    for title, *_ in rows:
        costs = " | ".join(
            f"{best[title, clients].cpu_us:.0f} ({best[title, clients].cpu_us / best[bare, clients].cpu_us:.2f})"
            for clients in CLIENTS
        )
        print(f"| {title} | {costs} | {best[title, 16].per_second:.0f} |", flush=True)


def throughput(mock: Path, folder: str, options: argparse.Namespace) -> None:
    """Rates and tails with a model that takes 20 ms; the stand-in alone and the service take turns."""
    print("\nThe model takes 20 ms:\n")
    print("| | clients | requests/s | p50 ms | p99 ms | CPU µs/request | statuses |\n|---|---|---|---|---|---|---|")
    found: dict[tuple[str, int], list[Result]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        upstream, mock_pid = stack.enter_context(model_server(mock, folder, 20, "ok_stopped_after_safe"))
        services = {"the service": stack.enter_context(service(upstream))}
        if options.before:
            services["the service before"] = stack.enter_context(service(upstream, checkout=options.before))
        mock_port = int(upstream.rpartition(":")[2])
        for _ in range(options.rounds):
            found[ALONE, 64].append(load(mock_port, mock_pid, 64, options.seconds, ask_directly))
            for clients in (64, 256):
                for title, (pid, port) in services.items():
                    found[title, clients].append(load(port, pid, clients, options.seconds, moderate))
    best = {cell: max(runs, key=lambda run: run.per_second) for cell, runs in found.items()}
    for (title, clients), one in best.items():
        row(title, clients, one)
    direct = best[ALONE, 64]
    for title in services:
        share, ratio = best[title, 64].per_second / direct.per_second, best[title, 64].p99_ms / direct.p99_ms
        print(f"\nWith 64 clients {title} has {share:.0%} of the direct rate, p99 {ratio:.1f} times the direct one.")
    assert all(set(one.statuses) <= {200, 429} for runs in found.values() for one in runs), found


def row(title: str, clients: int, one: Result) -> None:
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(one.statuses.items()))
    cells = (f"{one.per_second:.0f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.cpu_us:.0f}", statuses)
    print(f"| {title} | {clients} | {' | '.join(cells)} |", flush=True)


def load(port: int, pid: int, clients: int, seconds: float, make: Request) -> Result:
    return run_load(port=port, pid=pid, clients=clients, seconds=seconds, make_request=make)


def moderate(number: int) -> bytes:
    return post("/moderate", json.dumps({"prompt": TEXT.format(n=number)}).encode(), key=KEY)


def moderate_severity(number: int) -> bytes:
    return post("/moderate", json.dumps({"prompt": TEXT.format(n=number), "detail": "severity"}).encode(), key=KEY)


def moderate_without_key(number: int) -> bytes:
    return post("/moderate", json.dumps({"prompt": TEXT.format(n=number)}).encode())


def ask_directly(number: int) -> bytes:
    body = {**QUESTION, "messages": [{"role": "user", "content": TEXT.format(n=number)}]}
    return post("/v1/chat/completions", json.dumps(body).encode())


@contextlib.contextmanager
def process(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[int]:
    """A server until the end of the block, once its port answers."""
    one = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        # Not in this checkout: an interpreter would take the service that lies in the folder, not its own.
        cwd="/",
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        else:
            raise SystemExit(f"{command[0]} did not start.")
        time.sleep(0.5)
        yield one.pid
    finally:
        one.terminate()
        one.wait()


@contextlib.contextmanager
def model_server(mock: Path, folder: str, delay_ms: float, recording: str) -> Iterator[tuple[str, int]]:
    files = []
    recordings = {
        "-u": recording,
        "-a": "ok_full_response_safe_label_ids",
        "-t": "tokenize_labels",
        "-h": "ok_full_unsafe",
    }
    for flag, name in recordings.items():
        file = Path(folder) / f"{name}.json"
        body = json.loads((RECORDINGS / f"{name}.json").read_text())["body"]
        file.write_text(json.dumps(body, separators=(",", ":")))
        files += [flag, str(file)]
    port = free_port()
    with process([str(mock), "-p", str(port), "-d", str(delay_ms), *files], port) as pid:
        yield f"http://127.0.0.1:{port}", pid


@contextlib.contextmanager
def service(upstream: str, *, checkout: Path | None = None, shell: str | None = None) -> Iterator[tuple[int, int]]:
    """The service as its users start it, by `shell` where that is given: a script that ends in `exec "$@"`."""
    port = free_port()
    command = [python_of(checkout), "-m", "moderation_service", "serve", "--engine", "vllm", "--upstream", upstream]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as policies:
        # A failure must show as one, not as a verdict of the embedded engine.
        policies.write("policies: {bench: {description: Fails openly., extends: balanced, on_failure: error}}")
        policies.flush()
        environment = {
            "MODERATION_API_KEYS": f"bench:{KEY}",
            "MODERATION_POLICIES_FILE": policies.name,
            "MODERATION_DEFAULT_POLICY": "bench",
            "MODERATION_DEADLINE_S": "300",
            "MODERATION_UPSTREAM_TIMEOUT_S": "300",
            "MODERATION_STORE": "off",
        }
        if shell is not None:
            command = ["sh", "-c", shell, "sh", *command]
        with process([*command, "--port", str(port)], port, environment) as pid:
            yield pid, port


@contextlib.contextmanager
def session_gateway(upstream: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    with process([sys.executable, str(Path(__file__).resolve()), "session", upstream, str(port)], port) as pid:
        yield pid, port


def serve_with_session(upstream: str, port: int) -> None:
    """The usual way: a route, a session, gunicorn's threads."""
    import requests
    from flask import Flask, Response, request
    from servers import serve_plainly

    app = Flask("session")
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))

    @app.post("/moderate")
    def moderate() -> Response:
        messages = [{"role": "user", "content": request.get_json()["prompt"]}]
        reply = session.post(f"{upstream}/v1/chat/completions", json={**QUESTION, "messages": messages}, timeout=30)
        text = reply.json()["choices"][0]["message"]["content"]
        safety, _, categories = text.partition("\n")
        return Response(json.dumps({"safety": safety, "categories": categories}), mimetype="application/json")

    serve_plainly(app, port)


if __name__ == "__main__":
    if sys.argv[1:2] == ["session"]:
        serve_with_session(sys.argv[2], int(sys.argv[3]))
    else:
        main()
