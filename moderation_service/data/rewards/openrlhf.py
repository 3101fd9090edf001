"""`GuardReward` as the `reward_func` of a file, which OpenRLHF loads with `--reward.remote_url guard.py`.

    # guard.py
    from moderation_service.data.rewards import GuardReward
    from moderation_service.data.rewards.openrlhf import reward_function

    reward_func = reward_function(GuardReward("http://127.0.0.1:8787", on_error=-1.0, on_blank=0.0))

A failing guard must be a number here: OpenRLHF catches what a reward function raises, goes on without a reward, and
fails later for that.

Source: OpenRLHF/OpenRLHF 0.11.2 `openrlhf/utils/agent.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import ConfigurationError
from ...wires.rendered_chat import read_query
from .guard_reward import GuardReward

__all__ = ["reward_function"]


def reward_function(reward: GuardReward) -> Callable[[Sequence[str], Sequence[str], Sequence[Any]], dict[str, Any]]:
    """The function that OpenRLHF calls, in a thread, with one query at a time. Raises ConfigurationError."""
    if not isinstance(reward.on_error, float):
        raise ConfigurationError("on_error: OpenRLHF needs a number; it goes on without a reward after an error.")

    def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
        read = [read_query(query, prompt, param="query") for query, prompt in zip(queries, prompts, strict=True)]
        scored = reward.score_sync([one.prompt for one in read], [one.completion for one in read], label=labels)
        rewards = [one.value for one in scored]
        safety = [0.0 if one.rewarded is None else one.rewarded.safety for one in scored]
        logs = {name: [one.metrics()[name] for one in scored] for name in scored[0].metrics()}
        if len(scored) > 1:
            return {"rewards": rewards, "scores": safety, "extra_logs": logs}
        return {"rewards": rewards[0], "scores": safety[0], "extra_logs": {name: one[0] for name, one in logs.items()}}

    return reward_func
