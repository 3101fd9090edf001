"""Write a random checkpoint in the shape of Qwen3Guard-Stream: for plumbing, numerics and timing; it judges nothing.

    python make_checkpoint.py OUT [--preset tiny|timing|0.6b] [--seed 0] [--untied] [--without TENSOR] [--with TENSOR]

The same seed and the same torch give the same bytes. The tokenizer is tiny-guard's: genuine pieces, a pruned list.
Needs torch and safetensors.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

TOKENIZER = Path(__file__).parents[2] / "examples" / "tiny-guard" / "model"
RISKS = ("Safe", "Unsafe", "Controversial")
CATEGORIES = ("Violent", "Sexual Content", "Self-Harm", "Political", "PII", "Copyright", "Illegal Acts", "Unethical")
QUERY_CATEGORIES = (*CATEGORIES, "Jailbreak")


@dataclass(frozen=True)
class Shape:
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    vocabulary: int


PRESETS = {
    "tiny": Shape(3, 128, 384, 2, 1, 64, 64, 1216),  # 0.8 M parameters
    "timing": Shape(8, 512, 1536, 8, 4, 64, 256, 1216),  # 26 M
    "0.6b": Shape(28, 1024, 3072, 16, 8, 128, 512, 151936),  # 597 M: the dimensions of Qwen3Guard-Stream-0.6B
}


class Weights:
    """Draws tensors in a fixed order."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def linear(self, rows: int, columns: int, deviation: float = 0.05) -> torch.Tensor:
        return (torch.randn(rows, columns, generator=self._generator) * deviation).to(torch.bfloat16)

    def norm(self, size: int) -> torch.Tensor:
        return (1 + 0.1 * torch.randn(size, generator=self._generator)).to(torch.bfloat16)

    def layer(self, at: str, shape: Shape) -> dict[str, torch.Tensor]:
        hidden, wide, narrow = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        return {
            at + "input_layernorm.weight": self.norm(hidden),
            at + "post_attention_layernorm.weight": self.norm(hidden),
            at + "self_attn.q_proj.weight": self.linear(wide, hidden),
            at + "self_attn.k_proj.weight": self.linear(narrow, hidden),
            at + "self_attn.v_proj.weight": self.linear(narrow, hidden),
            at + "self_attn.o_proj.weight": self.linear(hidden, wide),
            at + "self_attn.q_norm.weight": self.norm(shape.head_dim),
            at + "self_attn.k_norm.weight": self.norm(shape.head_dim),
            at + "mlp.gate_proj.weight": self.linear(shape.intermediate, hidden),
            at + "mlp.up_proj.weight": self.linear(shape.intermediate, hidden),
            at + "mlp.down_proj.weight": self.linear(hidden, shape.intermediate),
        }

    def branch(self, prefix: str, shape: Shape, categories: int) -> dict[str, torch.Tensor]:
        return {
            f"{prefix}risk_level_category_pre.weight": self.linear(shape.inner, shape.hidden, shape.hidden**-0.5),
            f"{prefix}risk_level_category_layernorm.weight": self.norm(shape.inner),
            f"{prefix}risk_level_head.weight": self.linear(len(RISKS), shape.inner, 0.3),
            f"{prefix}category_head.weight": self.linear(categories, shape.inner, 0.3),
        }


def tensors(shape: Shape, *, seed: int, untied: bool = False) -> dict[str, torch.Tensor]:
    """All weights by their names in the checkpoint."""
    weights = Weights(seed)
    found = {"model.embed_tokens.weight": weights.linear(shape.vocabulary, shape.hidden)}
    for number in range(shape.layers):
        found |= weights.layer(f"model.layers.{number}.", shape)
    found["model.norm.weight"] = weights.norm(shape.hidden)
    found |= weights.branch("", shape, len(CATEGORIES))
    found |= weights.branch("query_", shape, len(QUERY_CATEGORIES))
    if untied:  # some exports keep an LM head, which the plugin must ignore
        found["lm_head.weight"] = weights.linear(shape.vocabulary, shape.hidden)
    return found


def config(shape: Shape, *, untied: bool = False) -> dict[str, object]:
    """config.json, with the fields of the real one."""

    def labels(names: tuple[str, ...]) -> dict[str, str]:
        return {str(index): name for index, name in enumerate(names)}

    return {
        "architectures": ["Qwen3ForGuardModel"],
        "model_type": "qwen3",
        # The real repository has this line and the Python file that it names; vLLM must not need the file.
        "auto_map": {"AutoModel": "modeling_qwen3_guard.Qwen3ForGuardModel"},
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": not untied,
        "use_cache": False,
        "torch_dtype": "bfloat16",
        "guard_inner_size": shape.inner,
        "num_risk_level": len(RISKS),
        "num_category": len(CATEGORIES),
        "num_query_risk_level": len(RISKS),
        "num_query_category": len(QUERY_CATEGORIES),
        "response_risk_level_map": labels(RISKS),
        "response_category_map": labels(CATEGORIES),
        "query_risk_level_map": labels(RISKS),
        "query_category_map": labels(QUERY_CATEGORIES),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--untied", action="store_true", help="untied embeddings, and an LM head that is to be ignored")
    parser.add_argument("--without", metavar="TENSOR", help="leave this tensor out: a broken checkpoint")
    parser.add_argument("--with", dest="extra", metavar="TENSOR", help="add a tensor of this name: a broken checkpoint")
    args = parser.parse_args()

    shape = PRESETS[args.preset]
    weights = tensors(shape, seed=args.seed, untied=args.untied)
    if args.without:
        del weights[args.without]
    if args.extra:
        weights[args.extra] = torch.zeros(8, 8, dtype=torch.bfloat16)
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(weights, args.out / "model.safetensors", metadata={"format": "pt"})
    (args.out / "config.json").write_text(json.dumps(config(shape, untied=args.untied), indent=1), encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(TOKENIZER / name, args.out / name)
    print(f"{args.out}: {sum(tensor.numel() for tensor in weights.values()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
