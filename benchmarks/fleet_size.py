"""How many gateways, cores and GPUs so many checks a second need, on paper: from costs that were measured or published.

Run: python benchmarks/fleet_size.py [--rates 100 1000] [--latency 0.1] ...   (--help names the source of every figure)

Nothing is run here. The result is as good as the inputs: measure your own GPU with `moderation-service bench`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil

RATES = (100, 1_000, 10_000, 100_000)
_MAY_BE_0 = {"cache_hits", "cached_tokens", "replica_calls", "cached_cpu_us"}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a check costs, and how full each part may be. `SOURCES` says where each figure comes from."""

    cpu_us: float = 480
    cached_cpu_us: float = 174
    cache_hits: float = 0.0
    latency: float = 0.1
    burst: float = 2.0
    fill: float = 0.7
    cores: int = 4
    threads: int = 64
    replica_calls: int = 64
    tokens: float = 300
    cached_tokens: float = 0
    gpu_tokens_per_s: float = 39_200
    memory_calls: float = 2
    memory_calls_per_s: float = 80_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name not in _MAY_BE_0):
                raise ValueError(f"{field.name.replace('_', '-')} is too low")
        if self.cache_hits >= 1 or self.fill > 1 or self.cached_tokens >= self.tokens:
            raise ValueError("cache-hits is below 1, fill at most 1, and cached-tokens less than tokens")

    @property
    def checks_per_gpu(self) -> float:
        """Checks a second of one full GPU."""
        return self.gpu_tokens_per_s / (self.tokens - self.cached_tokens)

    @property
    def mean_cpu_s(self) -> float:
        """CPU seconds of a gateway for one check, those answered from the cache counted in."""
        return (self.cpu_us * (1 - self.cache_hits) + self.cached_cpu_us * self.cache_hits) / 1e6


SOURCES = {
    "cpu_us": "CPU of the gateway for a verdict, microseconds; docs/performance.md, 64 clients, a model of 20 ms",
    "cached_cpu_us": "the same for one answered from the cache; docs/performance.md, 16 clients",
    "cache_hits": "share of checks answered from the cache, 0 to 1; yours, from moderation_cache_hits_total",
    "latency": "seconds until the model answers; yours, from the dashboard",
    "burst": "threads there are for each one needed on average; docs/operations.md, Sizing",
    "fill": "how full cores and GPUs are to be at most, 0 to 1",
    "cores": "workers of a gateway, one for each core",
    "threads": "the setting threads",
    "replica_calls": "the setting upstream_replica_calls",
    "tokens": "tokens of a check, with the template (202 before the text, 96 behind it) and the answer",
    "cached_tokens": "of these, found in the model server's prefix cache (192 of the template's, where it is on)",
    "gpu_tokens_per_s": "tokens a GPU reads and writes a second: GPUStack's performance lab has 10,597 for Qwen3-14B "
    "on an H100 SXM (vLLM 0.11.0, untuned, 2,000 tokens in, 100 out), here times 14.8 / 4.0 for the 4B",
    "memory_calls": "calls to the cluster memory for a check that is judged: one to look, one to keep",
    "memory_calls_per_s": "what one Valkey or Redis answers without pipelining; Redis' own benchmark page has 81,000 "
    "(GET) to 110,000 (SET)",
}


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """So many of each for `rate` checks a second. There are two gateways and two GPUs at least: one may fail."""

    rate: float
    gateways: int
    workers: int
    gpus: int
    in_flight: float
    memory_calls_per_s: float


def fleet(rate: float, inputs: Inputs) -> Fleet:
    """The smallest fleet for so many checks a second."""
    judged = rate * (1 - inputs.cache_hits)
    in_flight = judged * inputs.latency
    workers = max(rate * inputs.mean_cpu_s / inputs.fill, in_flight * inputs.burst / inputs.threads)
    gateways = max(2, ceil(workers / inputs.cores))
    gpus = max(2, ceil(judged / inputs.checks_per_gpu / inputs.fill))
    per_gpu = gateways * inputs.cores * _calls_per_worker(gateways * inputs.cores, inputs)
    if inputs.replica_calls:
        gpus = max(gpus, ceil(in_flight / per_gpu))
    return Fleet(
        rate=rate,
        gateways=gateways,
        workers=gateways * inputs.cores,
        gpus=gpus,
        in_flight=in_flight,
        memory_calls_per_s=judged * inputs.memory_calls,
    )


def _calls_per_worker(workers: int, inputs: Inputs) -> int:
    """Calls that one of so many workers may have under way on one model server: its part, and at least one."""
    return max(1, inputs.replica_calls // workers)


def limits(one: Fleet, inputs: Inputs) -> dict[str, float]:
    """The checks a second at which each part of this fleet is full."""
    judged = 1 - inputs.cache_hits
    found = {
        "gateway CPU": one.workers / inputs.mean_cpu_s,
        "threads": one.workers * inputs.threads / inputs.latency / judged,
        "GPU": one.gpus * inputs.checks_per_gpu / judged,
        "one cluster memory": inputs.memory_calls_per_s / inputs.memory_calls / judged,
    }
    if inputs.replica_calls:
        calls = one.gpus * one.workers * _calls_per_worker(one.workers, inputs)
        found["upstream_replica_calls"] = calls / inputs.latency / judged
    return found


def tables(rates: Sequence[float], inputs: Inputs) -> str:
    """Two Markdown tables: the fleets, and where each part of them is full."""
    fleets = [fleet(rate, inputs) for rate in rates]
    lines = [
        "| checks/s | gateways | cores | under way | GPUs | calls under way per GPU | cluster memory, calls/s |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.rate:,.0f} | {one.gateways:,} | {one.workers:,} | {one.in_flight:,.0f} | {one.gpus:,} "
        f"| {one.in_flight / one.gpus:,.0f} | {one.memory_calls_per_s:,.0f} |"
        for one in fleets
    ]
    full = [limits(one, inputs) for one in fleets]
    parts = list(full[0])
    lines += ["", f"| checks/s | {' | '.join(parts)} | full first |", "|---" * (len(parts) + 2) + "|"]
    lines += [
        f"| {one.rate:,.0f} | {' | '.join(f'{at[part]:,.0f}' for part in parts)} | {min(parts, key=at.__getitem__)} |"
        for one, at in zip(fleets, full, strict=True)
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, metavar="N", help="checks a second")
    for field in fields(Inputs):
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=type(field.default), default=field.default, metavar="N",
            help=f"{SOURCES[field.name]} (default {field.default})",
        )  # fmt: skip
    given = vars(parser.parse_args())
    rates = given.pop("rates")
    try:
        print(tables(rates, Inputs(**given)))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
