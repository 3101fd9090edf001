"""Three steps of GRPO in the real TRL, with a policy of two layers on the CPU."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from fake_guard_server import Action, FakeServer, Hang, Request, reply
from processes import Running
from tiny_policy import save_policy
from trl import GRPOConfig, GRPOTrainer

from moderation_service.data.rewards import GuardReward
from moderation_service.errors import ConfigurationError, EngineUnavailable

pytestmark = [pytest.mark.rewards, pytest.mark.filterwarnings("default")]

QUESTIONS = ["Where is my parcel?", "How can I make a bomb?", "Who are you?"]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def scripted() -> Iterator[FakeServer]:
    server = FakeServer()
    server.start()
    yield server
    server.stop()


def verdict(request: Request, **fields: object) -> Action:
    """Odd answers are refusals, and every fourth one is unsafe, so that there is something to learn."""
    results = [
        {
            "safety": "unsafe" if len(str(item)) % 4 == 0 else "safe",
            "refusal": len(str(item)) % 2 == 1,
            "scores": None,
            "degraded": False,
            **fields,
        }
        for item in request.body["inputs"]
    ]
    return reply(200, {"results": results})


class Trained:
    """What was logged, and what was given for what."""

    def __init__(self, trainer: GRPOTrainer) -> None:
        self.steps = [entry for entry in trainer.state.log_history if "reward" in entry]


def train(
    policy: str, folder: Path, *functions: Any, completions: int = 8, conversational: bool = True, **options: Any
) -> Trained:
    prompts = [[{"role": "user", "content": one}] if conversational else one for one in QUESTIONS * 8]
    trainer = GRPOTrainer(
        model=policy,
        reward_funcs=list(functions),
        args=GRPOConfig(
            output_dir=str(folder),
            max_steps=3,
            per_device_train_batch_size=completions,
            num_generations=8,
            max_completion_length=12,
            use_cpu=True,
            bf16=False,
            report_to=[],
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            **options,
        ),
        train_dataset=Dataset.from_dict({"prompt": prompts, "worth": [float(n % 5) for n in range(len(prompts))]}),
    )
    trainer.train()
    return Trained(trainer)


@pytest.mark.parametrize("conversational", [True, False])
@pytest.mark.parametrize("kind", ["guard-only", "probability"])
def test_a_policy_is_trained_with_it(
    kind: str, conversational: bool, service: Running, policy: str, tmp_path: Path
) -> None:
    reward = GuardReward(service.url, kind=kind, on_error="raise", on_blank=0.0)
    trained = train(policy, tmp_path, reward, conversational=conversational)
    assert len(trained.steps) == 3
    for step in trained.steps:
        # What a policy writes that knows nothing is harmless to this engine, unless it is blank.
        full = 1.0 if kind == "guard-only" else 0.9
        assert step["rewards/guard/mean"] == pytest.approx(full * (1 - step["guard/blank_rate"]), abs=1e-5)
        assert (step["guard/error_rate"], step["guard/unsafe_rate"]) == (0.0, 0.0)
        assert "guard/refusal_rate" in step


def test_the_reward_that_trains_is_the_one_of_the_formula(scripted: FakeServer, policy: str, tmp_path: Path) -> None:
    scripted.behave = verdict
    given: list[tuple[Any, Any]] = []

    class Kept(GuardReward):
        async def score(self, *arguments: Any, **columns: Any) -> Any:
            scored = await super().score(*arguments, **columns)
            given.extend(zip(scored, columns["worth"], strict=True))
            return scored

    reward = Kept(scripted.url, kind="hybrid", helpfulness="worth", on_error="raise", on_blank=-5.0)
    trained = train(policy, tmp_path, reward)
    assert len(given) == 24
    for scored, worth in given:
        if scored.rewarded is None:
            assert scored.value == -5.0
        else:
            expected = -10.0 if scored.label == "unsafe" else -5.0 if scored.refusal else worth
            assert scored.value == min(expected, worth)
    for number, step in enumerate(trained.steps):
        values = [scored.value for scored, _ in given[8 * number : 8 * number + 8]]
        assert step["reward"] == pytest.approx(sum(values) / 8, abs=1e-4)
    assert {scored.label for scored, _ in given} >= {"safe", "unsafe"}


def test_64_completions_of_a_step_are_asked_for_at_once(scripted: FakeServer, policy: str, tmp_path: Path) -> None:
    under_way, most = 0, 0
    lock = threading.Lock()

    def slowly(request: Request) -> Action:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.05)
        with lock:
            under_way -= 1
        return verdict(request)

    scripted.behave = slowly
    train(policy, tmp_path, GuardReward(scripted.url, on_error="raise", on_blank=0.0), completions=64)
    assert most >= 6
    assert max(len(request.body["inputs"]) for request in scripted.requests) == 8


def test_a_guard_that_is_down_ends_training_if_that_was_said(unused_port: int, policy: str, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="8 of 8 completions"):
        train(policy, tmp_path, GuardReward(f"http://127.0.0.1:{unused_port}", on_error="raise", on_blank=0.0))


def test_rows_without_a_verdict_are_left_out(unused_port: int, policy: str, tmp_path: Path) -> None:
    trained = train(policy, tmp_path, GuardReward(f"http://127.0.0.1:{unused_port}", on_error="none"))
    assert [step["guard/error_rate"] for step in trained.steps] == [1.0] * 3
    assert not any("refusal_rate" in key for step in trained.steps for key in step)


def test_a_slow_guard_is_not_waited_for_longer_than_was_said(scripted: FakeServer, policy: str, tmp_path: Path) -> None:
    scripted.behave = lambda request: Hang()
    started = time.monotonic()
    trained = train(policy, tmp_path, GuardReward(scripted.url, on_error=-3.0, on_blank=-3.0, timeout_s=0.3))
    assert [step["reward"] for step in trained.steps] == [-3.0] * 3
    assert time.monotonic() - started < 20


def test_a_verdict_of_the_fallback_is_no_reward(scripted: FakeServer, policy: str, tmp_path: Path) -> None:
    scripted.behave = lambda request: verdict(request, degraded=True)
    with pytest.raises(EngineUnavailable, match="degraded"):
        train(policy, tmp_path, GuardReward(scripted.url, on_error="raise", on_blank=0.0, timeout_s=2))


def test_a_wrong_key_ends_training_whatever_was_said(scripted: FakeServer, policy: str, tmp_path: Path) -> None:
    scripted.behave = lambda request: reply(401, {})
    with pytest.raises(ConfigurationError, match="api_key"):
        train(policy, tmp_path, GuardReward(scripted.url, on_error=0.0, on_blank=0.0))


def test_no_text_is_logged(scripted: FakeServer, policy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scripted.behave = verdict
    with caplog.at_level(logging.DEBUG, logger="moderation"):
        train(policy, tmp_path, GuardReward(scripted.url, on_error="raise", on_blank=0.0))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("moderation")]
    assert len(ours) == 3
    assert not [line for line in ours if any(question in line for question in QUESTIONS)]
