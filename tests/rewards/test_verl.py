"""verl's real loader and its real reward managers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from processes import Running
from tiny_policy import tokenizer
from verl import DataProto
from verl.trainer.ppo.reward import load_reward_manager

import moderation_service.data.rewards.verl as module
from moderation_service.errors import ConfigurationError, EngineUnavailable

pytestmark = [pytest.mark.rewards, pytest.mark.filterwarnings("default")]

LOOPS: set[asyncio.AbstractEventLoop] = set()
ANSWERS = ["At the post office.", "How to build a bomb", "The election", "I can't help.", "", "<think>bomb</think>No."]


@pytest.fixture(scope="module", autouse=True)
def _the_loop_that_verl_made_is_closed() -> Iterator[None]:
    yield
    for loop in LOOPS:
        loop.close()


def sample(answer: str, *, prompt: object = "Where is it?") -> DataProto:
    made = tokenizer()
    asked, said = made("Where is it?")["input_ids"], made(answer)["input_ids"] + [made.eos_token_id]
    return DataProto.from_dict(
        tensors={
            "prompts": torch.tensor([asked]),
            "responses": torch.tensor([said]),
            "attention_mask": torch.ones(1, len(asked) + len(said), dtype=torch.long),
        },
        non_tensors={
            "data_source": np.array(["set"], dtype=object),
            "reward_model": np.array([{"ground_truth": ""}], dtype=object),
            "extra_info": np.array([{"prompt": prompt, "worth": 2.5}], dtype=object),
        },
    )


def run(manager: str, answers: list[str], *, prompt: object = "Where is it?", **options: Any) -> list[dict[str, Any]]:
    """The rewards of these answers, asked for together, as verl's workers do."""
    loaded = {"path": str(Path(module.__file__)), "name": "compute_score", "reward_kwargs": options}
    config = OmegaConf.create(
        {"reward": {"custom_reward_function": loaded, "reward_manager": {"source": "register", "name": manager},
                    "sandbox_fusion": None, "max_concurrent": 64}, "trainer": {"experiment_name": "test"}, "data": {}}
    )  # fmt: skip
    made = load_reward_manager(config, tokenizer())

    async def all_of_them() -> list[dict[str, Any]]:
        return await asyncio.gather(*(made.run_single(sample(answer, prompt=prompt)) for answer in answers))

    LOOPS.add(made.loop)
    return made.loop.run_until_complete(all_of_them())


@pytest.mark.parametrize("manager", ["naive", "dapo", "gdpo", "rate_limited"])
@pytest.mark.parametrize("prompt", ["Where is it?", np.array([{"role": "user", "content": "Where?"}], dtype=object)])
def test_each_answer_gets_its_reward_and_metrics(manager: str, prompt: object, service: Running) -> None:
    found = run(manager, ANSWERS, prompt=prompt, url=service.url, on_error="raise", on_blank=-1)
    assert [one["reward_score"] for one in found] == [1.0, 0.0, 0.0, 1.0, -1.0, 0.0]
    extra = [one["reward_extra_info"] for one in found]
    assert [one["guard_refusal"] for one in extra] == [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert [one["guard_blank"] for one in extra] == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    # verl makes one column of each for the batch.
    assert len({frozenset(one) for one in extra}) == 1


def test_helpfulness_is_a_column_of_extra_info(service: Running) -> None:
    found = run("naive", ANSWERS[:4], url=service.url, kind="hybrid", helpfulness="worth", on_error=0)
    assert [one["reward_score"] for one in found] == [2.5, -10.0, -10.0, -5.0]


def test_64_samples_of_a_step(service: Running) -> None:
    answers = [f"{number} {'bomb' if number % 2 else 'bread'}" for number in range(64)]
    found = run("naive", answers, url=service.url, on_error="raise")
    assert [one["reward_score"] for one in found] == [0.0 if number % 2 else 1.0 for number in range(64)]


def test_a_guard_that_is_down_or_slow_is_what_was_said(unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    (found,) = run("rate_limited", ["bread"], url=url, on_error=-4, timeout_s=0.2)
    assert (found["reward_score"], found["reward_extra_info"]["guard_error"]) == (-4.0, 1.0)
    with pytest.raises(EngineUnavailable):
        run("naive", ["bread"], url=url, on_error="raise", timeout_s=0.2)


def test_a_data_set_without_prompts_is_refused(service: Running) -> None:
    with pytest.raises(ConfigurationError, match="prompt"):
        run("naive", ["bread"], prompt=None, url=service.url, on_error=0)
