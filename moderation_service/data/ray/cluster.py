"""A window that is as wide as a cluster: actors in place of the threads of one process.

It is used as `JudgingWindow` is. What reads, writes, keeps the order and goes on after a kill is the same code, and so
the output is the same; only the questions travel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ...core.conversation import Conversation
from ...errors import EngineUnavailable, ModerationError
from ..columns import Outcome
from ..window import question_key
from .judging import Judge, Judges

__all__ = ["Cluster"]

_PER_CALL = 64
_Question = tuple[Conversation, Callable[[Outcome], None]]


class Cluster:
    """The actors of one run, in a cluster that `ray.init` has been told of.

    Raises the engine's error when its actors find no engine that judges.
    """

    def __init__(self, judges: Judges) -> None:
        actor = ray.remote(**judges.resources, scheduling_strategy="SPREAD")(Judge)
        self._actors = [actor.remote(judges) for _ in range(judges.actors)]
        try:
            names = ray.get([one.wait_until_ready.remote() for one in self._actors])
        except RayError as error:
            self.close()
            raise _ours(error) from None
        self.name, self.model = names[0]
        self.threads = judges.actors * judges.in_flight
        """How many questions may be under way."""
        self.away: ModerationError | None = None
        """Why nothing can be judged any more."""
        self._waiting: SimpleQueue[_Question | None] = SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="cluster", daemon=True)
        self._sender.start()

    def submit(self, conversation: Conversation, then: Callable[[Outcome], None]) -> None:
        """Have it judged, and `then` called with what came of it."""
        self._waiting.put((conversation, then))

    def close(self) -> None:
        """End the actors. What they still ask is not waited for."""
        if hasattr(self, "_sender"):
            self._waiting.put(None)
            self._sender.join()
        for actor in self._actors:
            ray.kill(actor)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self) -> None:
        """Take what waits, as much as there is, and send it to the actors. Equal texts go to the same one."""
        while (first := self._waiting.get()) is not None:
            batches: list[list[_Question]] = [[] for _ in self._actors]
            question: _Question | None = first
            is_last = False
            for _ in range(_PER_CALL * len(self._actors)):
                assert question is not None
                batches[int.from_bytes(question_key(question[0])[:8], "big") % len(batches)].append(question)
                try:
                    question = self._waiting.get_nowait()
                except Empty:
                    break
                if question is None:
                    is_last = True
                    break
            else:
                self._waiting.put(question)
            for actor, batch in zip(self._actors, batches, strict=True):
                if batch:
                    self._ask(actor, batch)
            if is_last:
                return

    def _ask(self, actor: Any, batch: Sequence[_Question]) -> None:
        asked = actor.judge.remote([conversation for conversation, _ in batch])
        asked.future().add_done_callback(lambda future: self._answered(batch, future))

    def _answered(self, batch: Sequence[_Question], future: Future[Any]) -> None:
        try:
            outcomes: Sequence[Outcome] = future.result()
        except RayError as error:
            self.away = _ours(error)
            outcomes = [self.away] * len(batch)
        for (_, then), outcome in zip(batch, outcomes, strict=True):
            then(outcome)


def _ours(error: RayError) -> ModerationError:
    """The error that an actor has raised, or what became of it."""
    if not isinstance(error, RayTaskError):
        return EngineUnavailable(f"Ray could not run the actors ({type(error).__name__}); its logs say why.")
    cause = error.cause
    if isinstance(cause, ModerationError):
        return cause
    return EngineUnavailable(f"An actor failed: {type(cause).__name__}.")
