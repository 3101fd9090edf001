"""The engine protocol: who judges."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..errors import ModerationError
from .cascade import Sureness
from .conversation import Conversation
from .verdict import Detail, Verdict

__all__ = ["Deadline", "Engine", "SurenessEngine"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment, on the monotonic clock, after which an answer is of no use to the caller."""

    at_s: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """A deadline so many seconds from now."""
        return cls(clock() + seconds, clock)

    def remaining_s(self) -> float:
        """Seconds left; zero or less when it has passed."""
        return self.at_s - self.clock()


class Engine(Protocol):
    """Judges conversations. Must be safe to call from many threads at once.

    `judge` returns one entry per conversation, in the same order: a verdict, or the error that kept it from one. It
    never turns a failure into a verdict. `check_ready` returns when the engine can really answer, and raises
    EngineUnavailable (or another EngineError) when it can't.
    """

    @property
    def name(self) -> str:
        """`lite`, `vllm`, `stream` or `cascade`."""

    @property
    def model(self) -> str:
        """The model's name and version, part of every reply and of the cache key."""

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        """One verdict or error per conversation, in order."""

    def check_ready(self) -> None:
        """Return when a verdict can be had, else raise an EngineError."""

    def close(self) -> None:
        """Let go of connections and threads."""


@runtime_checkable
class SurenessEngine(Protocol):
    """What an engine has besides, if it can answer more cheaply where the rules of a check allow it."""

    def judge_with(
        self, conversations: Sequence[Conversation], sureness: Sureness, *, detail: Detail, deadline: Deadline
    ) -> list[Verdict | ModerationError]:
        """`judge`, as sure as this."""

    def suffices(self, verdict: Verdict, sureness: Sureness) -> bool:
        """Whether an earlier verdict of this engine is as sure as this."""
