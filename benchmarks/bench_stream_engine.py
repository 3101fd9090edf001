"""What token-level judging costs on real vLLM: per call against the length of the text, and with many streams at once.

    python benchmarks/bench_stream_engine.py                       a checkpoint of 26 M parameters, on vLLM for CPU
    python benchmarks/bench_stream_engine.py --preset 0.6b         the real model's dimensions; needs patience on a CPU
    python benchmarks/bench_stream_engine.py --url URL --context 8192   a server that runs already

Weights are random: time only, no accuracy. Needs .venv-vllm (tests/vllm/run.sh makes it) unless --url is given. Each
line has, from the same run, a call with 8 new tokens and the naive call that sends the same text without a cache.
"""

from __future__ import annotations

import argparse
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "vllm"))

import servers  # noqa: E402

from moderation_service.config.settings import Secret  # noqa: E402
from moderation_service.engines.stream.growing_text import GrowingText  # noqa: E402
from moderation_service.engines.stream.server import Checkpoint, Facts, StreamServer  # noqa: E402
from moderation_service.engines.stream.tokenizer import Tokenizer  # noqa: E402
from moderation_service.upstream.client import Client  # noqa: E402

VOCABULARY = 1100
NEW = 8


@contextmanager
def server_url(args: argparse.Namespace) -> Iterator[str]:
    if args.url:
        yield args.url
        return
    with tempfile.TemporaryDirectory(prefix="stream-bench-") as folder:
        python = servers.venv(".venv-vllm") / "bin" / "python"
        script = ROOT / "tests" / "vllm_plugins" / "make_checkpoint.py"
        subprocess.run([python, script, folder, "--preset", args.preset], check=True)
        options = ["--dtype", args.dtype] if args.dtype else []
        one = servers.stream(Path(folder), *options, max_rows=512)
        one.start()
        try:
            one.wait_until_healthy()
            yield one.url
        finally:
            one.stop()


def ids(count: int) -> list[int]:
    return [random.randrange(VOCABULARY) for _ in range(count)]


class Bench:
    def __init__(self, url: str, context: int) -> None:
        client = Client(url, api_key=Secret(servers.KEY), pool_size=64, connect_timeout_s=5)
        self.server = StreamServer(client, model=None, checkpoint=Checkpoint(23, context, VOCABULARY))
        self.facts: Facts = self.server.facts(timeout_s=600)

    def call(self, text: list[int], salt: str, *, need: int = NEW) -> float:
        """Milliseconds of one call."""
        began = time.perf_counter()
        self.server.rows(text, need=need, salt=salt, facts=self.facts, timeout_s=lambda: 600.0)
        return (time.perf_counter() - began) * 1000

    def contexts(self, lengths: list[int], repeats: int) -> None:
        print(f"{'context':>8} {'+8 p50 ms':>10} {'p95':>8} {'naive p50':>10} {'naive / +8':>11}")
        first = 0.0
        for length in lengths:
            text, salt = ids(length), secrets.token_hex(16)
            self.call(text, salt, need=1)
            grown, naive = [], []
            for number in range(repeats):
                text = text + ids(NEW)
                grown.append(self.call(text, salt))
                if number % (repeats // 3) == 0:
                    naive.append(self.call(text, secrets.token_hex(16)))
            p50, whole = statistics.median(grown), statistics.median(naive)
            first = first or p50
            p95 = sorted(grown)[int(len(grown) * 0.95)]
            print(f"{length:8d} {p50:10.1f} {p95:8.1f} {whole:10.1f} {whole / p50:10.1f}x   {p50 / first:.2f} x first")

    def streams(self, count: int, steps: int) -> None:
        """A closed loop: every stream sends its next 8 tokens as soon as it has the answer to the last."""
        times: list[float] = []
        errors: list[str] = []

        def run() -> None:
            text, salt = ids(300), secrets.token_hex(16)
            try:
                self.call(text, salt, need=1)
                for _ in range(steps):
                    text = text + ids(NEW)
                    times.append(self.call(text, salt))
            except Exception as error:
                errors.append(repr(error))

        threads = [threading.Thread(target=run) for _ in range(count)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = len(times) / (time.perf_counter() - began)
        p50, p95 = statistics.median(times), sorted(times)[int(len(times) * 0.95)]
        print(
            f"{count:3d} streams: {rate:6.1f} calls/s = {rate * NEW:6.0f} tokens/s, p50 {p50:.0f}, p95 {p95:.0f} ms, "
            f"{len(errors)} errors"
        )


def tokenising() -> None:
    """What the service itself adds to a token."""
    tokenizer = Tokenizer.load(servers.TINY_GUARD / "model" / "tokenizer.json")
    text = "Mix flour, water and salt; let it rest for 12 hours. 今天天气很好，我们去公园吧。 " * 60
    growing, count, began = GrowingText(tokenizer), 0, time.perf_counter()
    for at in range(0, len(text), 4):
        count += len(growing.append(text[at : at + 4]))
    took = time.perf_counter() - began
    print(f"tokenising as text comes: {took / count * 1e6:.0f} us per token")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="a server that runs already, with the key `tiny-key` or none")
    parser.add_argument("--preset", choices=("timing", "0.6b"), default="timing")
    parser.add_argument("--dtype", help="such as bfloat16; otherwise float32")
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 1024, 4096, 7900])
    parser.add_argument("--repeats", type=int, default=24)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--steps", type=int, default=24)
    args = parser.parse_args()
    random.seed(1)
    with server_url(args) as url:
        bench = Bench(url, args.context)
        print(bench.facts)
        bench.contexts(args.lengths, args.repeats)
        for count in args.streams:
            bench.streams(count, args.steps)
    tokenising()


if __name__ == "__main__":
    main()
