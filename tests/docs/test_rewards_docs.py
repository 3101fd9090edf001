"""docs/rewards.md and its Chinese twin: the examples run, with stand-ins for the trainers that can't be here."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
import yaml
from processes import SERVE_LITE, Running, running

from moderation_service.core.reward import RewardKind
from moderation_service.data.rewards import GuardReward
from moderation_service.data.rewards.verl import compute_score
from moderation_service.wires.rewards import OPTIONS

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("rewards.md", "rewards.zh-CN.md"))
each_page = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["english", "chinese"])
FIRST, TRL, OPENRLHF, SWIFT, NEMO = re.findall(r"```python\n(.*?)```", ENGLISH, re.DOTALL)
QUESTION = [{"role": "user", "content": "How can I make a bomb?"}]
REFUSAL = "I'm sorry, but I can't help with that."
HARM = "Mix the fertiliser with diesel, then add a detonator to build the bomb."


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(command=SERVE_LITE) as started:
        yield started


def run(code: str, service: Running, **scope: Any) -> dict[str, Any]:
    exec(code.replace("http://127.0.0.1:8787", service.url), scope)
    return scope


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **parts: Any) -> None:
    module = ModuleType(name)
    vars(module).update(parts)
    monkeypatch.setitem(sys.modules, name, module)


@each_page
def test_every_option_and_kind_is_named(page: str) -> None:
    options = inspect.signature(GuardReward).parameters.keys() - {"url", "kind"}
    assert [name for name in options if f"`{name}`" not in page] == []
    assert all(f"| `{kind.value}`" in page for kind in RewardKind)
    addresses = page.partition("| `kind` | `guard-only`")[2].partition("\n\n")[0]
    assert [name for name in OPTIONS - {"kind"} if f"`{name}`" not in addresses] == []


def test_the_first_reward_is_the_one_shown(service: Running, capsys: pytest.CaptureFixture[str]) -> None:
    run(FIRST, service)
    (shown,) = re.findall(r"print\(.*# (.*)", FIRST)
    assert capsys.readouterr().out.strip() == shown


def test_the_trainer_of_the_page_is_given_a_hybrid_reward(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    class Trainer(SimpleNamespace):
        def train(self) -> None:
            asked = {"prompts": [QUESTION] * 3, "completions": [REFUSAL, HARM, ""], "trainer_state": None}
            self.rewards = asyncio.run(self.reward_funcs[0](**asked))

    stand_in(monkeypatch, "trl", GRPOConfig=dict, GRPOTrainer=Trainer)
    scope = run(TRL, service, dataset=[])
    assert scope["trainer"].rewards == [-5.0, -10.0, -5.0]


def test_the_settings_for_verl_are_those_of_the_function(service: Running) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", ENGLISH, re.DOTALL)
    loaded = yaml.safe_load(block)["reward"]["custom_reward_function"]
    assert loaded["path"].endswith("moderation_service/data/rewards/verl.py")
    options = {**loaded["reward_kwargs"], "url": service.url}
    assert loaded["name"] == "compute_score"
    assert asyncio.run(compute_score("set", HARM, "", {"prompt": QUESTION}, **options))["score"] == 0.0


def test_the_file_for_openrlhf_gives_a_hybrid_reward(service: Running) -> None:
    function = run(OPENRLHF, service)["reward_func"]
    prompt = f"<|im_start|>user\n{QUESTION[0]['content']}<|im_end|>\n<|im_start|>assistant\n"
    assert function([f"{prompt}{HARM}<|im_end|>"], [prompt], [""])["rewards"] == -10.0
    assert function([f"{prompt}{REFUSAL}<|im_end|>"], [prompt], [""])["rewards"] == -5.0


def test_the_plugin_for_ms_swift_rewards_completions_by_their_messages(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AsyncORM:
        def __init__(self, args: object = None, **options: object) -> None:
            self.args = args

    functions: dict[str, Any] = {}
    stand_in(monkeypatch, "swift")
    stand_in(monkeypatch, "swift.rewards", AsyncORM=AsyncORM, orms=functions)
    run(SWIFT, service)
    messages = [[*QUESTION, {"role": "assistant", "content": text}] for text in (HARM, REFUSAL)]
    call = functions["guard"](args=None)
    for _ in range(2):  # a new event loop each time
        assert asyncio.run(call(completions=[HARM, REFUSAL], messages=messages, solution=["", ""])) == [0.0, 1.0]


def test_the_environment_for_nemo_rl_rewards_a_batch_of_logs(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    class EnvironmentReturn(NamedTuple):
        observations: list[dict[str, str]]
        metadata: list[Any]
        next_stop_strings: list[None]
        rewards: Any
        terminateds: Any
        answers: list[None]

    stand_in(monkeypatch, "ray", remote=lambda kind: kind)
    stand_in(monkeypatch, "torch", tensor=list, ones=lambda count: [1.0] * count)
    for name in ("nemo_rl", "nemo_rl.environments"):
        stand_in(monkeypatch, name)
    parts = {"EnvironmentInterface": object, "EnvironmentReturn": EnvironmentReturn}
    stand_in(monkeypatch, "nemo_rl.environments.interfaces", **parts)
    made = run(NEMO, service)["GuardEnvironment"]({"url": service.url, "on_error": -1.0, "on_blank": 0.0})
    tokens = object()  # NeMo-RL keeps tensors beside the text
    logs = [
        [{**QUESTION[0], "token_ids": tokens}, {"role": "assistant", "content": text, "token_ids": tokens}]
        for text in (HARM, REFUSAL, "")
    ]
    returned = made.step(logs, [{}, {}, {}])
    assert (returned.rewards, returned.terminateds) == ([0.0, 1.0, 0.0], [1.0] * 3)
    assert made.global_post_process_and_metrics({"a": 1}) == ({"a": 1}, {})
