"""Labels on Ray: our actor beside Ray's own HTTP processor, in one run.

    make test-ray   # makes .venv-ray
    unshare --net bash -c 'ip link set lo up; .venv-ray/bin/python benchmarks/bench_ray.py'

The model server is `mock_vllm.c` (needs `cc`), which answers after 20 ms. Both pipelines read the same JSON lines, have
one actor and write JSON lines; the time has the actor's start in it, and not `ray.init`. Rates depend on what else the
machine does: the ratio is what counts. Ray's processor also needs pydantic and aiohttp.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

import ray
from bench_gateway import HERE, TEXT, model_server
from load import machine
from ray.data.llm import HttpRequestProcessorConfig, build_processor

from moderation_service.config.settings import ServersUrl, Settings
from moderation_service.data.ray import Judges, annotate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="for our actor")
    parser.add_argument("--rows-built-in", type=int, default=4_000, help="for Ray's processor, which takes longer")
    parser.add_argument("--delay-ms", type=float, default=20.0)
    options = parser.parse_args()
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=2**28, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["cc", "-O2", "-o", folder / "mock", HERE / "mock_vllm.c"], check=True)
        with model_server(folder / "mock", name, options.delay_ms, "ok_stopped_after_safe") as (url, _):
            # The first actor of all loads what later ones find in memory.
            timed(folder, 500, lambda rows: ours(rows, url))
            built_in = timed(folder, options.rows_built_in, lambda rows: rays(rows, url))
            own = timed(folder, options.rows, lambda rows: ours(rows, url))
    print("\n| pipeline | rows | rows/s |\n|---|---|---|")
    print(f"| Ray's HTTP processor | {options.rows_built_in} | {built_in:.0f} |")
    print(f"| annotate, 256 in flight | {options.rows} | {own:.0f} |\n\n{own / built_in:.1f} times; {machine()}.")


def timed(folder: Path, count: int, label: Callable[[ray.data.Dataset], ray.data.Dataset]) -> float:
    """Rows per second, from reading to writing."""
    given = folder / f"{count}.jsonl"
    given.write_text("".join(json.dumps({"id": n, "prompt": TEXT.format(n=n)}) + "\n" for n in range(count)))
    output = folder / f"out-{time.monotonic_ns()}"
    began = time.monotonic()
    label(ray.data.read_json(str(given))).write_json(str(output))
    took = time.monotonic() - began
    lines = [line for path in output.iterdir() for line in path.read_text().splitlines()]
    assert len(lines) == count, (len(lines), count)
    assert all("safe" in line.lower() for line in lines)
    return count / took


def ours(rows: ray.data.Dataset, url: str) -> ray.data.Dataset:
    settings = Settings(engine="vllm", upstreams=(ServersUrl(url),))
    return annotate(rows, Judges(settings=settings, in_flight=256))


def rays(rows: ray.data.Dataset, url: str) -> ray.data.Dataset:
    config = HttpRequestProcessorConfig(
        url=f"{url}/v1/chat/completions",
        headers={"Authorization": "Bearer x"},
        concurrency=1,
        batch_size=64,
        max_retries=3,
    )
    question = {"model": "qwen3guard", "max_tokens": 64, "temperature": 0}
    processor = build_processor(
        config,
        preprocess=lambda row: {
            "id": row["id"],
            "payload": {**question, "messages": [{"role": "user", "content": row["prompt"]}]},
        },
        postprocess=lambda row: {
            "id": row["id"],
            "verdict": row["http_response"]["choices"][0]["message"]["content"],
        },
    )
    return processor(rows)


if __name__ == "__main__":
    main()
