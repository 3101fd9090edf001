"""What a plan for the CPU says, takes and refuses; and that the locks are locks."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from moderation_service.launch.cpu_engines import CPU_ENGINES, Load
from moderation_service.launch.cpu_plan import plan_on_cpu
from moderation_service.launch.errors import NothingToRunOn
from moderation_service.launch.guard import GIB, GUARDS
from moderation_service.launch.machine import Machine, available_memory, read_machine
from moderation_service.launch.preparation import Missing
from moderation_service.upstream.dialects import DIALECTS

EVERYTHING, NOTHING = Missing(True, True, True), Missing(False, False, False)
MACHINE = Machine(
    cores=8,
    available_bytes=16 * GIB,
    architecture="x86_64",
    glibc=(2, 36),
    python=(3, 11),
    cpu_flags=frozenset({"avx2"}),
)


def plan(engine="llamacpp", guard=GUARDS[-1], missing=EVERYTHING, free_bytes=50_000_000_000, context=None, **machine):
    return plan_on_cpu(
        CPU_ENGINES[engine],
        guard,
        replace(MACHINE, **machine),
        missing=missing,
        origin="https://huggingface.co",
        cache=Path("/cache"),
        free_bytes=free_bytes,
        context=context,
    )


def test_a_plan_says_what_is_fetched_taken_and_to_be_expected():
    assert plan().lines() == [
        "Qwen/Qwen3Guard-Gen-0.6B on this machine's CPU:",
        "  engine    llama.cpp on 7 of 8 cores, 4 questions at a time, context 2560",
        "  fetch     52 MB of programs from the package index and 1.2 GB model from https://huggingface.co",
        "  disk      2.0 GB in /cache, which has 50.0 GB free",
        "  memory    2.0 GiB, of 16.0 GiB that are available",
        "  a check   about 0.2 s for a sentence, 4.0 s for a text of 1,700 tokens: computed, and measured once it runs",
        "  till then the embedded engine `lite` answers, marked as degraded",
    ]


def test_a_core_is_left_to_the_service_where_there_is_more_than_one():
    assert [plan(cores=cores).load.threads for cores in (1, 2, 16)] == [1, 1, 15]
    assert "on the only core" in plan(cores=1).lines()[1]


def test_what_is_there_is_neither_fetched_nor_counted():
    assert plan(missing=NOTHING).disk_bytes == 0
    assert plan(missing=NOTHING, free_bytes=0).lines()[2] == "  fetch     nothing"


def test_another_engine_is_named_where_it_would_be_quicker():
    fast = frozenset({"avx512_bf16"})
    assert plan(cpu_flags=fast).lines()[-1].startswith("  quicker   --cpu-engine vllm: about 0.1 s")
    for slower in (
        {"available_bytes": 6 * GIB},
        {"python": (3, 13)},
        {"architecture": "aarch64"},
        {"cpu_flags": frozenset()},
    ):
        assert "quicker" not in plan(**{"cpu_flags": fast, **slower}).lines()[-1]
    assert "quicker" not in plan("vllm", cpu_flags=fast).lines()[-1]


def test_with_little_memory_fewer_questions_run_at_a_time_but_never_one_alone():
    assert plan(available_bytes=2 * GIB).load.slots == 2
    with pytest.raises(NothingToRunOn, match=r"needs about 1.7 GiB of memory; 1.0 GiB are available"):
        plan(available_bytes=GIB)


def test_a_disk_without_room_is_refused_before_anything_is_fetched():
    with pytest.raises(NothingToRunOn, match=r"/cache: 2.0 GB are needed .* but the disk has 1.9 GB\. --cache-dir"):
        plan(free_bytes=1_900_000_000)


@pytest.mark.parametrize(
    ("engine", "machine", "said"),
    [
        ("llamacpp", {"architecture": "ppc64le"}, "not for ppc64le"),
        ("llamacpp", {"glibc": None}, "glibc 2.28 or newer"),
        ("llamacpp", {"glibc": (2, 17)}, "glibc 2.28 or newer"),
        ("vllm", {"architecture": "aarch64"}, "for x86_64, not for aarch64"),
        ("vllm", {"python": (3, 12)}, "for Python 3.11, this is 3.12"),
    ],
)
def test_a_machine_for_which_there_are_no_wheels_is_refused(engine, machine, said):
    with pytest.raises(NothingToRunOn, match=re.escape(said)):
        plan(engine, **machine)


def test_a_context_beyond_the_models_is_refused():
    with pytest.raises(NothingToRunOn, match="goes up to 32768"):
        plan(context=40_000)


def test_a_slow_machine_gets_the_time_it_needs_and_a_quick_one_keeps_the_usual():
    slow, quick = plan(cores=1).timeouts(), plan(cores=64, context=512).timeouts()
    assert int(slow["UPSTREAM_TIMEOUT_S"]) > 100
    assert quick["UPSTREAM_TIMEOUT_S"] == "15"
    assert slow["UPSTREAM_CONCURRENCY"] == "8"


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.size)
@pytest.mark.parametrize("engine", CPU_ENGINES.values(), ids=lambda engine: engine.name)
def test_more_text_and_more_weights_cost_more_and_more_threads_less(engine, guard):
    seconds = [engine.seconds(guard, tokens, threads=1) for tokens in (100, 320, 600, 2000, 4000)]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert engine.seconds(guard, 600, threads=4) == pytest.approx(seconds[2] / 4)
    assert engine.seconds(guard, 600, threads=1) >= engine.seconds(GUARDS[-1], 600, threads=1)


@pytest.mark.parametrize("engine", CPU_ENGINES.values(), ids=lambda engine: engine.name)
def test_every_requirement_of_a_lock_is_one_version_with_hashes(engine):
    text = re.sub(r"^#.*\n", "", engine.lock.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in text.splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==[^\s;]+(\s+--hash=sha256:[0-9a-f]{64})+\s*", line), line


@pytest.mark.parametrize("engine", CPU_ENGINES.values(), ids=lambda engine: engine.name)
def test_an_engine_serves_on_the_loopback_interface_in_a_dialect_that_is_known(engine):
    assert engine.dialect in DIALECTS
    command = engine.command(Path("/env/bin/python"), Path("/m"), port=8001, guard=GUARDS[-1], load=Load(2560, 4, 3))
    assert (command.base_url, command.served_name) == ("http://127.0.0.1:8001", GUARDS[-1].repo)
    assert "8001" in command.argv
    assert command.argv[0].startswith("/env/bin/")


def test_this_machine_can_be_read():
    machine = read_machine()
    assert machine.cores >= 1
    assert machine.available_bytes > 0
    assert machine.python == sys.version_info[:2]


def test_a_containers_share_of_memory_counts_and_its_page_cache_gives_way(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:   4194304 kB\n")
    group = tmp_path / "group"
    group.mkdir()
    for name, content in (
        ("max", "2147483648"),
        ("current", "1073741824"),
        ("stat", "anon 1\ninactive_file 536870912\n"),
    ):
        (group / f"memory.{name}").write_text(content)
    assert available_memory(meminfo=meminfo, groups=lambda: iter([group])) == 1536 * 1024**2
    (group / "memory.max").write_text("max\n")
    assert available_memory(meminfo=meminfo, groups=lambda: iter([group])) == 4 * GIB
    assert available_memory(meminfo=tmp_path / "none", groups=lambda: iter([])) == sys.maxsize
