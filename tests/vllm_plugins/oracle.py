"""Qwen3Guard-Stream in plain PyTorch: the oracle that servers are compared with.

    python oracle.py CHECKPOINT < texts.json > rows.npz
        texts.json: {"name": [token ids], ...}; rows.npz: one array [tokens, width] under each name
    python oracle.py CHECKPOINT --self-check
        one full forward pass against the same ids fed in chunks with a KV cache

Needs torch, safetensors and transformers >= 5 (the backbone and its cache; none of the model's remote code).
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import DynamicCache, Qwen3Config, Qwen3Model

BRANCHES = ("", "query_")


class Oracle:
    """`feed(ids, state)` gives (rows [tokens, width], state); begin with None, hand the state on to continue."""

    def __init__(self, path: Path, dtype: torch.dtype = torch.float32) -> None:
        raw = json.loads((path / "config.json").read_text(encoding="utf-8"))
        raw.pop("auto_map", None)
        self.config = Qwen3Config(**raw)
        theta = (self.config.rope_parameters or {}).get("rope_theta")
        if theta != raw.get("rope_theta", theta):
            raise ValueError(f"rope_theta was lost: {raw['rope_theta']} in config.json, {theta} in use")
        weights: dict[str, torch.Tensor] = {}
        for shard in sorted(path.glob("*.safetensors")):
            weights |= load_file(shard)
        weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
        body = {name.removeprefix("model."): t for name, t in weights.items() if name.startswith("model.")}
        self.guard = {name: t for name, t in weights.items() if not name.startswith(("model.", "lm_head."))}
        self.model = Qwen3Model(self.config).to(dtype).eval()
        self.model.load_state_dict(body, strict=True)

    def heads(self, hidden: torch.Tensor) -> torch.Tensor:
        columns = []
        for branch in BRANCHES:
            x = functional.linear(hidden, self.guard[f"{branch}risk_level_category_pre.weight"])
            wide = x.float()
            wide = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.config.rms_norm_eps)
            x = self.guard[f"{branch}risk_level_category_layernorm.weight"] * wide.to(x.dtype)
            columns.append(functional.linear(x, self.guard[f"{branch}risk_level_head.weight"]))
            columns.append(functional.linear(x, self.guard[f"{branch}category_head.weight"]))
        return torch.cat(columns, dim=-1)

    @torch.inference_mode()
    def feed(self, ids: list[int], state: DynamicCache | None = None) -> tuple[torch.Tensor, DynamicCache]:
        state = DynamicCache(config=self.config) if state is None else state
        hidden = self.model(input_ids=torch.tensor([ids]), past_key_values=state, use_cache=True).last_hidden_state[0]
        return self.heads(hidden).float(), state


def self_check(oracle: Oracle, *, tokens: int = 400) -> tuple[float, bool]:
    """The largest difference between one pass and chunks, and whether every head's argmax is the same."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, oracle.config.vocab_size, (tokens,), generator=generator).tolist()
    full, _ = oracle.feed(ids)
    bounds = np.cumsum([0, 3, 8, 3, 9])
    worst, same = 0.0, True
    for size in (1, 8, 64):
        state, parts = None, []
        for at in range(0, tokens, size):
            rows, state = oracle.feed(ids[at : at + size], state)
            parts.append(rows)
        chunked = torch.cat(parts)
        worst = max(worst, (chunked - full).abs().max().item())
        for low, high in pairwise(bounds):
            same &= bool((chunked[:, low:high].argmax(-1) == full[:, low:high].argmax(-1)).all())
    return worst, same


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--self-check", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    oracle = Oracle(args.checkpoint)
    if args.self_check:
        worst, same = self_check(oracle)
        print(json.dumps({"largest_difference": worst, "argmax_equal": same}))
        return
    texts = json.load(sys.stdin)
    np.savez(sys.stdout.buffer, **{name: oracle.feed(ids)[0].numpy() for name, ids in texts.items()})


if __name__ == "__main__":
    main()
