"""Qwen3Guard-Stream as a pooling model of vLLM: a Qwen3 backbone and two guard branches.

Every token gets one row of raw logits: response risk, response category, query risk, query category, side by side,
as wide as the config's `num_risk_level`, `num_category`, `num_query_risk_level` and `num_query_category` say.

Source of the architecture: Qwen3Guard Technical Report (arXiv 2510.14276), section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

import torch
from torch import nn
from vllm.config import VllmConfig
from vllm.model_executor.layers.pooler import Pooler
from vllm.model_executor.models.interfaces import SupportsPP
from vllm.model_executor.models.interfaces_base import default_pooling_type
from vllm.model_executor.models.qwen3 import Qwen3Model
from vllm.model_executor.models.utils import AutoWeightsLoader, maybe_prefix
from vllm.sequence import IntermediateTensors
from vllm.tasks import PoolingTask
from vllm.v1.pool.metadata import PoolingMetadata

__all__ = ["GuardPooler", "Qwen3ForGuardModel"]

_BRANCHES = ("", "query_")
"""Prefixes of the tensors' names: the response branch, then the query branch."""


class _GuardNorm(nn.Module):
    """RMSNorm computed in float32 and scaled after the cast back, as the checkpoint was trained."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self._eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self._eps)
        return self.weight * wide.to(x.dtype)


class GuardPooler(Pooler):
    """Gives every token that was computed for a request its row, oldest first.

    vLLM decides by the *name* of the task whether a pooling request may read the prefix cache: "token_classify",
    "token_embed" and "plugin" may not, because their callers expect a row for every token of the prompt. Under the
    name "classify" the cache is read, and the rows are those of the tokens after the cached prefix. That is what makes
    a call cost the new tokens instead of the whole text. "token_classify" is offered as well: all rows, at full cost.
    """

    def __init__(self, heads: Callable[[torch.Tensor], torch.Tensor], max_rows: int | None) -> None:
        super().__init__()
        self._heads = heads  # a bound method of the model, so that the model does not become its own submodule
        self._max_rows = max_rows

    def get_supported_tasks(self) -> Set[PoolingTask]:
        return {"classify", "token_classify"}

    def forward(self, hidden_states: torch.Tensor, pooling_metadata: PoolingMetadata) -> list[torch.Tensor | None]:
        cursor = pooling_metadata.get_pooling_cursor()
        sizes = cursor.num_scheduled_tokens_cpu.tolist()
        ends = cursor.seq_lens_cpu.tolist()
        prompt_lens = cursor.prompt_lens_cpu.tolist()
        rows = self._heads(hidden_states[: sum(sizes)]).float().split(sizes)
        out: list[torch.Tensor | None] = []
        for row, size, end, prompt_len, state in zip(
            rows, sizes, ends, prompt_lens, pooling_metadata.pooling_states, strict=True
        ):
            # Chunked prefill spreads a prompt over several steps; its rows, not its hidden states, wait here meanwhile.
            # Rows at or after this step's start are of tokens that are computed again, after a preemption.
            start, kept = end - size, state.hidden_states_cache
            kept[:] = [(at, part) for at, part in kept if at < start]
            if end < prompt_len:
                kept.append((start, row.clone()))
                out.append(None)
                continue
            full = torch.cat([part for _, part in kept] + [row]) if kept else row
            kept.clear()
            out.append(full[-self._max_rows :] if self._max_rows else full)
        return out


@default_pooling_type(seq_pooling_type="LAST", tok_pooling_type="ALL")
class Qwen3ForGuardModel(nn.Module, SupportsPP):
    """The model under the architecture's name in the checkpoint's config.

    `guard_max_rows`, given with `--hf-overrides`, bounds the rows of one reply; the last ones are kept.
    """

    is_pooling_model = True
    hf_to_vllm_mapper = Qwen3Model.hf_to_vllm_mapper
    packed_modules_mapping = {  # noqa: RUF012  # vLLM reads it as a plain class attribute
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config = self.config = vllm_config.model_config.hf_config
        self.model = Qwen3Model(vllm_config=vllm_config, prefix=maybe_prefix(prefix, "model"))
        self.make_empty_intermediate_tensors = self.model.make_empty_intermediate_tensors
        inner = config.guard_inner_size
        for branch in _BRANCHES:
            risks = getattr(config, f"num_{branch}risk_level")
            categories = getattr(config, f"num_{branch}category")
            # The attributes' names are the names of the checkpoint's tensors.
            setattr(self, f"{branch}risk_level_category_pre", nn.Linear(config.hidden_size, inner, bias=False))
            setattr(self, f"{branch}risk_level_category_layernorm", _GuardNorm(inner, config.rms_norm_eps))
            setattr(self, f"{branch}risk_level_head", nn.Linear(inner, risks, bias=False))
            setattr(self, f"{branch}category_head", nn.Linear(inner, categories, bias=False))
        self.pooler = GuardPooler(self.heads, _max_rows(config))

    def heads(self, hidden: torch.Tensor) -> torch.Tensor:
        """The rows of these hidden states."""
        columns = []
        for branch in _BRANCHES:
            x = getattr(self, f"{branch}risk_level_category_pre")(hidden)
            x = getattr(self, f"{branch}risk_level_category_layernorm")(x)
            columns += [getattr(self, f"{branch}risk_level_head")(x), getattr(self, f"{branch}category_head")(x)]
        return torch.cat(columns, dim=-1)

    def embed_input_ids(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.model.embed_input_ids(input_ids)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor | IntermediateTensors:
        return self.model(input_ids, positions, intermediate_tensors, inputs_embeds)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Load strictly: a guard tensor that is missing or unknown stops the start. A left-over LM head is ignored."""
        wanted = ((name, tensor) for name, tensor in weights if not name.startswith("lm_head."))
        return AutoWeightsLoader(self).load_weights(wanted)


def _max_rows(config: object) -> int | None:
    value = getattr(config, "guard_max_rows", None)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f"guard_max_rows must be a positive whole number, not {value!r}")
    return value
