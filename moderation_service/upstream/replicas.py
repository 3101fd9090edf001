"""Which of several servers is asked: the least busy one (`pace`) that is not known to be out of order.

A server that fails is *ejected*: no request goes to it. A thread then asks it real questions, one harmless and one
harmful, until right verdicts bring it back, so no user's request is spent on trying.

A server that says 429 or 503 with `Retry-After` *rests*: no request goes to it until then. After that one call at a
time tries it, and the first answer ends the rest.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from time import monotonic
from typing import Generic, Protocol, TypeVar

from ..errors import EngineUnavailable, FailureReason, Overloaded
from ..observability.logs import log_event
from .client import FailureKind, UpstreamFailure
from .pace import Pace, slow_answers_of_best

__all__ = ["Replica", "ReplicaSet", "Server", "UpstreamEvents", "probe_pauses", "resting"]

_log = logging.getLogger("moderation.upstream")

# Doubled up to the second while a server stays away, and each time up to a half less, by chance: the processes that
# lost it at the same moment must not ask it in step.
_PROBE_FIRST_S, _PROBE_LAST_S = 1.0, 2.0
# How long a call that tries a server after its rest keeps others from doing the same.
_TRIAL_S = 1.0
# How long a call waits while every server has as many as it may have.
_PLACE_S = 0.5
# One refused connection is proof, and so is a wrong verdict; other failures may be the request's own bad luck.
_FAILURES_TO_EJECT = 3
_PROOFS = frozenset({FailureKind.CONNECT, FailureKind.MISJUDGES})
_EJECTS = frozenset({
    FailureKind.CONNECT, FailureKind.CLOSED, FailureKind.TIMEOUT, FailureKind.GARBLED, FailureKind.SERVER_ERROR,
    FailureKind.MISJUDGES,
})  # fmt: skip
"""Kinds that count against a server. An odd answer or a refusal does not: a caller's text could provoke those."""


class UpstreamEvents(Protocol):
    """Told what happens to the servers, for metrics. `replica` is the host and port of the configured address."""

    def upstream_called(self, replica: str, outcome: str, seconds: float) -> None:
        """A verdict call ended; `outcome` is `ok`, `too_long`, or the value of a FailureKind."""

    def upstream_ejected(self, replica: str, *, is_ejected: bool) -> None:
        """A server was taken out of use, or came back."""


class Server(Protocol):
    """What is asked of a server itself."""

    def learn_again(self, *, timeout_s: float) -> None:
        """Ask for everything that was known of the server, and real questions, a harmless and a harmful one.

        Raises UpstreamFailure; of the kind MISJUDGES where the harmful one comes back safe.
        """

    def forget(self) -> None:
        """Ask for everything again next time."""

    def close(self) -> None:
        """Close its connections."""


AnyServer = TypeVar("AnyServer", bound=Server)


class Replica(Generic[AnyServer]):
    """One server, and how it is doing. Its numbers are changed by `ReplicaSet` only."""

    def __init__(self, label: str, server: AnyServer) -> None:
        self.label = label
        self.server = server
        self.outstanding = 0
        self.failures = 0
        self.failed_at = float("-inf")
        self.is_ejected = False
        self.ejected_for: FailureKind | None = None
        self.is_dropped = False
        # Whether it was seen to know harm from harmlessness since it was last out of use, or another model's.
        self.is_proven = False
        self.last_ok: float | None = None
        self.last_chosen = 0
        self.pace = Pace()
        self.rests_until: float | None = None
        """Until when it asked to be left alone; stays set until it has answered after that."""
        self.next_trial: float | None = None
        """When it may be asked again to see whether its rest is over."""

    def pause_s(self, now: float) -> float:
        """For how long it is to be left alone."""
        return max(self.rests_until or now, self.next_trial or now) - now


class ReplicaSet(Generic[AnyServer]):
    """All servers of one process. Safe to use from many threads."""

    def __init__(
        self,
        replicas: Sequence[Replica[AnyServer]],
        *,
        timeout_s: float,
        events: UpstreamEvents | None = None,
        clock: Callable[[], float] = monotonic,
        most: Callable[[], int] | None = None,
    ) -> None:
        """`most` says how many calls each server may have under way from here, which may change."""
        self.replicas = tuple(replicas)
        """Those there are now."""
        self._timeout_s = timeout_s
        self._events = events
        self._clock = clock
        self._lock = threading.Lock()
        self._most = most
        self._place = threading.Condition(self._lock)
        self._waiting = 0
        self._turn = 0
        self._stopping = threading.Event()
        self._recalling = threading.Lock()
        self._probers: set[threading.Thread] = set()

    def add(self, replica: Replica[AnyServer], *, in_use: bool = False) -> None:
        """A server has appeared. Unless it is `in_use`, it must answer real questions rightly first."""
        with self._lock:
            self.replicas = (*self.replicas, replica)
            if not in_use:
                replica.is_ejected, replica.ejected_for = True, FailureKind.CONNECT
                self._begin_probing(replica, at_once=True)
        log_event(_log, logging.INFO, "upstream_found", upstream=replica.label)

    def drop(self, replica: Replica[AnyServer]) -> None:
        """A server is gone. Calls that are under way there may come to their end."""
        with self._lock:
            self.replicas = tuple(one for one in self.replicas if one is not replica)
            replica.is_dropped = True
        replica.server.close()
        log_event(_log, logging.INFO, "upstream_gone", upstream=replica.label)
        if replica.is_ejected and self._events is not None:
            self._events.upstream_ejected(replica.label, is_ejected=False)

    def choose(
        self, *, without: Collection[Replica[AnyServer]] = (), within_s: float = _PLACE_S
    ) -> Replica[AnyServer] | None:
        """The least busy server in use; of equals, the one that waited longest. None if there is none.

        It has a call under way from now on, until `ended`. Where all in use have as many as they may have, one is
        waited for, half a second and `within_s` at most. Raises Overloaded when that takes too long.
        """
        with self._lock:
            able = self._able(without)
            if self._most is not None and able:
                able = self._with_place(able, self._most(), without, min(_PLACE_S, within_s))
            if not able:
                return None
            chosen = self._least_busy(able) if len(able) > 1 else able[0]
            if chosen.rests_until is not None:
                chosen.next_trial = self._clock() + _TRIAL_S
            self._turn += 1
            chosen.last_chosen = self._turn
            chosen.outstanding += 1
            return chosen

    def has_room(self) -> bool:
        """Whether a server in use has fewer than half of the calls under way that it may have from here."""
        with self._lock:
            most = None if self._most is None else self._most()
            return any(most is None or 2 * (one.outstanding + 1) <= most for one in self._able(()))

    def _least_busy(self, able: Sequence[Replica[AnyServer]]) -> Replica[AnyServer]:
        others_s, turn = slow_answers_of_best(one.pace for one in able), self._turn
        return min(
            able,
            key=lambda one: (one.pace.load(one.outstanding, others_s, turn - one.last_chosen), one.last_chosen),
        )

    def _able(self, without: Collection[Replica[AnyServer]]) -> list[Replica[AnyServer]]:
        return [one for one in self.replicas if not one.is_ejected and one not in without and not self._rests(one)]

    def _with_place(
        self, able: list[Replica[AnyServer]], most: int, without: Collection[Replica[AnyServer]], within_s: float
    ) -> list[Replica[AnyServer]]:
        """Those that may have one more call; the lock is held, but not while one is waited for. Raises Overloaded."""
        ends_at = monotonic() + within_s
        while not (free := [one for one in able if one.outstanding < most]) and able:
            self._waiting += 1
            try:
                has_ended = self._place.wait(max(0.0, ends_at - monotonic()))
            finally:
                self._waiting -= 1
            able = self._able(without)
            if not has_ended and able and not any(one.outstanding < most for one in able):
                message = f"The model servers already have {most} calls each from here, their limit."
                raise Overloaded(message, retry_after_s=1.0)
        return free

    def pause_s(self) -> float | None:
        """In how many seconds the first of the servers in use may be asked; None unless all of them rest."""
        with self._lock:
            used = [one for one in self.replicas if not one.is_ejected]
            if not used or not all(self._rests(one) for one in used):
                return None
            return max(1.0, min(one.pause_s(self._clock()) for one in used))

    def _rests(self, replica: Replica[AnyServer]) -> bool:
        return replica.rests_until is not None and replica.pause_s(self._clock()) > 0

    def ended(self, replica: Replica[AnyServer]) -> None:
        """A call is over."""
        with self._lock:
            replica.outstanding -= 1
            if self._waiting:
                self._place.notify()

    def succeeded(
        self, replica: Replica[AnyServer], seconds: float, *, outcome: str = "ok", with_verdict: bool = True
    ) -> None:
        """The server answered; only a verdict shows that it is ready for others."""
        replica.failures = 0
        # What was asked before the rest says nothing of what the server can do after it.
        if replica.rests_until is not None and self._clock() - seconds >= replica.rests_until:
            replica.rests_until = replica.next_trial = None
        if with_verdict:
            replica.last_ok = self._clock()
            if len(self.replicas) > 1:
                replica.pace.note(seconds)
        if self._events is not None:
            self._events.upstream_called(replica.label, outcome, seconds)

    def failed(self, replica: Replica[AnyServer], failure: UpstreamFailure, seconds: float) -> None:
        """The server gave no verdict."""
        kind = failure.kind
        if self._events is not None:
            self._events.upstream_called(replica.label, kind.value, seconds)
        if kind is FailureKind.REFUSED:
            replica.server.forget()
            replica.is_proven = False
        if failure.pause_s > 0:
            self._rest(replica, failure.pause_s)
        if kind not in _EJECTS:
            return
        now = self._clock()
        with self._lock:
            replica.last_ok = None
            # Errors of calls that were under way together are one: a router's, when one of its servers has gone.
            if kind is not FailureKind.SERVER_ERROR or now - seconds >= replica.failed_at:
                replica.failures, replica.failed_at = replica.failures + 1, now
            if replica.is_ejected:
                replica.ejected_for = kind
                return
            if replica.is_dropped or (kind not in _PROOFS and replica.failures < _FAILURES_TO_EJECT):
                return
            self._eject(replica, kind)

    def check_ready(self, *, within_s: float) -> None:
        """Return if a proven server answered so recently, or one answers real questions rightly now.

        Raises EngineError.
        """
        pause_s = self.pause_s()
        if pause_s is not None and not any(self._is_recent(replica, within_s) for replica in self.replicas):
            raise resting(pause_s)
        is_ready, error = False, None
        # One that is not proven is asked even if another one is ready: requests would go to it too.
        for replica in sorted(self.replicas, key=lambda one: not self._is_recent(one, within_s)):
            if self._is_recent(replica, within_s):
                is_ready = True
            elif not (replica.is_ejected or self._rests(replica) or (is_ready and replica.is_proven)):
                try:
                    self.probe(replica, timeout_s=self._timeout_s)
                except UpstreamFailure as failure:
                    error = failure.error
                else:
                    is_ready = True
        if not is_ready:
            raise error or self.unavailable()

    def _is_recent(self, replica: Replica[AnyServer], within_s: float) -> bool:
        is_in_use = replica.is_proven and not replica.is_ejected
        return is_in_use and replica.last_ok is not None and self._clock() - replica.last_ok < within_s

    def recalled(self, *, timeout_s: float) -> Replica[AnyServer] | None:
        """Chooses a server that is out of use for a wrong verdict only, if it judges rightly now; None if none does.

        Such a server answers at once, so a request can wait for that. One thread asks; others do without.
        """
        for replica in self.replicas:
            if replica.ejected_for is FailureKind.MISJUDGES and self._recalling.acquire(blocking=False):
                try:
                    self.probe(replica, timeout_s=min(timeout_s, self._timeout_s))
                except UpstreamFailure:
                    continue
                finally:
                    self._recalling.release()
                self._take_back(replica)
                with self._lock:
                    replica.outstanding += 1
                return replica
        return None

    def unavailable(self) -> EngineUnavailable:
        """The error for a call that no server is there for: all are out of use."""
        if any(replica.ejected_for is FailureKind.MISJUDGES for replica in self.replicas):
            message = "The model server is out of use: it calls a plainly harmful question safe."
            return EngineUnavailable(message, retry_after_s=1.0, reason=FailureReason.MISJUDGES)
        return EngineUnavailable("No model server can be reached.", retry_after_s=1.0, reason=FailureReason.EJECTED)

    def probe(self, replica: Replica[AnyServer], *, timeout_s: float) -> None:
        """Ask real questions. Raises UpstreamFailure."""
        started = self._clock()
        try:
            replica.server.learn_again(timeout_s=timeout_s)
        except UpstreamFailure as failure:
            self.failed(replica, failure, self._clock() - started)
            raise
        replica.is_proven = True
        self.succeeded(replica, self._clock() - started)
        # These were several questions; and what was before it went away says nothing.
        replica.pace = Pace()

    def close(self) -> None:
        """Stop probing and close all connections."""
        self._stopping.set()
        for replica in self.replicas:
            replica.server.close()
        with self._lock:
            probers = list(self._probers)
        for prober in probers:
            prober.join(timeout=2.0)

    def _rest(self, replica: Replica[AnyServer], pause_s: float) -> None:
        """Ask the server nothing for so long."""
        with self._lock:
            is_new = replica.rests_until is None
            replica.rests_until = max(replica.rests_until or 0.0, self._clock() + pause_s)
        if is_new:
            log_event(_log, logging.WARNING, "upstream_rests", upstream=replica.label, seconds=pause_s)

    def _eject(self, replica: Replica[AnyServer], kind: FailureKind) -> None:
        """Take the server out of use and begin to probe it; the lock is held."""
        replica.is_ejected, replica.ejected_for, replica.is_proven = True, kind, False
        log_event(_log, logging.WARNING, "upstream_ejected", upstream=replica.label, reason=kind.value)
        if self._events is not None:
            self._events.upstream_ejected(replica.label, is_ejected=True)
        self._begin_probing(replica)

    def _begin_probing(self, replica: Replica[AnyServer], *, at_once: bool = False) -> None:
        if not self._stopping.is_set():
            prober = threading.Thread(
                target=self._probe_until_back, args=(replica, at_once), name=f"probe {replica.label}", daemon=True
            )
            self._probers.add(prober)
            prober.start()

    def _probe_until_back(self, replica: Replica[AnyServer], at_once: bool) -> None:
        pauses = probe_pauses(random.Random())  # noqa: S311  # no secret
        asked_for_s = 0.0
        while not self._stopping.wait(0.0 if at_once else max(next(pauses), asked_for_s)):
            at_once = False
            if replica.is_dropped:
                break
            try:
                if replica.is_ejected:
                    self.probe(replica, timeout_s=self._timeout_s)
            except UpstreamFailure as failure:
                asked_for_s = failure.pause_s
                continue
            self._take_back(replica)
            break
        with self._lock:
            self._probers.discard(threading.current_thread())

    def _take_back(self, replica: Replica[AnyServer]) -> None:
        """Use the server again, if nobody has seen to that yet."""
        with self._lock:
            if not replica.is_ejected or replica.is_dropped:
                return
            replica.is_ejected, replica.ejected_for = False, None
        log_event(_log, logging.WARNING, "upstream_back", upstream=replica.label)
        if self._events is not None:
            self._events.upstream_ejected(replica.label, is_ejected=False)


def probe_pauses(chance: random.Random) -> Iterator[float]:
    """How long to wait before each question to a server that is away, in seconds."""
    longest_s = _PROBE_FIRST_S
    while True:
        yield longest_s * chance.uniform(0.5, 1.0)
        longest_s = min(longest_s * 2, _PROBE_LAST_S)


def resting(pause_s: float) -> EngineUnavailable:
    """The error for a call while all servers have asked to be left alone, the first of them for so long."""
    message = "The model server is overloaded."
    return EngineUnavailable(message, retry_after_s=pause_s, reason=FailureReason.OVERLOADED)
