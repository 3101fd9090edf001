"""The sizes on paper of `benchmarks/fleet_size.py`."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "serving-stacks.md", ROOT / "docs" / "serving-stacks.zh-CN.md"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fleet_size", ROOT / "benchmarks" / "fleet_size.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fleet_size"] = module
    spec.loader.exec_module(module)
    return module


def test_each_part_is_sized_by_what_fills_it(script: ModuleType) -> None:
    # 0.5 ms of CPU, half full: one core. Two threads for each of 200 under way: 8 workers of 50. 100 checks to a GPU.
    inputs = script.Inputs(
        cpu_us=500, fill=0.5, latency=0.2, burst=2, threads=50, cores=4, tokens=200, cached_tokens=100,
        gpu_tokens_per_s=10_000, memory_calls=2,
    )  # fmt: skip
    one = script.fleet(1000, inputs)
    assert (one.in_flight, one.workers, one.gateways, one.gpus, one.memory_calls_per_s) == (200, 8, 2, 20, 2000)
    at = script.limits(one, inputs)
    assert at["gateway CPU"] == 16_000
    assert at["threads"] == 2_000
    assert at["GPU"] == 2_000
    # 64 calls in parts of 8 for 8 workers, on 20 servers, each for 0.2 s.
    assert at["upstream_replica_calls"] == 6_400


@pytest.mark.parametrize("rate", [1, 100, 1_000, 10_000, 100_000])
def test_every_part_but_a_single_cluster_memory_is_enough_for_the_rate(script: ModuleType, rate: float) -> None:
    for latency in (0.01, 0.1, 2.0):
        for hits in (0.0, 0.5):
            inputs = script.Inputs(latency=latency, cache_hits=hits)
            one = script.fleet(rate, inputs)
            found = script.limits(one, inputs)
            found.pop("one cluster memory")
            assert min(found.values()) >= rate
            assert one.gateways >= 2
            assert one.gpus >= 2


def test_slow_answers_need_more_threads_and_more_calls_under_way(script: ModuleType) -> None:
    quick, slow = (script.fleet(1000, script.Inputs(latency=latency)) for latency in (0.05, 2.0))
    assert slow.workers > quick.workers
    assert slow.gpus > quick.gpus


def test_what_the_cache_answers_reaches_neither_gpu_nor_cluster_memory(script: ModuleType) -> None:
    none, half = (script.fleet(10_000, script.Inputs(cache_hits=hits)) for hits in (0.0, 0.5))
    assert half.gpus == pytest.approx(none.gpus / 2, abs=1)
    assert half.memory_calls_per_s == none.memory_calls_per_s / 2


@pytest.mark.parametrize(
    "wrong", [{"latency": 0}, {"cache_hits": 1}, {"fill": 1.1}, {"cached_tokens": 300}, {"cpu_us": -1}]
)
def test_inputs_that_make_no_sense_are_refused(script: ModuleType, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"too low|below 1"):
        replace(script.Inputs(), **wrong)


def test_every_input_names_its_source(script: ModuleType) -> None:
    assert set(script.SOURCES) == set(vars(script.Inputs()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_show_what_the_script_prints(script: ModuleType, page: Path) -> None:
    shown = page.read_text(encoding="utf-8")
    rows = [line for line in script.tables(script.RATES, script.Inputs()).splitlines() if line[2:3].isdigit()]
    assert len(rows) == 2 * len(script.RATES)
    assert [row for row in rows if row not in shown] == []
