"""What the service saves on a real vLLM: `python benchmarks/bench_vllm_fastpath.py http://127.0.0.1:8101`.

Three ways to get a verdict from the same server in the same run, each with 1, 8 and 32 clients:

- *plain*: the call of Qwen3Guard's own documentation, `{"model", "messages"}` to vLLM, nothing between; with
  temperature 0 added, because a model this small would wander off otherwise;
- *full*: `POST /moderate` of the service in front of it: severity, categories, probabilities;
- *severity*: the same with `detail: severity`.

The server must serve tiny-guard (examples/tiny-guard), or benchmarks/large_model.py's model, which has the dimensions
of Qwen3Guard-Gen-0.6B and answers like tiny-guard. Every text is new; four in five are safe. The service's worker
processes and the load share the machine with the server.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from bench_gateway import KEY, service
from load import Result, machine, post, run_load

ROOT = Path(__file__).resolve().parents[1]
# With tiny-guard's short template, that many tokens to read as the real one leaves beside its cached beginning.
_SENTENCES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="base address of vLLM, without a key")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one measurement")
    parser.add_argument("--clients", default="1,8,32")
    options = parser.parse_args()
    texts = make_texts(20_000)
    served = int(options.url.rpartition(":")[2].rstrip("/"))
    print("| call | clients | verdicts/s | p50 ms | p99 ms | against plain |\n|---|---|---|---|---|---|")
    with service(options.url) as (pid, port):

        def plain(number: int) -> bytes:
            body = {"model": "qwen3guard", "messages": [{"role": "user", "content": next(texts)}], "temperature": 0}
            return post("/v1/chat/completions", json.dumps(body).encode())

        def full(number: int) -> bytes:
            return post("/moderate", json.dumps({"prompt": next(texts)}).encode(), key=KEY)

        def severity(number: int) -> bytes:
            return post("/moderate", json.dumps({"prompt": next(texts), "detail": "severity"}).encode(), key=KEY)

        for clients in map(int, options.clients.split(",")):
            base: Result | None = None
            for name, target, make in (("plain", served, plain), ("full", port, full), ("severity", port, severity)):
                one = run_load(
                    port=target, pid=pid, clients=clients, seconds=options.seconds, make_request=make, warm=2 * clients
                )
                assert set(one.statuses) == {200}, one.statuses
                base = base or one
                gain = one.per_second / base.per_second
                print(
                    f"| {name} | {clients} | {one.per_second:.1f} | {one.p50_ms:.0f} | {one.p99_ms:.0f} | {gain:.2f} |",
                    flush=True,
                )
    print(f"\n{machine()}; the server, the service and the load on the same cores.")


def make_texts(count: int) -> Iterator[str]:
    data = tiny_guard_data()
    return (
        data.long_text(_SENTENCES, seed=f"bench-{number}", category="Violent" if number % 5 == 0 else None)
        for number in range(count)
    )


def tiny_guard_data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("data", ROOT / "examples" / "tiny-guard" / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
