"""One check by this service and by LiteLLM's proxy, in one run: `python benchmarks/compare_litellm.py`.

Both stand in front of the same stand-in in C (`mock_vllm.c`, needs `cc`), which answers at once or after 20 ms: to this
service as vLLM with Qwen3Guard does, to LiteLLM as a guardrail server does ("let it pass") and as a language model.
LiteLLM is its proxy as `tests/litellm/run.sh` installs it, without a database, logging errors only. Both have one
worker process: LiteLLM's supervisor of several replaces those that are busy for too long.

What is closest to `POST /moderate` there is `POST /guardrails/apply_guardrail`: one text in, one call to the guard, one
verdict out. The rows below it are what a chat costs there, without and with a guardrail on the prompt, and with this
service as that guardrail; of that row LiteLLM's share is shown, and the service's in brackets.

CPU is user and system time of all processes of a server, per request. It is comparable between rows of one run;
requests per second depend on what else the machine does, and the load runs on the same cores.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml
from bench_gateway import KEY, TEXT, model_server, process, service
from load import cpu_seconds, free_port, machine, memory_mb, post, run_load

HERE = Path(__file__).resolve().parent
LITELLM = HERE.parent / ".venv-litellm" / "bin" / "litellm"
MASTER_KEY = "sk-bench-0123456789abcdef"
GUARDRAIL_PATH = "/beta/litellm_basic_guardrail_api"
# LiteLLM appends the path unless the address ends with it; so the stand-in sees the only path that it has a delay for.
AS_CHAT = f"/v1/chat/completions?{GUARDRAIL_PATH}"
CLIENTS = (1, 16)
WARM = 20
RUNS = itertools.count(1)

Request = Callable[[int], bytes]
Maker = Callable[[str], Request]
"""The requests of one run, by its name."""


@dataclass(frozen=True)
class Row:
    """What one kind of request cost, by number of clients: µs of CPU, of which elsewhere, requests/s, p50 in ms."""

    title: str
    cells: dict[int, tuple[float, float, float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements per cell; the cheapest one counts")
    options = parser.parse_args()
    if not LITELLM.exists():
        raise SystemExit("LiteLLM is missing: tests/litellm/run.sh installs it.")
    os.environ["MODERATION_WORKERS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        mock = Path(folder) / "mock_vllm"
        subprocess.run(["cc", "-O2", "-o", mock, HERE / "mock_vllm.c"], check=True)
        for delay_ms in (0, 20):
            print(f"\nThe model and the guard answer {f'after {delay_ms} ms' if delay_ms else 'at once'}:\n")
            compare(mock, folder, delay_ms, options)
    print(f"\n{machine()}; one worker each; model, guard and load on the same machine.")


def compare(mock: Path, folder: str, delay_ms: float, options: argparse.Namespace) -> None:
    """Print a table for one speed of the model."""
    rows: list[Row] = []
    with model_server(mock, folder, delay_ms, "ok_stopped_after_safe") as (model, _), service(model) as (pid, port):
        guard = f"http://127.0.0.1:{port}"
        rows.append(measured("this service, `POST /moderate`", port, pid, moderate, options))
        rows.append(measured(f"this service, `POST {GUARDRAIL_PATH}`", port, pid, guardrail_call, options))
        with passing_guard(mock, folder, delay_ms) as passing, litellm(folder, model, passing, guard) as (lite, to):
            memory = sum(shared for _, shared in memory_mb(lite).values())
            rows.append(measured("LiteLLM, `POST /guardrails/apply_guardrail`", to, lite, apply_guardrail, options))
            rows.append(measured("LiteLLM, a chat without a guardrail", to, lite, chat(), options))
            rows.append(measured("LiteLLM, a chat with a guardrail", to, lite, chat("passing"), options))
            ours = chat("service")
            rows.append(measured("LiteLLM, a chat with this service", to, lite, ours, options, also=pid))
        ours_mb = sum(shared for _, shared in memory_mb(pid).values())
    print_table(rows)
    print(f"\nMemory: this service {ours_mb:.0f} MiB, LiteLLM {memory:.0f} MiB.")


def print_table(rows: list[Row]) -> None:
    heads = " | ".join(f"CPU µs, {n} | requests/s, {n} | p50 ms, {n}" for n in CLIENTS)
    print(f"| clients: | {heads} | CPU, times the first row |\n|---|{'---|' * (3 * len(CLIENTS) + 1)}")
    for row in rows:
        cells = []
        for clients in CLIENTS:
            cpu, elsewhere, rate, p50 = row.cells[clients]
            cells += [f"{cpu:.0f}{f' ({elsewhere:.0f})' if elsewhere else ''}", f"{rate:.0f}", f"{p50:.1f}"]
        ratio = row.cells[CLIENTS[-1]][0] / rows[0].cells[CLIENTS[-1]][0]
        print(f"| {row.title} | {' | '.join(cells)} | {ratio:.1f} |")


def measured(
    title: str, port: int, pid: int, make: Maker, options: argparse.Namespace, *, also: int | None = None
) -> Row:
    """The cheapest of some rounds; `also` is a second server that the first one asks."""
    cells = {}
    for clients in CLIENTS:
        found = []
        for _ in range(options.rounds):
            before = cpu_seconds(also) if also else 0.0
            requests = make(str(next(RUNS)))
            one = run_load(
                port=port, pid=pid, clients=clients, seconds=options.seconds, make_request=requests, warm=WARM
            )
            assert set(one.statuses) == {200}, one
            asked = one.requests + WARM + clients
            elsewhere = (cpu_seconds(also) - before) / asked * 1e6 if also else 0.0
            found.append((one.cpu_us, elsewhere, one.per_second, one.p50_ms))
        cells[clients] = min(found)
    return Row(title, cells)


def text_of(run: str, number: int) -> str:
    """A text that no other request has, so that no verdict comes from a cache."""
    return TEXT.format(n=f"{run}-{number}")


def moderate(run: str) -> Request:
    return lambda number: post("/moderate", json.dumps({"prompt": text_of(run, number)}).encode(), key=KEY)


def guardrail_call(run: str) -> Request:
    """What LiteLLM sends for a chat of one message."""

    def make(number: int) -> bytes:
        text = text_of(run, number)
        body = {
            "input_type": "request",
            "litellm_call_id": f"bench-{run}-{number}",
            "structured_messages": [{"role": "user", "content": text}],
            "texts": [text],
            "request_data": {},
            "request_headers": {"user-agent": "bench"},
            "additional_provider_specific_params": {},
        }
        return post(GUARDRAIL_PATH, json.dumps(body).encode(), key=KEY)

    return make


def apply_guardrail(run: str) -> Request:
    def make(number: int) -> bytes:
        body = {"guardrail_name": "passing", "text": text_of(run, number)}
        return post("/guardrails/apply_guardrail", json.dumps(body).encode(), key=MASTER_KEY)

    return make


def chat(*guardrails: str) -> Maker:
    def make(run: str, number: int) -> bytes:
        messages = [{"role": "user", "content": text_of(run, number)}]
        body = {"model": "chat", "messages": messages, "guardrails": list(guardrails)}
        return post("/v1/chat/completions", json.dumps(body).encode(), key=MASTER_KEY)

    return lambda run: partial(make, run)


@contextlib.contextmanager
def passing_guard(mock: Path, folder: str, delay_ms: float) -> Iterator[str]:
    """A guardrail server that lets everything pass."""
    file = Path(folder) / "passing.json"
    file.write_text('{"action":"NONE"}')
    port = free_port()
    flags = [flag for name in "uat" for flag in (f"-{name}", str(file))]
    with process([str(mock), "-p", str(port), "-d", str(delay_ms), *flags], port):
        yield f"http://127.0.0.1:{port}{AS_CHAT}"


@contextlib.contextmanager
def litellm(folder: str, model: str, passing: str, guard: str) -> Iterator[tuple[int, int]]:
    """LiteLLM's proxy with a model and two guardrails; its process and its port."""
    upstream = {"model": "openai/qwen3guard", "api_base": f"{model}/v1", "api_key": "none"}

    def guardrail(name: str, api_base: str) -> dict[str, object]:
        params = {"guardrail": "generic_guardrail_api", "mode": "pre_call", "api_base": api_base, "api_key": KEY}
        return {"guardrail_name": name, "litellm_params": params}

    config = {
        "model_list": [{"model_name": "chat", "litellm_params": upstream}],
        "guardrails": [guardrail("passing", passing), guardrail("service", guard)],
        "general_settings": {"master_key": MASTER_KEY},
    }
    file = Path(folder) / "litellm.yaml"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    command = [str(LITELLM), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    # Without the first it waits for a download at its start; with more than errors logged it is slower.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    one = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True, **quiet)
    try:
        wait_until_ready(port)
        yield one.pid, port
    finally:
        os.killpg(one.pid, signal.SIGKILL)
        one.wait()


def wait_until_ready(port: int) -> None:
    """Seconds on an idle machine, half a minute on a busy one."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/health/liveliness")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise SystemExit("LiteLLM did not start.")


if __name__ == "__main__":
    main()
