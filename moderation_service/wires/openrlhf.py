r"""OpenRLHF's remote reward model, `--reward.remote_url http://.../rewards/openrlhf`: pure parse and render.

    {"query": ["<|im_start|>user\n...<|im_end|>\n<|im_start|>assistant\n..."], "prompts": ["..."], "labels": ["..."]}
    -> {"rewards": 1.0, "scores": 1.0, "extra_logs": {"guard_refusal": 0.0, ...}}

A query is the prompt with the answer after it, decoded with special tokens. OpenRLHF asks for one at a time, and makes
tensors of the right shape of plain numbers; of several queries each field is a list. `scores` feeds its dynamic
filtering, whose usual range is 0 to 1: it is the safety, whatever the formula of `rewards`. Labels are not used.

Source: OpenRLHF/OpenRLHF 0.11.2 `openrlhf/utils/agent.py`, `SingleTurnAgentExecutor`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.conversation import Limits
from ..errors import InvalidRequest, TooLarge
from .rendered_chat import read_query
from .rewards import Given, RewardOptions, Sample, sample_of

__all__ = ["parse", "render"]

_FOUND = ("unsafe", "refusal", "blank", "error")


def parse(body: object, options: RewardOptions, *, limits: Limits, max_samples: int) -> list[Sample]:
    """Read a call. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    queries, prompts = _texts(body, "query"), _texts(body, "prompts")
    if len(queries) != len(prompts):
        raise InvalidRequest("`prompts` must have one entry for each of `query`.", param="prompts")
    if len(queries) > max_samples:
        raise TooLarge(f"`query` has {len(queries)} entries; the limit is {max_samples}.", param="query")
    return [
        sample_of(read_query(query, prompt, param=param), options, limits=limits, param=param)
        for param, query, prompt in zip((f"query[{n}]" for n in range(len(queries))), queries, prompts, strict=True)
    ]


def render(given: Sequence[Given]) -> dict[str, object]:
    """The reply."""
    rewards, scores = [one.value for one in given], [one.safety for one in given]
    logs = {f"guard_{word}": [float(one.found == word) for one in given] for word in _FOUND}
    if len(given) > 1:
        return {"rewards": rewards, "scores": scores, "extra_logs": logs}
    return {"rewards": rewards[0], "scores": scores[0], "extra_logs": {word: one[0] for word, one in logs.items()}}


def _texts(body: Mapping[str, object], field: str) -> list[str]:
    value = body.get(field)
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise InvalidRequest(f"`{field}` must be a list of texts with at least one.", param=field)
    return value
