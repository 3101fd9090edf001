"""What one actor does: keep an engine, and a window full of questions to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ...config.settings import ServersUrl, Settings
from ...core.conversation import Conversation
from ...core.verdict import Detail
from ...engines import create_engine
from ...errors import ConfigurationError
from ..columns import Outcome
from ..window import PASSING, JudgingWindow, WindowOptions
from .vllm_server import OwnVllm, VllmServer

__all__ = ["Judge", "Judges"]

# For the windows of long texts, and for second servers.
_SPARE_SLOTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """Who judges, and with how many actors.

    `settings` name the engine: `Settings(engine="vllm", upstreams=...)` for model servers that run already. With
    `vllm`, each actor starts a vLLM of its own, on the GPUs that Ray gives to the actor. `in_flight` is for each actor.
    `patience_s` is how long an engine that is away is waited for; then the job ends.
    """

    settings: Settings = field(default_factory=Settings)
    vllm: OwnVllm | None = None
    detail: Detail = Detail.FULL
    actors: int = 1
    in_flight: int = 128
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    deadline_s: float = 300.0
    patience_s: float = 120.0

    def __post_init__(self) -> None:
        if self.actors < 1 or self.in_flight < 1:
            raise ConfigurationError("actors, in_flight: must be greater than 0.")

    @property
    def resources(self) -> dict[str, Any]:
        """What Ray reserves for an actor, and that one which is lost is replaced, with the work it had."""
        return {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus, "max_restarts": -1, "max_task_retries": -1}


class Judge:
    """An engine and its window, in the process of an actor."""

    def __init__(self, judges: Judges) -> None:
        settings = judges.settings
        self._server = None if judges.vllm is None else VllmServer(judges.vllm)
        if self._server is not None:
            settings = replace(
                settings,
                engine="vllm",
                upstreams=(ServersUrl(self._server.url),),
                upstream_api_key=self._server.api_key,
                upstream_model=None,
            )
        self.engine = create_engine(replace(settings, upstream_concurrency=judges.in_flight + _SPARE_SLOTS))
        options = WindowOptions(
            in_flight=judges.in_flight,
            detail=judges.detail,
            deadline_s=judges.deadline_s,
            patience_s=judges.patience_s,
        )
        self._window = JudgingWindow(self.engine, options)

    def wait_until_ready(self) -> tuple[str, str]:
        """Wait for a vLLM of its own, and see that the engine judges; who that is. Raises EngineError."""
        if self._server is not None:
            self._server.wait_until_ready(self.engine.check_ready)
        else:
            self.engine.check_ready()
        return self.engine.name, self.engine.model

    async def judge(self, conversations: Sequence[Conversation]) -> list[Outcome]:
        """One verdict or error for each, in order.

        Raises the engine's error when it has been away for longer than the patience.
        """
        if not conversations:
            return []
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        found: list[Any] = [None] * len(conversations)
        # Called by many threads: one step of an iterator is not parted by the interpreter.
        left = iter(range(len(conversations) - 1, -1, -1))

        def put(index: int, outcome: Outcome) -> None:
            found[index] = outcome
            if not next(left):
                loop.call_soon_threadsafe(done.set)

        for index, conversation in enumerate(conversations):
            self._window.submit(conversation, partial(put, index))
        await done.wait()
        if self._window.away is not None and any(isinstance(one, PASSING) for one in found):
            raise self._window.away
        return found
