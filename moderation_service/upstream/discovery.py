"""Capability discovery: what a model server can do is asked once, by the first thread that needs it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from time import monotonic
from typing import Generic, TypeVar

from ..errors import DeadlineExceeded
from .client import FailureKind, UpstreamFailure
from .hedging import current_hedge

__all__ = ["Discovery", "seconds_left"]

_Facts = TypeVar("_Facts")


class Discovery(ABC, Generic[_Facts]):
    """A server whose capabilities are found out by asking it. Safe to use from many threads."""

    def __init__(self) -> None:
        self._facts: _Facts | None = None
        self._learning = threading.Lock()

    @property
    def known_facts(self) -> _Facts | None:
        """What is known so far, without asking."""
        return self._facts

    def facts(self, *, timeout_s: float) -> _Facts:
        """What there is to know, asked for once. Raises UpstreamFailure."""
        facts = self._facts
        if facts is not None:
            return facts
        ends_at = monotonic() + timeout_s
        hedge = current_hedge.get()
        # Who waits for another thread to find out can't ask a second server meanwhile, so it goes there.
        patience_s = timeout_s if hedge is None else min(timeout_s, hedge.patience_left_s())
        if not self._learning.acquire(timeout=max(patience_s, 0.0)):
            raise _late()
        try:
            if self._facts is None:
                self._facts = self._learn(ends_at)
            return self._facts
        finally:
            self._learning.release()

    def learn_again(self, *, timeout_s: float) -> None:
        """Ask everything anew, a real question included; meanwhile the old facts are used. Raises UpstreamFailure."""
        ends_at = monotonic() + timeout_s
        with self._learning:
            self._facts = self._learn(ends_at)

    def forget(self) -> None:
        """Ask again next time: another model may be behind the address by now."""
        self._facts = None

    @abstractmethod
    def _learn(self, ends_at: float) -> _Facts:
        """Ask the server, until `ends_at` on the monotonic clock. Raises UpstreamFailure."""


def seconds_left(ends_at: float) -> float:
    """How long it is until that moment on the monotonic clock. Raises UpstreamFailure when it is past."""
    left = ends_at - monotonic()
    if left <= 0:
        raise _late()
    return left


def _late() -> UpstreamFailure:
    return UpstreamFailure(FailureKind.TIMEOUT, DeadlineExceeded("The model server did not answer in time."))
