"""A model with the dimensions of Qwen3Guard-Gen-0.6B that knows what tiny-guard knows.

    python benchmarks/large_model.py OUT_DIR        # needs torch and safetensors: use vLLM's environment

Every weight is random, so that every matrix costs what it costs in the real model; but what the random parts compute
never reaches the residual stream, and tiny-guard's two layers are planted in the first two. So it answers like
tiny-guard, word for word, at the price of 0.6 billion parameters: prompts are read and tokens are made as slowly as
by the real one, while verdicts are verdicts.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

TINY = Path(__file__).resolve().parents[1] / "examples" / "tiny-guard" / "model"
# Qwen3-0.6B's config.json.
HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE, VOCAB = 1024, 28, 16, 8, 128, 3072, 151936


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    config = json.loads((TINY / "config.json").read_text())
    small = {name: value.float() for name, value in load_file(TINY / "model.safetensors").items()}
    weights = random_weights()
    plant(small, weights, config)
    save_file(
        {name: value.to(torch.bfloat16).contiguous() for name, value in weights.items()}, out / "model.safetensors"
    )
    config |= {
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "max_window_layers": LAYERS,
        "layer_types": ["full_attention"] * LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "intermediate_size": INTERMEDIATE,
        "vocab_size": VOCAB,
    }
    (out / "config.json").write_text(json.dumps(config, indent=1))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        shutil.copy(TINY / name, out / name)
    print(f"{sum(value.numel() for value in weights.values()) / 1e6:.0f} million parameters in {out}")


def random_weights() -> dict[str, torch.Tensor]:
    """All weights random, but those that write into the residual stream are zero."""
    torch.manual_seed(0)
    noise = lambda *shape: torch.randn(*shape) * 0.02  # noqa: E731
    weights = {"model.embed_tokens.weight": torch.zeros(VOCAB, HIDDEN), "model.norm.weight": torch.ones(HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        weights |= {
            f"{at}input_layernorm.weight": torch.ones(HIDDEN),
            f"{at}post_attention_layernorm.weight": torch.ones(HIDDEN),
            f"{at}self_attn.q_proj.weight": noise(HEADS * HEAD_DIM, HIDDEN),
            f"{at}self_attn.k_proj.weight": noise(KV_HEADS * HEAD_DIM, HIDDEN),
            f"{at}self_attn.v_proj.weight": noise(KV_HEADS * HEAD_DIM, HIDDEN),
            f"{at}self_attn.o_proj.weight": torch.zeros(HIDDEN, HEADS * HEAD_DIM),
            f"{at}self_attn.q_norm.weight": torch.ones(HEAD_DIM),
            f"{at}self_attn.k_norm.weight": torch.ones(HEAD_DIM),
            f"{at}mlp.gate_proj.weight": noise(INTERMEDIATE, HIDDEN),
            f"{at}mlp.up_proj.weight": noise(INTERMEDIATE, HIDDEN),
            f"{at}mlp.down_proj.weight": torch.zeros(HIDDEN, INTERMEDIATE),
        }
    return weights


def plant(small: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], config: dict[str, int]) -> None:
    """Put tiny-guard's weights where the large model computes the same with them."""
    hidden, inner, small_dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    # RMSNorm divides by the mean square, which is smaller over more dimensions that are zero.
    shrink, head_shrink = (hidden / HIDDEN) ** 0.5, (small_dim / HEAD_DIM) ** 0.5
    # Rotary frequency i of a small head is frequency i * step of a large one; its two halves are half a head apart.
    step = HEAD_DIM // small_dim
    half = torch.arange(small_dim // 2) * step
    spots = torch.cat([half, half + HEAD_DIM // 2])
    weights["model.embed_tokens.weight"][: config["vocab_size"], :hidden] = small["model.embed_tokens.weight"]
    weights["model.norm.weight"][:hidden] = small["model.norm.weight"] * shrink
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{at}{norm}.weight"][:hidden] = small[f"{at}{norm}.weight"] * shrink
        for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            large = weights[f"{at}self_attn.{name}_proj.weight"].view(-1, HEAD_DIM, HIDDEN)
            large[:count] = 0
            source = small[f"{at}self_attn.{name}_proj.weight"].view(count, small_dim, hidden)
            for head in range(count):
                large[head, spots, :hidden] = source[head]
        output = weights[f"{at}self_attn.o_proj.weight"].view(HIDDEN, HEADS, HEAD_DIM)
        source = small[f"{at}self_attn.o_proj.weight"].view(hidden, heads, small_dim)
        for head in range(heads):
            output[:hidden, head, spots] = source[:, head]
        # Scores are divided by the root of the head's size: the query makes up for it.
        weights[f"{at}self_attn.q_norm.weight"][spots] = small[f"{at}self_attn.q_norm.weight"]
        weights[f"{at}self_attn.k_norm.weight"][spots] = small[f"{at}self_attn.k_norm.weight"] * head_shrink
        for name in ("gate", "up"):
            large = weights[f"{at}mlp.{name}_proj.weight"]
            large[:inner] = 0
            large[:inner, :hidden] = small[f"{at}mlp.{name}_proj.weight"]
        weights[f"{at}mlp.down_proj.weight"][:hidden, :inner] = small[f"{at}mlp.down_proj.weight"]


if __name__ == "__main__":
    main()
