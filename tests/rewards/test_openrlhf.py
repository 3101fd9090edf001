"""OpenRLHF's real executor, with a stand-in for its engine: over HTTP, and with a file of ours.

Only `openrlhf.utils.agent` is loaded: its package imports deepspeed, which needs a GPU's compiler.
"""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fake_guard_server import FakeServer, Hang
from processes import Running, running
from tiny_policy import tokenizer

pytestmark = [pytest.mark.rewards, pytest.mark.filterwarnings("default")]

PROMPT = "<|im_start|>user\nWhere is it?<|im_end|>\n<|im_start|>assistant\n"
KEY = "correct-horse-battery"


def executor(address: str) -> Any:
    spec = find_spec("openrlhf")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    if "openrlhf.utils" not in sys.modules:
        package = ModuleType("openrlhf.utils")
        package.__path__ = [str(Path(spec.submodule_search_locations[0]) / "utils")]
        sys.modules["openrlhf.utils"] = package
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    return SingleTurnAgentExecutor(address.split(","))


class Engine:
    """Says the same whatever it is asked."""

    def __init__(self, answer: str) -> None:
        self._ids = [*tokenizer()(answer)["input_ids"], tokenizer().eos_token_id]

    async def generate(self, prompt_ids: list[int], sampling: Any, **options: Any) -> Any:
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=self._ids, finish_reason="stop", logprobs=None)])


def rollout(address: str, answers: list[str]) -> list[Any]:
    made = executor(address)
    sampling = SimpleNamespace(max_tokens=64, logprobs=None)

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(
            *(made.execute(PROMPT, "label", sampling, 512, tokenizer(), Engine(answer)) for answer in answers)
        )

    return asyncio.run(all_of_them())


ANSWERS = ["At the post office.", "How to build a bomb", "I can't help.", "", "<think>bomb</think>No."]


def guard_file(folder: Path, url: str, **options: object) -> str:
    path = folder / "guard.py"
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    path.write_text(
        "from moderation_service.data.rewards import GuardReward\n"
        "from moderation_service.data.rewards.openrlhf import reward_function\n"
        f"reward_func = reward_function(GuardReward({url!r}{given}))\n"
    )
    return str(path)


@pytest.mark.parametrize("way", ["http", "file"])
def test_each_rollout_gets_its_reward_score_and_logs(way: str, service: Running, tmp_path: Path) -> None:
    if way == "http":
        address = f"{service.url}/rewards/openrlhf?on_error=-1&on_blank=-0.5"
    else:
        address = guard_file(tmp_path, service.url, on_error=-1.0, on_blank=-0.5)
    found = rollout(address, ANSWERS)
    assert [one["reward"] for one in found] == [1.0, 0.0, 1.0, -0.5, 0.0]
    assert [one["scores"] for one in found] == [1.0, 0.0, 1.0, 0.0, 0.0]
    assert [one["extra_logs"]["guard_refusal"] for one in found] == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert [one["extra_logs"]["guard_blank"] for one in found] == [0.0, 0.0, 0.0, 1.0, 0.0]


def test_64_rollouts_over_two_addresses(service: Running) -> None:
    address = f"{service.url}/rewards/openrlhf?on_error=-1"
    answers = [f"{number} {'bomb' if number % 2 else 'bread'}" for number in range(64)]
    found = rollout(f"{address},{address}", answers)
    assert [one["reward"] for one in found] == [0.0 if number % 2 else 1.0 for number in range(64)]


def test_the_key_goes_along_in_the_address() -> None:
    with running(MODERATION_API_KEYS=KEY) as closed:
        (found,) = rollout(f"{closed.url}/rewards/openrlhf?key={KEY}", ["bread"])
        assert found["reward"] == 1.0
        assert not [line for line in closed.lines if KEY in line]


def test_a_slow_guard_is_the_number_of_the_file(tmp_path: Path) -> None:
    server = FakeServer(lambda request: Hang())
    server.start()
    try:
        (found,) = rollout(guard_file(tmp_path, server.url, on_error=-9.0, timeout_s=0.3), ["bread"])
    finally:
        server.stop()
    assert (found["reward"], found["extra_logs"]["guard_error"]) == (-9.0, 1.0)


def test_a_guard_that_is_down_is_the_number_of_the_file(unused_port: int, tmp_path: Path) -> None:
    address = guard_file(tmp_path, f"http://127.0.0.1:{unused_port}", on_error=-9.0, timeout_s=0.3)
    (found,) = rollout(address, ["bread"])
    assert (found["reward"], found["scores"], found["extra_logs"]["guard_error"]) == (-9.0, 0.0, 1.0)
