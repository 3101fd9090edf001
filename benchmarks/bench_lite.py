"""How fast and how big is the embedded engine? Prints a markdown table: `python benchmarks/bench_lite.py`.

CPU time of one thread per text, after a warm-up; texts are the project's own training rows and what is made of them.
With `--before DIR`, another checkout of this project, its engine takes turns with this one text by text, so that both
meet the machine in the same moods; then the ratios mean more than the times.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import math
import os
import platform
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
# One thread for the matrix products, as the service itself sets.
_ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# VmHWM and not ru_maxrss: a child's ru_maxrss begins at its parent's.
_MEMORY = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
_LOAD = (
    "import time\nbegan = time.perf_counter()\n"
    "from moderation_service.engines.lite.model import LiteModel\n"
    "imported = time.perf_counter()\n"
    "LiteModel.load().judge_prompt('How do I bake a cake?')\n"
    "print(imported - began, time.perf_counter() - imported)"
)
_ENGINE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from moderation_service.engines.lite.model import LiteModel
model = LiteModel.load()
for line in sys.stdin:
    kind, text = json.loads(line)
    began = time.process_time()
    model.judge_prompt(text) if kind == "prompt" else model.judge_response("Can you help me with this?", text)
    print(time.process_time() - began, flush=True)
"""


class Engine:
    """The engine of one checkout, in a process of its own."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ENGINE, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_ENVIRONMENT,
            cwd=root,
        )

    def cpu_ms(self, kind: str, text: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([kind, text]) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline()) * 1000

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def own_rows() -> list[dict[str, str]]:
    """The project's own prompts."""
    rows = []
    for path in sorted((ROOT / "training" / "own").glob("own?.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines]
    return rows


def mixed_texts(prompts: Sequence[str], count: int, chance: random.Random) -> list[str]:
    """Texts of one to 400 characters: single prompts, and several in a row cut at a random length."""
    texts = []
    for number in range(count):
        text = chance.choice(prompts)
        if number % 2:
            limit = chance.randint(100, 400)
            while len(text) < limit:
                text += " " + chance.choice(prompts)
            text = text[:limit]
        texts.append(text[:400])
    return texts


def long_text(prompts: Sequence[str], size: int, chance: random.Random) -> str:
    """Prompts in a row, none twice before all were there."""
    text: list[str] = []
    length = 0
    while length < size:
        shuffled = chance.sample(prompts, len(prompts))
        text += [f"{number}. {prompt}" for number, prompt in enumerate(shuffled, len(text))]
        length += sum(map(len, shuffled))
    return "\n".join(text)[:size]


def machine_texts(size: int, chance: random.Random) -> dict[str, str]:
    """Text that no person wrote."""
    log = (
        f"2026-05-{number % 28 + 1:02d}T12:{number % 60:02d}:07Z host{number % 9} GET /a/b{number}?x={number % 7} 200 "
        f"{chance.random():.6f} id={chance.getrandbits(64):016x}\n"
        for number in range(size // 80)
    )
    entries = ({"id": number, "name": f"item {number}", "value": chance.random()} for number in range(size // 40))
    return {
        "log": "".join(log)[:size],
        "JSON": json.dumps(list(entries))[:size],
        "base64 of random bytes": base64.b64encode(chance.randbytes(size)).decode()[:size],
        "one letter": "a" * size,
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def measure(engines: Sequence[Engine], kind: str, texts: Sequence[str]) -> list[list[float]]:
    """CPU milliseconds per engine, sorted; they take turns in beginning."""
    times: list[list[float]] = [[] for _ in engines]
    for number, text in enumerate(texts):
        order = list(range(len(engines)))
        for index in order if number % 2 else reversed(order):
            times[index].append(engines[index].cpu_ms(kind, text))
    return [sorted(one) for one in times]


def row(name: str, times: Sequence[Sequence[float]]) -> str:
    *before, now = ([percentile(one, share) for share in (0.5, 0.9, 0.99)] for one in times)
    cells = [f"{value:.1f}" for value in now]
    for old in before:
        cells += [f"{was:.1f} (x{value / was:.2f})" for was, value in zip(old[::2], now[::2], strict=True)]
    return f"| {name} | {len(times[0])} | {' | '.join(cells)} |"


@contextmanager
def running(roots: Sequence[Path]) -> Iterator[list[Engine]]:
    engines = [Engine(root) for root in roots]
    try:
        yield engines
    finally:
        for engine in engines:
            engine.close()


def child(code: str) -> list[float]:
    """Run code in a fresh interpreter and read the numbers it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=_ENVIRONMENT
    )
    return [float(word) for word in done.stdout.split()]


def memory_mib(code: str) -> float:
    return child(f"{code}\n{_MEMORY}")[-1] / 1024


def machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def workloads(chance: random.Random, *, long: bool) -> Iterator[tuple[str, str, list[str]]]:
    """What is measured: a name, prompt or response, and texts."""
    rows = own_rows()
    prompts = [one["prompt"] for one in rows]
    by_language = {name: [one["prompt"] for one in rows if one["lang"] == name] for name in ("en", "zh")}
    short = mixed_texts(prompts, 600, chance)
    yield "prompts of up to 400 characters, mixed", "prompt", short
    for name, own in by_language.items():
        yield f"the same, {name} alone", "prompt", mixed_texts(own, 300, chance)
    yield "prompts of 300 to 400 characters", "prompt", [text for text in short if len(text) >= 300]
    yield "responses of up to 400 characters", "response", short[:200]
    for size, count in ((4_000, 20), (30_000, 5)):
        for name, own in by_language.items():
            yield (
                f"prompts of {size // 1000} kB, {name}",
                "prompt",
                [long_text(own, size, chance) for _ in range(count)],
            )
    if long:
        texts = {name: long_text(own, 1_000_000, chance) for name, own in by_language.items()}
        for name, text in {**texts, **machine_texts(1_000_000, chance)}.items():
            yield f"1 MB, {name}, as a prompt", "prompt", [text]
            yield f"1 MB, {name}, as a response", "response", [text]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path, help="another checkout, to take turns with")
    parser.add_argument("--short", action="store_true", help="nothing over 30 kB")
    options = parser.parse_args()
    roots = [*([options.before.resolve()] if options.before else []), ROOT]
    compared = " before p50 | before p99 |" if options.before else ""
    print(f"Machine: {machine()}. CPU milliseconds per text, one thread.\n")
    print(f"| what | texts | p50 | p90 | p99 |{compared}\n|---|---|---|---|---|{'---|' * compared.count('before')}")
    chance = random.Random(0)
    with running(roots) as engines:
        measure(engines, "prompt", mixed_texts([one["prompt"] for one in own_rows()], 100, chance))
        for name, kind, texts in workloads(chance, long=not options.short):
            print(row(name, measure(engines, kind, texts)), flush=True)
    imported, loaded = child(_LOAD)
    bare = memory_mib("import numpy")
    engine = memory_mib(_LOAD)
    weights = next((ROOT / "moderation_service" / "engines" / "lite" / "assets").glob("lite-*.npz"))
    print(f"\n- import {imported:.2f} s, load and first verdict {loaded:.2f} s")
    print(f"- memory: numpy alone {bare:.0f} MiB, with the engine {engine:.0f} MiB")
    print(f"- weights: {weights.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
