"""`GuardReward` as a reward function of verl, which asks for one sample at a time and hands over no prompt.

    reward.custom_reward_function.path=.../moderation_service/data/rewards/verl.py
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.url=http://127.0.0.1:8787
    +reward.custom_reward_function.reward_kwargs.on_error=raise

The prompt is taken from the data set's `extra_info`, column `prompt`: a text or messages. All that `GuardReward` takes
can be a `reward_kwargs`; `helpfulness` is then the name of a column of `extra_info`, or a function where a file of
yours calls `compute_score` with one. verl's manager `rate_limited` makes 0.0 of an exception, so give it a number.

verl loads this file by its path, so it imports by full names.

Source: volcengine/verl 0.9.1 `verl/trainer/ppo/reward.py`, `verl/experimental/reward_loop/reward_manager/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from moderation_service.data.rewards import GuardReward
from moderation_service.errors import ConfigurationError

__all__ = ["compute_score"]

_PROMPT = "prompt"


async def compute_score(
    data_source: object,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    *,
    reward_router_address: object = None,
    reward_model_tokenizer: object = None,
    **options: Any,
) -> dict[str, float]:
    """The reward under `score`; verl averages the rest as metrics. The two keywords are for verl's own reward models.

    Raises EngineUnavailable where `on_error` is `raise`, and ConfigurationError.
    """
    reward = _reward_of(tuple(sorted(options.items())))
    given = dict(extra_info or {})
    if given.get(_PROMPT) is None:
        raise ConfigurationError("extra_info: needs the column `prompt`; verl passes no prompt to reward functions.")
    prompt = given.pop(_PROMPT)
    if not isinstance(prompt, str):
        # Parquet makes arrays of lists.
        prompt = [dict(message) for message in prompt]
    columns = {name: [value] for name, value in given.items() if name not in ("prompts", "completions")}
    (scored,) = await reward.score([prompt], [solution_str], **columns)
    assert scored.value is not None, "on_error is no number only where it raises"
    return {"score": scored.value, **scored.metrics()}


@lru_cache(maxsize=8)
def _reward_of(options: tuple[tuple[str, Any], ...]) -> GuardReward:
    reward = GuardReward(**dict(options))
    if reward.on_error == "none":
        raise ConfigurationError("on_error: verl needs a number for each sample; give one, or `raise`.")
    return reward
