"""`up --stream`: how two models share a card, what is printed, and both servers in real processes."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from fake_stream_server import write_model_dir
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.commands.cli import cli
from moderation_service.launch.errors import NothingToRunOn
from moderation_service.launch.gpu import Gpu
from moderation_service.launch.guard import GUARDS
from moderation_service.launch.plan import Wishes
from moderation_service.launch.stream import STREAM_GUARDS, plan_pair_cpu, plan_pair_gpu

from .test_up import Run, environment, executable, model_dir, start  # noqa: F401  # fixtures

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
NVIDIA_SMI = Path(__file__).parent / "nvidia_smi"


def gpu(total_mib, free_mib=None):
    return Gpu(index=0, name="Some GPU", uuid="GPU-0", total_mib=total_mib, free_mib=free_mib or total_mib - 8)


CARDS = [
    ("12 GB", 12042, "0.6B", "0.6B"),
    ("16 GB", 16056, "0.6B", "0.6B"),
    ("24 GB", 24162, "4B", "0.6B"),
    ("32 GB", 32112, "8B", "0.6B"),
    ("48 GB", 48168, "8B", "8B"),
    ("80 GB", 80280, "8B", "8B"),
]


@pytest.mark.parametrize(("card", "total_mib", "gen", "stream"), CARDS)
def test_each_card_gets_two_models_that_fit_together(card, total_mib, gen, stream):
    plans = plan_pair_gpu([gpu(total_mib)], Wishes())
    assert tuple(plan.guard.size for plan in plans) == (gen, stream)
    assert sum(plan.fraction for plan in plans) <= 0.902
    assert plans[0].context >= 4096
    assert (plans[1].context, plans[1].guard.repo) == (8192, f"Qwen/Qwen3Guard-Stream-{stream}")


def test_a_card_that_vllm_does_not_run_on_is_left_out_although_it_has_more_memory():
    old = replace(gpu(48168), index=1, capability=(6, 1))
    assert {plan.gpu.index for plan in plan_pair_gpu([old, gpu(24162)], Wishes())} == {0}


def table_row(card, total_mib):
    gen, stream = plan_pair_gpu([gpu(total_mib)], Wishes())
    return (
        f"| {card} | {gen.guard.size} | {gen.context} | {gen.fraction:g} | {gen.memory_gib:.1f} | "
        f"{stream.guard.size} | {stream.fraction:g} | {stream.memory_gib:.1f} | {stream.kv_tokens} |"
    )


@pytest.mark.parametrize("name", ["stream.md", "stream.zh-CN.md"])
def test_the_table_of_the_page_is_what_is_planned(name):
    page = (DOCS / name).read_text(encoding="utf-8")
    for card, total_mib, *_ in CARDS:
        assert table_row(card, total_mib) in page


@given(total_gib=st.integers(6, 192), used=st.floats(0, 0.6))
def test_both_together_never_take_more_than_is_free(total_gib, used):
    total = total_gib * 1004
    card = gpu(total, int((total - 8) * (1 - used)))
    try:
        plans = plan_pair_gpu([card], Wishes())
    except NothingToRunOn:
        return
    taken = sum(plan.fraction for plan in plans) * total
    assert taken <= card.free_mib
    assert all(plan.kv_bytes > 0 for plan in plans)


def test_what_the_user_fixed_is_kept():
    sizes = {guard.size: guard for guard in GUARDS}
    streams = {guard.size: guard for guard in STREAM_GUARDS}
    gen, stream = plan_pair_gpu([gpu(80280)], Wishes(guard=sizes["4B"], context=4096), stream=streams["0.6B"])
    assert (gen.guard.size, gen.context, stream.guard.size) == ("4B", 4096, "0.6B")
    with pytest.raises(NothingToRunOn, match="do not fit"):
        plan_pair_gpu([gpu(24162)], Wishes(guard=sizes["8B"]), stream=streams["8B"])


def test_on_a_cpu_both_must_fit_the_memory():
    gen, stream = plan_pair_cpu(GUARDS[-1], available_bytes=24 * 1024**3, context=None)
    assert (gen.guard.size, stream.guard.repo) == ("0.6B", "Qwen/Qwen3Guard-Stream-0.6B")
    with pytest.raises(NothingToRunOn):
        plan_pair_cpu(GUARDS[-1], available_bytes=5 * 1024**3, context=None)


@pytest.fixture
def up(tmp_path, monkeypatch):
    def run(*arguments, nvidia_smi="one_gpu.xml"):
        executable(tmp_path / "tools" / "nvidia-smi", f"#!/bin/sh\ncat {NVIDIA_SMI / nvidia_smi}\n")
        for name in ("HF_TOKEN", "HF_ENDPOINT", "CUDA_VISIBLE_DEVICES", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:/usr/bin:/bin")
        return CliRunner().invoke(cli, ["up", *map(str, arguments)])

    return run


def test_a_dry_run_prints_both_servers_and_what_the_service_is_told(up, tmp_path):
    done = up("--dry-run", "--stream", "--vllm-port", "8001", "--vllm-arg", "--max-num-seqs=64")
    assert done.exit_code == 0, done.output
    gen, stream = [line for line in done.stdout.splitlines() if " vllm serve " in line]
    assert "Qwen3Guard-Gen" in gen
    assert gen.endswith("--max-num-seqs=64")
    assert "--port 8001" in gen
    assert "Qwen3Guard-Stream" in stream
    assert "--max-model-len 8192" in stream
    assert stream.endswith("""--hf-overrides '{"guard_max_rows": 512}'""")
    service = done.stdout.splitlines()[-1]
    cache = tmp_path / ".cache" / "moderation-service" / "models" / "huggingface"
    assert f"MODERATION_STREAM_MODEL_DIR={cache}/Qwen--Qwen3Guard-Stream-" in service
    assert "MODERATION_STREAM_API_KEY=<random>" in service
    assert "MODERATION_STREAM_UPSTREAM=http://127.0.0.1:" in service


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stream-size", "4B"], "go with --stream"),
        (["--stream", "--stream-size", "4B", "--stream-model-dir", "x"], "leave --stream-size out"),
        (["--stream", "--upstream", "http://a"], "stream_upstream"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(up, arguments, said):
    done = up(*arguments)
    assert (done.exit_code, said in done.output) == (2, True)


def test_a_missing_package_is_noticed_before_anything_is_started(up, monkeypatch):
    monkeypatch.setattr("moderation_service.launch.stream.find_spec", lambda name: None)
    done = up("--stream")
    assert (done.exit_code, "pip install 'tokenizers>=" in done.output) == (1, True)


def test_another_model_in_the_folder_is_noticed(up, model_dir):  # noqa: F811
    done = up("--dry-run", "--stream", "--stream-model-dir", model_dir)
    assert (done.exit_code, "Qwen3Guard-Stream is a Qwen3ForGuardModel" in done.output) == (1, True)


def test_both_servers_come_up_judge_and_go(start, fake_vllm, model_dir, tmp_path, unused_port):  # noqa: F811
    folder = write_model_dir(
        tmp_path / "stream-model", num_hidden_layers=2, num_attention_heads=2, hidden_size=128, num_key_value_heads=1
    )
    (folder / "model.safetensors").write_bytes(b"\0" * 1024)
    run = start(
        *("--cpu", "--model-dir", model_dir, "--vllm", fake_vllm.program, "--port", unused_port),
        *("--stream", "--stream-model-dir", folder, "--", "--workers", "1"),
    )
    run.until_said("is ready: http://")
    assert "vLLM for Stream is ready" in run.text
    url = f"http://127.0.0.1:{unused_port}"
    assert requests.post(f"{url}/moderate", json={"prompt": "How can I make a bomb?"}, timeout=20).json()["safety"]
    body = {"id": "a", "response": "Mix flour and water.", "final": True}
    found = requests.post(f"{url}/moderate/stream", json=body, timeout=20).json()
    assert (found["granularity"], found["safety"], found["safe_up_to"]) == ("token", "safe", 20)
    second = json.loads((fake_vllm.folder / "start-2.json").read_text())
    assert "--hf-overrides" in second["argv"]
    assert run.end(signal.SIGTERM) == 0
