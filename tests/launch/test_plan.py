"""From memory to a model. The same rows stand in docs/deploy-gpu.md."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.config.settings import Secret
from moderation_service.launch.command_line import vllm_command
from moderation_service.launch.errors import LaunchError, NothingToRunOn
from moderation_service.launch.gpu import Gpu
from moderation_service.launch.guard import GIB, GUARDS, guard_in_folder
from moderation_service.launch.plan import Wishes, plan_cpu, plan_gpu

DOCS = Path(__file__).parents[2] / "docs"
SIZES = {guard.size: guard for guard in GUARDS}


def gpu(total_mib, free_mib=None, *, index=0, **more):
    free_mib = total_mib - 8 if free_mib is None else free_mib
    return Gpu(index=index, name="Some GPU", uuid="GPU-0", total_mib=total_mib, free_mib=free_mib, **more)


# The driver keeps about two percent for itself; the cards are idle and drive no screen.
CARDS = [
    ("4 GB", 4014, "0.6B", 4096),
    ("6 GB", 6021, "0.6B", 10240),
    ("8 GB", 8028, "0.6B", 16384),
    ("10 GB", 10035, "0.6B", 16384),
    ("12 GB", 12042, "4B", 4096),
    ("16 GB", 16056, "4B", 10240),
    ("20 GB", 20070, "4B", 16384),
    ("24 GB", 24162, "8B", 10240),
    ("32 GB", 32112, "8B", 32768),
    ("48 GB", 48168, "8B", 32768),
    ("80 GB", 80280, "8B", 32768),
]


@pytest.mark.parametrize(("card", "total_mib", "size", "context"), CARDS)
def test_each_card_gets_the_largest_model_that_fits(card, total_mib, size, context):
    plan = plan_gpu([gpu(total_mib)])
    assert (plan.guard.size, plan.context) == (size, context)


def table_row(card, total_mib):
    plan = plan_gpu([gpu(total_mib)])
    return (
        f"| {card} | {plan.guard.size} | {plan.context} | {plan.fraction:g} | "
        f"{plan.memory_gib:.1f} | {plan.kv_bytes / GIB:.1f} | {plan.kv_tokens} |"
    )


@pytest.mark.parametrize("name", ["deploy-gpu.md", "deploy-gpu.zh-CN.md"])
def test_the_table_in_the_documentation_is_what_the_plan_does(name):
    rows = [line for line in (DOCS / name).read_text(encoding="utf-8").splitlines() if re.match(r"\| \d+ GB \|", line)]
    assert rows == [table_row(card, total_mib) for card, total_mib, _, _ in CARDS]


def test_a_published_setup_of_4b_in_14_gib_comes_out_as_published():
    plan = plan_gpu([gpu(24162)], Wishes(guard=SIZES["4B"], memory_gib=14))
    assert (plan.context, plan.fraction) == (10240, 0.593)
    assert plan.memory_gib == pytest.approx(14.0, abs=0.05)
    assert plan.guard.weights_bytes / GIB == pytest.approx(7.5, abs=0.05)
    assert plan.kv_bytes / GIB == pytest.approx(4.2, abs=0.05)


def test_a_large_card_is_not_taken_whole():
    plan = plan_gpu([gpu(143771)])
    assert plan.memory_gib < 28
    assert plan.kv_tokens >= 2 * plan.context


def test_what_others_have_taken_is_not_planned_with():
    plan = plan_gpu([gpu(24564, 9290)])
    assert plan.guard.size == "0.6B"
    assert plan.memory_gib < 9290 / 1024


def test_the_gpu_with_the_most_free_memory_is_taken():
    assert plan_gpu([gpu(24564, 9290), gpu(15360, 14908, index=1)]).gpu == gpu(15360, 14908, index=1)


@pytest.mark.parametrize("architecture", ["Kepler", "Maxwell", "Pascal"])
def test_a_gpu_that_vllm_does_not_run_on_is_left_out(architecture):
    old, new = gpu(24576, architecture=architecture), gpu(8192, index=1, architecture="Turing")
    assert plan_gpu([old, new]).gpu == new
    with pytest.raises(NothingToRunOn, match=f"{architecture}; vLLM needs Volta"):
        plan_gpu([old])


def test_a_card_whose_generation_nobody_tells_is_left_out_by_its_compute_capability():
    old = replace(gpu(24576, architecture=""), capability=(6, 1))
    assert plan_gpu([old, gpu(8192, index=1)]).gpu == gpu(8192, index=1)
    with pytest.raises(NothingToRunOn, match=r"is too old \(compute capability 6.1\); vLLM needs Volta"):
        plan_gpu([old])


def test_turing_computes_in_float16():
    assert plan_gpu([gpu(15360, architecture="Turing")]).dtype == "float16"
    assert plan_gpu([gpu(15360, architecture="Ampere")]).dtype == "bfloat16"


def test_a_model_that_does_not_fit_is_refused_with_the_figures():
    with pytest.raises(NothingToRunOn) as caught:
        plan_gpu([gpu(12288)], Wishes(guard=SIZES["8B"]))
    assert str(caught.value) == (
        "Qwen/Qwen3Guard-Gen-8B with context 4096 needs about 18.3 GiB; 10.8 of the 12.0 GiB of GPU 0 "
        "(Some GPU) can be used (12.0 GiB are free)."
    )


def test_a_context_that_does_not_fit_is_refused():
    with pytest.raises(NothingToRunOn, match=r"with context 32768 needs about 14\.3 GiB"):
        plan_gpu([gpu(12288)], Wishes(guard=SIZES["4B"], context=32768))


def test_a_context_longer_than_the_models_is_refused():
    with pytest.raises(NothingToRunOn, match="goes up to 32768, not 40000"):
        plan_gpu([gpu(81559)], Wishes(context=40000))


def test_a_fraction_that_is_not_free_is_refused():
    with pytest.raises(NothingToRunOn, match=r"21.6 GiB were asked for, but only 9.1 of the 24.0 GiB"):
        plan_gpu([gpu(24564, 9290)], Wishes(fraction=0.9))


def test_a_fraction_that_was_asked_for_is_taken_whole():
    assert plan_gpu([gpu(81559)], Wishes(fraction=0.5)).fraction == 0.5


@given(
    total_mib=st.integers(4096, 300_000),
    free=st.floats(0.05, 1.0),
    context=st.none() | st.integers(512, 32768),
)
def test_a_plan_never_takes_more_than_is_free_and_always_holds_one_full_conversation(total_mib, free, context):
    free_mib = int(total_mib * free)
    try:
        plan = plan_gpu([gpu(total_mib, free_mib)], Wishes(context=context))
    except NothingToRunOn:
        return
    assert plan.memory_gib * 1024 <= free_mib
    assert plan.fraction is not None
    assert plan.fraction <= 0.9
    assert plan.kv_tokens >= plan.context


def test_the_cpu_gets_room_for_two_conversations_in_whole_gib():
    plan = plan_cpu(SIZES["0.6B"], available_bytes=16 * GIB)
    assert (plan.context, plan.kv_bytes, plan.dtype) == (4096, GIB, "bfloat16")


def test_a_cpu_without_enough_memory_is_refused():
    with pytest.raises(NothingToRunOn, match="needs about"):
        plan_cpu(SIZES["8B"], available_bytes=8 * GIB)


def model_folder(folder, **changes):
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "hidden_size": 128,
        "max_position_embeddings": 2048,
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\0" * 4096)
    return folder


def test_a_folder_tells_what_its_model_needs(tmp_path):
    guard = guard_in_folder(model_folder(tmp_path / "tiny"))
    assert (guard.kv_bytes_per_token, guard.weights_bytes, guard.max_context) == (2 * 2 * 1 * 64 * 2, 4096, 2048)
    assert plan_gpu([gpu(8192)], Wishes(guard=guard)).context == 2048


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "holds LlamaForCausalLM; Qwen3Guard-Gen is a Qwen3ForCausalLM"),
        ({"architectures": ["Qwen3ForGuardModel"]}, "holds Qwen3ForGuardModel"),
        ({"num_hidden_layers": "many"}, "is missing or not a number"),
        ({"max_position_embeddings": None}, "is missing or not a number"),
    ],
)
def test_a_folder_with_something_else_is_refused(tmp_path, changes, said):
    with pytest.raises(LaunchError, match=re.escape(said)):
        guard_in_folder(model_folder(tmp_path / "model", **changes))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(LaunchError, match="is not a folder with a model"):
        guard_in_folder(tmp_path)
    (tmp_path / "config.json").write_text("not json")
    with pytest.raises(LaunchError, match="is not JSON"):
        guard_in_folder(tmp_path)
    model_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(LaunchError, match="has no weights"):
        guard_in_folder(tmp_path)


def command(plan, **more):
    return vllm_command(plan, program="vllm", model=Path("/models/guard"), port=8001, **more)


def test_the_command_for_a_gpu():
    made = command(plan_gpu([gpu(24564, index=1)]), extra=["--max-num-seqs=64"])
    assert made.argv == (
        *("vllm", "serve", "/models/guard", "--host", "127.0.0.1", "--port", "8001"),
        *("--served-model-name", "Qwen/Qwen3Guard-Gen-8B", "--max-model-len", "10240", "--dtype", "bfloat16"),
        *("--enable-prefix-caching", "--disable-uvicorn-access-log", "--gpu-memory-utilization", "0.9"),
        "--max-num-seqs=64",
    )
    assert made.env == {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "1",
    }


def test_a_slice_is_named_by_its_uuid():
    made = command(plan_gpu([replace(gpu(20096), mig_index=0, uuid="MIG-377e0049")]))
    assert made.env["CUDA_VISIBLE_DEVICES"] == "MIG-377e0049"


def test_the_command_for_a_cpu():
    made = command(plan_cpu(SIZES["0.6B"], available_bytes=16 * GIB))
    assert made.argv[-1] == "--enforce-eager"
    assert "--gpu-memory-utilization" not in made.argv
    assert made.env["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_vllm_gets_its_key_and_none_of_our_secrets():
    made = command(plan_gpu([gpu(24564)]))
    base = {
        "PATH": "/bin",
        "HF_TOKEN": "a secret",
        "MODELSCOPE_API_TOKEN": "a secret",
        "MODERATION_API_KEYS": "a secret",
        "VLLM_PORT": "tcp://10.0.0.1:8000",
    }
    environment = made.environment(base, api_key=Secret("the key"))
    assert environment == {"PATH": "/bin", "VLLM_API_KEY": "the key", **made.env}
    assert "the key" not in " ".join(made.argv) + made.render()


@pytest.mark.parametrize("word", ["--host=0.0.0.0", "--api-key", "--port=1", "--uds=/tmp/s"])
def test_flags_that_up_depends_on_are_not_to_be_overridden(word):
    with pytest.raises(LaunchError, match="is set by `up` itself"):
        command(plan_gpu([gpu(24564)]), extra=[word])
