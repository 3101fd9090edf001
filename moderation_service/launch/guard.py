"""The models that `up` can start, and how much memory each needs; the same facts for a model in a local folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import LaunchError

__all__ = ["GIB", "GUARDS", "STREAM_ARCHITECTURE", "Guard", "guard_in_folder"]

GIB = 1024**3
_GEN_ARCHITECTURE = "Qwen3ForCausalLM"
STREAM_ARCHITECTURE = "Qwen3ForGuardModel"
"""What config.json calls Qwen3Guard-Stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A Qwen3Guard-Gen model as the plan needs it."""

    size: str
    """`8B`, `4B`, `0.6B`; the folder's name for a local one."""
    repo: str
    """Its name on Hugging Face and on ModelScope, where it is the same."""
    weights_bytes: int
    """In memory, as bfloat16."""
    kv_bytes_per_token: int
    """2 (key and value) x layers x key/value heads x head size x 2 bytes."""
    overhead_bytes: int
    """What vLLM needs besides weights and KV cache: CUDA context, activations, CUDA graphs. An estimate."""
    max_context: int
    """Longest context the model was made for."""
    path: Path | None = None
    """Where it lies already."""


# Weights: parameters of the architectures Qwen3-8B, -4B and -0.6B x 2 bytes (the two small ones tie their embeddings).
# KV: 36 layers x 8 heads x 128 for 8B and 4B, 28 x 8 x 128 for 0.6B. Context: the model card's `--max-model-len`.
# Overhead of 4B: a published set-up (vLLM 0.10.2, context 10240) took 14 GiB of which 7.5 were weights and 4.2 KV
# cache; 8B and 0.6B are scaled from it by eye. With these the smallest plans are 18.4, 10.4 and 3.1 GiB, and the vLLM
# recipe (github.com/vllm-project/recipes, Qwen3Guard-Gen) names 19, 10 and 4 GB of memory as the minimum.
GUARDS: tuple[Guard, ...] = (
    Guard(
        size="8B",
        repo="Qwen/Qwen3Guard-Gen-8B",
        weights_bytes=8_190_735_360 * 2,
        kv_bytes_per_token=2 * 36 * 8 * 128 * 2,
        overhead_bytes=int(2.5 * GIB),
        max_context=32768,
    ),
    Guard(
        size="4B",
        repo="Qwen/Qwen3Guard-Gen-4B",
        weights_bytes=4_022_468_096 * 2,
        kv_bytes_per_token=2 * 36 * 8 * 128 * 2,
        overhead_bytes=int(2.3 * GIB),
        max_context=32768,
    ),
    Guard(
        size="0.6B",
        repo="Qwen/Qwen3Guard-Gen-0.6B",
        weights_bytes=596_049_920 * 2,
        kv_bytes_per_token=2 * 28 * 8 * 128 * 2,
        overhead_bytes=int(1.5 * GIB),
        max_context=32768,
    ),
)


def guard_in_folder(folder: Path, *, architecture: str = _GEN_ARCHITECTURE) -> Guard:
    """The model in a folder of Hugging Face's layout. Raises LaunchError where there is none, or another one."""
    config = _read_config(folder)
    architectures = config.get("architectures") or []
    if architecture not in architectures:
        wanted = "Qwen3Guard-Gen" if architecture == _GEN_ARCHITECTURE else "Qwen3Guard-Stream"
        raise LaunchError(
            f"{folder}: holds {', '.join(map(str, architectures)) or 'an unknown model'}; {wanted} is a {architecture}."
        )
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if weights == 0:
        raise LaunchError(f"{folder}: has no weights (*.safetensors).")
    try:
        layers, heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
        key_value_heads = int(config.get("num_key_value_heads") or heads)
        head_size = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
        max_context = int(config["max_position_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        raise LaunchError(f"{folder / 'config.json'}: {error} is missing or not a number.") from error
    return Guard(
        size=folder.name,
        repo=folder.name,
        weights_bytes=weights,
        kv_bytes_per_token=2 * layers * key_value_heads * head_size * 2,
        overhead_bytes=_overhead(weights),
        max_context=max_context,
        path=folder,
    )


def _overhead(weights_bytes: int) -> int:
    """That of the known model nearest in size."""
    return min(GUARDS, key=lambda guard: abs(guard.weights_bytes - weights_bytes)).overhead_bytes


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LaunchError(f"{folder}: is not a folder with a model: config.json: {error.strerror}.") from error
    except ValueError as error:
        raise LaunchError(f"{file}: is not JSON.") from error
    if not isinstance(config, dict):
        raise LaunchError(f"{file}: is not a JSON object.")
    return config
