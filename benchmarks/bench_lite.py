# ruff: noqa: E402  (the thread settings must come before numpy)
"""How fast and how big is the embedded engine? Prints a markdown table: `python benchmarks/bench_lite.py`.

CPU time of one thread per text, after a warm-up; texts are the project's own training rows and what is made of them.
"""

import os

# One thread for the matrix products, as the service itself sets; must be there before numpy loads.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import gzip
import json
import math
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

# VmHWM and not ru_maxrss: a child's ru_maxrss begins at its parent's.
_MEMORY = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
_LOAD = (
    "import time\nbegan = time.perf_counter()\n"
    "from moderation_service.engines.lite.model import LiteModel\n"
    "imported = time.perf_counter()\n"
    "LiteModel.load().judge_prompt('How do I bake a cake?')\n"
    "print(imported - began, time.perf_counter() - imported)"
)


def own_prompts() -> list[str]:
    """Prompts of the project's own training rows."""
    texts = []
    for path in sorted((ROOT / "training" / "own").glob("own?.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["prompt"] for line in lines]
    return texts


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


def cpu_ms(work: Callable[[str], object], texts: Sequence[str]) -> list[float]:
    """CPU milliseconds per text, sorted."""
    times = []
    for text in texts:
        began = time.process_time()
        work(text)
        times.append((time.process_time() - began) * 1000)
    return sorted(times)


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def row(name: str, times: Sequence[float]) -> str:
    p50, p90, p99 = (percentile(times, share) for share in (0.5, 0.9, 0.99))
    return f"| {name} | {len(times)} | {p50:.1f} | {p90:.1f} | {p99:.1f} |"


def child(code: str) -> list[float]:
    """Run code in a fresh interpreter and read the numbers it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
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


def main() -> None:
    from moderation_service.engines.lite.assets import WEIGHTS
    from moderation_service.engines.lite.model import LiteModel

    chance = random.Random(0)
    prompts = own_prompts()
    model = LiteModel.load()

    def respond(text: str) -> object:
        return model.judge_response("Can you help me with this?", text)

    short = mixed_texts(prompts, 600, chance)
    cpu_ms(model.judge_prompt, short[:100])
    print(f"Machine: {machine()}. CPU milliseconds per text, one thread.\n")
    print("| what | texts | p50 | p90 | p99 |\n|---|---|---|---|---|")
    print(row("prompts of up to 400 characters, mixed", cpu_ms(model.judge_prompt, short)))
    print(
        row(
            "prompts of 300 to 400 characters", cpu_ms(model.judge_prompt, [text for text in short if len(text) >= 300])
        )
    )
    print(row("responses of up to 400 characters", cpu_ms(respond, short)))
    for name, size, count in (("4 kB", 4_000, 30), ("100 kB", 100_000, 3), ("1 MB", 1_000_000, 1)):
        long = []
        for _ in range(count):
            chance.shuffle(prompts)
            long.append("\n".join(prompts * (size // 200_000 + 1))[:size])
        print(row(f"prompts of {name}", cpu_ms(model.judge_prompt, long)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    imported, loaded = child(_LOAD)
    bare = memory_mib("import numpy")
    engine = memory_mib(_LOAD)
    print(f"\n- import {imported:.2f} s, load and first verdict {loaded:.2f} s")
    print(f"- memory: numpy alone {bare:.0f} MiB, with the engine {engine:.0f} MiB, peak of this run {peak:.0f} MiB")
    print(f"- weights: {WEIGHTS.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
