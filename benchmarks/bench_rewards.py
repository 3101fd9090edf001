"""Rewards for a step of 64 completions: `python benchmarks/bench_rewards.py`; with TRL, the share of a step too.

The model server is `mock_vllm.c` (needs `cc`), which answers after 50 ms: that is the least a step can wait. Beside
`GuardReward`, in the same run: all texts in one request, and a request for each.

    make test-rewards   # makes .venv-rewards, which has TRL
    .venv-rewards/bin/python benchmarks/bench_rewards.py

The share is of a policy of two layers that writes 64 tokens, with the embedded engine as the guard: with a real policy
it is smaller.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
from bench_gateway import HERE, KEY, TEXT, model_server, service
from load import machine

from moderation_service.data.rewards import GuardReward

sys.path.insert(0, str(HERE.parent / "tests" / "support"))
DELAY_MS = 50.0
COMPLETIONS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mock = Path(folder) / "mock"
        subprocess.run(["cc", "-O2", "-o", mock, HERE / "mock_vllm.c"], check=True)
        with (
            model_server(mock, folder, DELAY_MS, "ok_stopped_after_safe") as (upstream, _),
            service(upstream) as (_, port),
        ):
            asyncio.run(ways(f"http://127.0.0.1:{port}", options.rounds))
    if find_spec("trl"):
        share_of_a_step(options.rounds)
    print(f"\n{machine()}.")


async def ways(url: str, rounds: int) -> None:
    """Medians of each way; the ways take turns."""
    reward = GuardReward(url, on_error="raise", api_key=KEY)
    number = iter(range(10**9))
    taken: dict[str, list[float]] = {}

    def items() -> list[dict[str, str]]:
        return [{"prompt": "Where?", "response": TEXT.format(n=next(number))} for _ in range(COMPLETIONS)]

    async def guard_reward() -> None:
        values = await reward(["Where?"] * COMPLETIONS, [one["response"] for one in items()])
        assert values == [1.0] * COMPLETIONS

    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session:

        async def post(body: object) -> None:
            async with session.post(f"{url}/moderate", json=body) as reply:
                assert reply.status == 200, await reply.text()
                await reply.read()

        async def one_request() -> None:
            await post({"inputs": items()})

        async def one_each() -> None:
            await asyncio.gather(*(post(item) for item in items()))

        named: dict[str, Callable[[], Awaitable[None]]] = {
            "GuardReward": guard_reward,
            "one request with 64 inputs": one_request,
            "64 requests": one_each,
        }
        for _ in range(rounds + 1):
            for name, way in named.items():
                began = time.perf_counter()
                await way()
                taken.setdefault(name, []).append(time.perf_counter() - began)
    print(f"{COMPLETIONS} rewards, the model takes {DELAY_MS:.0f} ms:")
    print("\n| way | seconds | times the model |\n|---|---|---|")
    for name, times in taken.items():
        median = statistics.median(times[1:])
        print(f"| {name} | {median:.3f} | {median * 1000 / DELAY_MS:.1f} |")


def share_of_a_step(rounds: int) -> None:
    """How much of the time of GRPO's steps in TRL is waited for rewards."""
    from datasets import Dataset
    from processes import SERVE_LITE, running
    from tiny_policy import save_policy
    from trl import GRPOConfig, GRPOTrainer

    waited: list[float] = []

    class Timed(GuardReward):
        async def __call__(self, *arguments: Any, **columns: Any) -> list[float | None]:
            began = time.perf_counter()
            try:
                return await super().__call__(*arguments, **columns)
            finally:
                waited.append(time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as folder, running(command=SERVE_LITE) as guard:
        trainer = GRPOTrainer(
            model=save_policy(Path(folder) / "policy"),
            reward_funcs=[Timed(guard.url, on_error="raise", on_blank=0.0)],
            args=GRPOConfig(
                output_dir=folder,
                max_steps=rounds + 1,
                per_device_train_batch_size=8,
                num_generations=8,
                max_completion_length=64,
                use_cpu=True,
                bf16=False,
                report_to=[],
                logging_steps=1,
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_dict({"prompt": [f"Where is parcel {n}?" for n in range(64)]}),
        )
        trainer.train()
    steps = [entry["step_time"] for entry in trainer.state.log_history if "step_time" in entry]
    shares = [one / step for one, step in zip(waited[1:], steps[1:], strict=False)]
    print(f"\nOf a step of GRPO with 8 completions {statistics.median(shares):.1%} is the reward; {len(shares)} steps.")


if __name__ == "__main__":
    main()
