"""Repeat offenders: counts the blocks of end users, and makes their decisions stricter for a while.

An end user is known by a keyed hash only. Who they are is what the app says of its requests (`core.app.read_end_user`).
How they stand lies in memory that the workers share, and in Valkey or Redis for several pods (`limits_store`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import time
from typing import Any, Protocol

from ..core.escalation import NOTHING, Standing
from ..core.moderator import Check
from ..core.verdict import Action, Decision
from ..observability.logs import log_event
from ..observability.request_context import request_context
from ..streaming.shared_store import SharedStore
from .cluster_limits import Breaker
from .process_lock import process_lock

__all__ = ["ClusterStandings", "Escalated", "EscalationEvents", "Escalator", "SharedStandings", "Standings"]

_log = logging.getLogger("moderation.escalation")
# 32 000 end users at 1 kB; memory that is never written costs nothing.
_SIZE_BYTES = 32 * 1024 * 1024
_TTL_S = 7 * 86_400.0
# How late another pod may notice.
_FRESH_S = 2.0
_TRIES = 5
_MAX_WAITING = 10_000

Change = Callable[[Standing], Standing]


class EscalationEvents(Protocol):
    """Told of what was done about repeat offenders."""

    def escalated(self, policy: str) -> None:
        """An end user was blocked so often that a policy's `escalation` begins, or goes on for longer."""

    def made_stricter(self, policy: str, action: str) -> None:
        """A decision is stricter than the text alone would have it."""


class Standings(Protocol):
    """Where it is kept how end users stand."""

    def get(self, name: str) -> Standing:
        """How somebody stands."""

    def change(self, name: str, change: Change) -> Standing:
        """Change it, and say how they stand now."""


@dataclass(frozen=True, slots=True)
class Escalated:
    """One escalation, for the records: `at` and `until` in seconds since 1970."""

    app: str
    end_user: str
    policy: str
    action: Action
    blocks: int
    at: float
    until: float


class SharedStandings:
    """Standings that the workers of one machine share. Safe under threads; made before the workers are forked."""

    def __init__(self) -> None:
        self._store = SharedStore(size_bytes=_SIZE_BYTES, ttl_s=_TTL_S, clock=time)
        # Two blocks at once count as two.
        self._alone = process_lock()
        self.close = self._alone.close

    def get(self, name: str) -> Standing:
        """See `Standings`."""
        return Standing.decode(self._store.get(name.encode()))

    def change(self, name: str, change: Change) -> Standing:
        """See `Standings`."""
        with self._alone:
            changed = change(self.get(name))
            self._store.put(name.encode(), changed.encode())
        return changed


# Replaces a value if it is still the one that was read.
_SCRIPT = """
local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] then return {0, found} end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return {1, ARGV[2]}
"""


class ClusterStandings:
    """Standings that several pods share. What was read of somebody is believed for two seconds.

    While the server is away, each pod goes on with what it knows.
    """

    def __init__(self, client: Any, *, local: Standings, breaker: Breaker | None = None) -> None:
        from redis.exceptions import RedisError

        self._client = client
        self._script = client.register_script(_SCRIPT)
        self._local = local
        self._breaker = breaker or Breaker()
        self._failures: tuple[type[Exception], ...] = (RedisError, OSError, ValueError)
        self._fresh: dict[str, float] = {}

    def get(self, name: str) -> Standing:
        """See `Standings`."""
        now = time()
        if self._fresh.get(name, 0.0) > now:
            return self._local.get(name)
        if len(self._fresh) >= _MAX_WAITING:
            self._fresh.clear()
        self._fresh[name] = now + _FRESH_S
        found, known = self._asked(lambda: Standing.decode(self._client.get(_key(name)))), self._local.get(name)
        # Written only where it is news: everybody who is not known would take the place of somebody who is.
        return known if found is None or found == known else self._local.change(name, lambda _: found)

    def change(self, name: str, change: Change) -> Standing:
        """See `Standings`."""
        changed = self._asked(lambda: self._changed(name, change))
        return self._local.change(name, change if changed is None else lambda _: changed)

    def _changed(self, name: str, change: Change) -> Standing:
        raw: bytes = self._client.get(_key(name)) or b""
        for _ in range(_TRIES):
            changed = change(Standing.decode(raw or None))
            done, raw = self._script([_key(name)], [raw, changed.encode(), int(_TTL_S)])
            if int(done):
                break
        return changed

    def _asked(self, ask: Callable[[], Standing]) -> Standing | None:
        if not self._breaker.lets_through():
            return None
        try:
            found = ask()
        except self._failures:  # it is away, or what is there was written by another version
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return found


class Escalator:
    """The moderator's last word on a decision (`core.moderator.Moderator`).

    What began waits in `begun` until somebody takes it to write it down; beyond a bound the oldest are dropped.
    """

    def __init__(self, standings: Standings, *, events: EscalationEvents, clock: Callable[[], float] = time) -> None:
        self._standings = standings
        self._events = events
        self._clock = clock
        self.begun: deque[Escalated] = deque(maxlen=_MAX_WAITING)

    def __call__(self, check: Check, decision: Decision, fingerprint: bytes) -> Decision:
        """The decision, made stricter if this end user's standing says so; a block of their text is counted."""
        rule = check.policy.escalation
        if rule is None or (user := request_context.get().end_user) is None:
            return decision
        now, name = self._clock(), _name(user, check.policy.name)
        action = self._standings.get(name).action_at(now)
        # Of a failure nobody but the service is to blame.
        if decision.action is Action.BLOCK and not decision.degraded:
            text = fingerprint.hex()[:16]
            standing = self._standings.change(name, lambda one: one.after_block(rule, now=now, text=text))
            if not standing.blocks and standing.action_at(now) is not None:
                self._begin(check, user, standing, now)
        if action is None or action.rank <= decision.action.rank:
            return decision
        self._events.made_stricter(check.policy.name, action.value)
        message = check.message() if action is Action.BLOCK else None
        until = self._standings.get(name).until
        return replace(decision, action=action, message=message, escalated_until=until)

    def undo(self, end_user: str, policy: str, *, begun_before: int) -> None:
        """Forget what this end user did under a policy, unless that is later than this moment (in milliseconds)."""

        def undone(standing: Standing) -> Standing:
            return NOTHING if standing.since * 1000 <= begun_before else standing

        self._standings.change(_name(end_user, policy), undone)

    def _begin(self, check: Check, user: str, standing: Standing, now: float) -> None:
        rule, action = check.policy.escalation, standing.action
        assert rule is not None
        assert action is not None
        context = request_context.get()
        app = context.app or context.key_name or ""
        self._events.escalated(check.policy.name)
        log_event(
            _log,
            logging.WARNING,
            "end_user_escalated",
            request_id=context.request_id,
            app=app,
            end_user=user,
            policy=check.policy.name,
            action=action.value,
            until=standing.until,
        )
        self.begun.append(Escalated(app, user, check.policy.name, action, rule.after_blocks, now, standing.until))


def _name(user: str, policy: str) -> str:
    return f"{user}:{policy}"


def _key(name: str) -> str:
    return f"moderation:standing:{name}"
