"""`up --cpu` with the real llama.cpp: from an empty cache to verdicts, and the genuine vocabulary's conversion."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from hub_stand_in import StandIn, hub_stand_in  # noqa: F401  # a fixture

from moderation_service.launch.cpu_engines import CPU_ENGINES

from . import servers
from .attack_strings import ATTACKS, HARMLESS

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]
TINY_GUARD = ROOT / "examples" / "tiny-guard"
CONVERT = CPU_ENGINES["llamacpp"].lock.parents[1] / "inside" / "convert.py"
LOADING_S = 300.0


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + LOADING_S
    while not condition():
        if time.monotonic() > deadline or process.poll() is not None:
            pytest.fail(f"it did not come so far (exit code {process.poll()}):\n{output.read_text()}")
        time.sleep(0.1)


@pytest.fixture
def running(
    tmp_path: Path,
    unused_port: int,
    hub_stand_in: StandIn,  # noqa: F811
) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """One command on an empty cache; the wheels come from the real package index, the model from the stand-in."""
    hub_stand_in.files = {file.name: file.read_bytes() for file in (TINY_GUARD / "model").iterdir()}
    output = tmp_path / "output"
    arguments = ("--cpu", "--yes", "--cache-dir", tmp_path / "cache", "--port", unused_port, "--", "--workers", "1")
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "moderation_service", "up", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "HF_ENDPOINT": hub_stand_in.url},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield f"http://127.0.0.1:{unused_port}", process, output
    process.terminate()
    process.wait(60)


def verdict(reply: dict[str, Any]) -> tuple[object, ...]:
    return reply["safety"], tuple(reply["category_names"]), reply["refusal"], reply["engine"], reply["degraded"]


def test_one_command_on_an_empty_cache_gives_the_verdicts_of_the_model_served_directly(
    running: tuple[str, subprocess.Popen[bytes], Path],
) -> None:
    url, process, output = running
    until(lambda: "checks of a sentence per second" in output.read_text(), process, output)
    session = requests.Session()

    def judge(messages: object) -> dict[str, Any]:
        found: dict[str, Any] = session.post(f"{url}/moderate", json={"messages": messages}, timeout=60).json()
        return found

    first = servers.tiny_guard_data().examples()[0][0]
    until(lambda: judge(first)["engine"] == "vllm", process, output)
    with servers.llamacpp().running() as direct:
        for messages, _ in servers.tiny_guard_data().examples():
            body = {"model": "qwen3guard", "messages": messages, "temperature": 0, "max_tokens": 64}
            _, answer = direct.post("/v1/chat/completions", body)
            lines = dict(
                line.split(": ", 1) for line in answer["choices"][0]["message"]["content"].strip().splitlines()
            )
            names = () if lines["Categories"] == "None" else tuple(lines["Categories"].split(", "))
            refusal = {"Yes": True, "No": False, None: None}[lines.get("Refusal")]
            assert verdict(judge(messages)) == (lines["Safety"].lower(), names, refusal, "vllm", False), messages
        session.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


def genuine_tokenizer(folder: Path) -> Path:
    """The tokenizer.json of all Qwen3 models, rebuilt from the ranks that a package on the index has."""
    python = str(servers.venv(".venv-vllm") / "bin" / "python")
    script = "import sys, build_tokenizer as b; b.build('full').save(sys.argv[1])"
    subprocess.run([python, "-c", script, folder / "tokenizer.json"], cwd=TINY_GUARD, check=True)
    return folder / "tokenizer.json"


def write_random_model(folder: Path, *, vocabulary: int) -> None:
    """A Qwen3 of one small layer with a vocabulary of the real size; what it answers does not matter here."""
    hidden, inner, head = 64, 64, 32
    layer = "model.layers.0."
    shapes = {
        "model.embed_tokens.weight": (vocabulary, hidden),
        "model.norm.weight": (hidden,),
        f"{layer}input_layernorm.weight": (hidden,),
        f"{layer}post_attention_layernorm.weight": (hidden,),
        f"{layer}self_attn.q_proj.weight": (2 * head, hidden),
        f"{layer}self_attn.k_proj.weight": (head, hidden),
        f"{layer}self_attn.v_proj.weight": (head, hidden),
        f"{layer}self_attn.o_proj.weight": (hidden, 2 * head),
        f"{layer}self_attn.q_norm.weight": (head,),
        f"{layer}self_attn.k_norm.weight": (head,),
        f"{layer}mlp.gate_proj.weight": (inner, hidden),
        f"{layer}mlp.up_proj.weight": (inner, hidden),
        f"{layer}mlp.down_proj.weight": (hidden, inner),
    }
    header, at, random = {}, 0, np.random.default_rng(0)
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head_bytes = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as output:
        output.write(struct.pack("<Q", len(head_bytes)) + head_bytes)
        for shape in shapes.values():
            output.write(random.normal(0, 0.02, shape).astype("<f4").tobytes())
    config = json.loads((TINY_GUARD / "model" / "config.json").read_text())
    config |= {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": 1, "vocab_size": vocabulary}
    config |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": head, "layer_types": ["full_attention"]}
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (folder / name).write_bytes((TINY_GUARD / "model" / name).read_bytes())


def test_the_genuine_vocabulary_reads_texts_as_the_models_own_tokenizer_does(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    folder = tmp_path / "model"
    folder.mkdir()
    ours = Tokenizer.from_file(str(genuine_tokenizer(folder)))
    write_random_model(folder, vocabulary=151_936)
    python = servers.venv(".venv-llamacpp") / "bin" / "python"
    subprocess.run([python, "-I", CONVERT, folder, tmp_path / "model.gguf"], check=True, stdout=subprocess.DEVNULL)
    server = servers.llamacpp()
    server.command = [str(tmp_path / "model.gguf") if part == "model" else part for part in server.command]
    server.start()
    try:
        server.wait_until_healthy()
        texts = [messages[-1]["content"] for messages, _ in servers.tiny_guard_data().examples()]
        texts += [
            *ATTACKS,
            *HARMLESS,
            "你好，世界！怎么做炸弹？",
            "नमस्ते दुनिया",
            "مرحبا بالعالم",
            "👩‍👩‍👧 ok\r\n\r\n  x",
            "a" * 300,
        ]
        texts += ["<|im_start|>user\nHi<|im_end|>", "<think>\n\n</think>", " 1234567 89,0", "don't I'LL we've"]
        # llama.cpp does not compose letters (NFC), which the model's tokenizer does first; docs/cpu.md says so.
        texts = [text for text in texts if unicodedata.is_normalized("NFC", text)]
        for text in texts:
            status, reply = server.post("/tokenize", {"content": text, "add_special": False, "parse_special": True})
            assert status == 200
            assert reply["tokens"] == ours.encode(text, add_special_tokens=False).ids, text
        assert len(texts) > 250
    finally:
        server.stop()
