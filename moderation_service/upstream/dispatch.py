"""One question to one of several servers: the least busy one, then others if it fails or takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from ..core.engine import Deadline
from ..errors import DeadlineExceeded, ModerationError
from .client import FailureKind, PromptTooLong, UpstreamFailure
from .fanout import FanOut
from .hedging import Hedge, current_hedge
from .replicas import AnyServer, Replica, ReplicaSet, resting

__all__ = ["Dispatch"]

_Result = TypeVar("_Result")

_PATIENCE = 0.25
"""The share of a deadline after which a second server is asked."""
_HEDGED = 1 / 8
"""The share of a process's calls that may be second ones: when all servers are slow, more calls would not help."""


class Dispatch(Generic[AnyServer]):
    """Calls of one process. Safe to use from many threads.

    The thread that calls holds a slot of `fanout`; a second call at the same time takes another, if one is free.
    """

    def __init__(self, replicas: ReplicaSet[AnyServer], fanout: FanOut, *, timeout_s: float) -> None:
        self._replicas = replicas
        self._fanout = fanout
        self._timeout_s = timeout_s
        self._hedges = threading.Semaphore(max(1, int(fanout.limit * _HEDGED)))

    def call(
        self,
        ask: Callable[[AnyServer, float], _Result],
        deadline: Deadline,
        *,
        with_verdict: bool = True,
        strictest: Callable[[list[_Result]], _Result] | None = None,
    ) -> _Result:
        """The result of `ask`, a function of a server and the seconds it may take.

        Every server is tried once while the deadline allows; after a broken connection the same one may be tried once
        more. One that has not answered in a quarter of the deadline goes on, and another one is asked meanwhile: the
        first result counts, and if both are there, `strictest` of them.

        Raises ModerationError or PromptTooLong.
        """
        return self._call(ask, deadline, with_verdict, strictest, set())

    def _call(
        self,
        ask: Callable[[AnyServer, float], _Result],
        deadline: Deadline,
        with_verdict: bool,
        strictest: Callable[[list[_Result]], _Result] | None,
        tried: set[Replica[AnyServer]],
    ) -> _Result:
        """`tried` holds those that were asked, by this thread or by one that waits for the same question."""

        def second() -> _Result:
            return self._call(ask, deadline, with_verdict, strictest, tried)

        failure: UpstreamFailure | None = None
        for _ in range(len(self._replicas.replicas) + 1):
            left_s = deadline.remaining_s()
            if left_s <= 0:
                break
            replica = self._replicas.choose(without=tried, within_s=left_s)
            if replica is None and failure is not None and failure.kind is FailureKind.CLOSED:
                replica = self._replicas.choose(within_s=left_s)
            if replica is None and not tried:
                replica = self._replicas.recalled(timeout_s=left_s)
            if replica is None:
                break
            # Less than before, where a place was waited for.
            left_s = deadline.remaining_s()
            if left_s <= 0:
                self._replicas.ended(replica)
                break
            tried.add(replica)
            timeout_s = min(self._timeout_s, left_s)
            try:
                if len(tried) >= len(self._replicas.replicas) or timeout_s <= left_s * _PATIENCE:
                    return self._on(replica, ask, timeout_s, with_verdict)
                found = self._hedged(replica, ask, timeout_s, with_verdict, second, deadline)
                return found[0] if len(found) == 1 or strictest is None else strictest(found)
            except UpstreamFailure as error:
                failure = error
        raise self._error(failure, deadline)

    def _hedged(
        self,
        replica: Replica[AnyServer],
        ask: Callable[[AnyServer, float], _Result],
        timeout_s: float,
        with_verdict: bool,
        second: Callable[[], _Result],
        deadline: Deadline,
    ) -> list[_Result]:
        """The result, or two. Raises UpstreamFailure or PromptTooLong."""
        patience_s = deadline.remaining_s() * _PATIENCE
        hedge: Hedge[_Result] = Hedge(patience_s=patience_s, begin=lambda: self._begin(hedge, second))
        token = current_hedge.set(hedge)
        try:
            first = self._on(replica, ask, timeout_s, with_verdict)
        except UpstreamFailure:
            hedge.wait_for_second(deadline.remaining_s())
            if hedge.error is not None:
                raise hedge.error from None
            if hedge.results:
                return hedge.results
            raise
        finally:
            current_hedge.reset(token)
            hedge.close()
        return [first, *hedge.results]

    def _begin(self, hedge: Hedge[_Result], second: Callable[[], _Result]) -> bool:
        """Have the question put to another server by a helper; False if there is none to do it."""
        if not self._hedges.acquire(blocking=False):
            return False

        def run() -> None:
            # In a context of the helper's own, in which this hedge would be found as well.
            current_hedge.set(None)
            try:
                result = second()
            except ModerationError:
                hedge.failed()
            except BaseException as error:  # too long, or a bug: raised again in the thread that waits
                hedge.failed(error)
            else:
                hedge.succeeded(result)
            finally:
                self._hedges.release()

        if self._fanout.lend(run):
            return True
        self._hedges.release()
        return False

    def _on(
        self,
        replica: Replica[AnyServer],
        ask: Callable[[AnyServer, float], _Result],
        timeout_s: float,
        with_verdict: bool,
    ) -> _Result:
        """One call on a chosen server, noted in its record. Raises UpstreamFailure or PromptTooLong."""
        started = monotonic()
        try:
            result = ask(replica.server, timeout_s)
        except PromptTooLong:
            self._replicas.succeeded(replica, monotonic() - started, outcome="too_long", with_verdict=False)
            raise
        except UpstreamFailure as error:
            self._replicas.failed(replica, error, monotonic() - started)
            raise
        finally:
            self._replicas.ended(replica)
        self._replicas.succeeded(replica, monotonic() - started, with_verdict=with_verdict)
        return result

    def _error(self, failure: UpstreamFailure | None, deadline: Deadline) -> ModerationError:
        """Why there is no result."""
        if failure is None or failure.kind is FailureKind.OVERLOADED:
            pause_s = self._replicas.pause_s()
            if pause_s is not None:
                return resting(pause_s)
        if failure is not None:
            return failure.error
        if deadline.remaining_s() <= 0:
            return DeadlineExceeded("The time for this request was over before the model could answer.")
        return self._replicas.unavailable()
