"""Counts the requests of apps over several machines, in Valkey or Redis.

One script counts in all windows in one trip; the strategies of the library `limits`, whose connections these are, need
one for each, and two more for what is left. Where the server is away, this machine counts for itself: after three
failures in a row it is not asked for five seconds. Nothing waits for it longer than a tenth of a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from ..config.extras import install_command
from ..core.app import Window
from ..errors import ConfigurationError
from ..observability.logs import log_event
from ..upstream.redis_connection import connection_class
from .rate_limits import Counted, Counters, Windows, nearest

__all__ = ["Breaker", "ClusterCounters", "LimitsEvents", "connect"]

_log = logging.getLogger("moderation.limits")
_TIMEOUT_S = 0.1
_FAILURES = 3
_PAUSE_S = 5.0
_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "redis+unix", "valkey+unix")
# KEYS: a counter per window. ARGV: the cost, then limit and milliseconds of each window. The answer: 0 or the number of
# the window that is full; then used and milliseconds left, of that window or of each. Nothing is charged on refusal.
_SCRIPT = """
local cost = tonumber(ARGV[1])
for i = 1, #KEYS do
  local used = tonumber(redis.call('GET', KEYS[i]) or '0')
  if used + cost > tonumber(ARGV[2 * i]) then
    local left = redis.call('PTTL', KEYS[i])
    return {i, used, left}
  end
end
local found = {0}
for i = 1, #KEYS do
  local used = redis.call('INCRBY', KEYS[i], cost)
  local left = redis.call('PTTL', KEYS[i])
  if left < 0 then
    left = tonumber(ARGV[2 * i + 1])
    redis.call('PEXPIRE', KEYS[i], left)
  end
  found[#found + 1] = used
  found[#found + 1] = left
end
return found
"""


class LimitsEvents(Protocol):
    """Told of what was not counted together with the other machines."""

    def limits_store_failed(self) -> None:
        """A request was counted on this machine only."""


class Breaker:
    """Says whether a server that failed is asked again yet. Safe under threads."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._silent_until = 0.0

    def lets_through(self) -> bool:
        """Whether to ask now. After a pause, one request tries first; the others follow when it has succeeded."""
        if self._failures < _FAILURES:
            return True
        with self._lock:
            now = self._clock()
            if now < self._silent_until:
                return False
            self._silent_until = now + _PAUSE_S
            return True

    def succeeded(self) -> None:
        """The server has answered."""
        self._failures = 0

    def failed(self) -> bool:
        """It has not; True if it will not be asked for a while from now on."""
        with self._lock:
            self._failures += 1
            if self._failures < _FAILURES:
                return False
            self._silent_until = self._clock() + _PAUSE_S
            return self._failures == _FAILURES


def connect(url: str) -> Any:
    """The client for a `limits_store`, which connects when it is first used. Raises ConfigurationError.

    No message repeats the address: there may be a password in it.
    """
    if url.partition("://")[0] not in _SCHEMES or "://" not in url:
        raise ConfigurationError("limits_store: must be an address such as redis://127.0.0.1:6379/0.")
    try:
        from limits.storage import storage_from_string
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError as NoConnection
        from redis.retry import Retry
    except ImportError:
        raise ConfigurationError(f"limits_store: needs more than is installed: {install_command('redis')}.") from None
    try:
        # Valkey speaks the same protocol; the library would ask for another client.
        storage: Any = storage_from_string(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            # A kept connection that the server has closed is opened anew; a server that is slow is not asked twice.
            retry=Retry(NoBackoff(), 1, supported_errors=(NoConnection,)),  # type: ignore[arg-type]
            **connection_class(url.partition("://")[0]),
        )
    except Exception as error:  # the library's and the client's, of many kinds
        raise ConfigurationError(f"limits_store: is no usable address: {type(error).__name__}.") from None
    return storage.storage


class ClusterCounters:
    """Counters in a server that several machines share. What is under way at once is counted by each for itself."""

    def __init__(self, client: Any, *, local: Counters, events: LimitsEvents, breaker: Breaker | None = None) -> None:
        self._script = client.register_script(_SCRIPT)
        self._local = local
        self._events = events
        self._breaker = breaker or Breaker()
        # Imported already: `client` was made by it.
        from redis.exceptions import RedisError

        self._failures: tuple[type[Exception], ...] = (RedisError, OSError)

    def take(self, app: str, windows: Windows, cost: int = 1) -> Counted | None:
        """See `Counters`."""
        if not windows:
            return None
        if self._breaker.lets_through():
            try:
                counted = self._ask(app, windows, cost)
            except self._failures as error:
                if self._breaker.failed():
                    log_event(_log, logging.WARNING, "limits_store_away", error=type(error).__name__, pause_s=_PAUSE_S)
            else:
                self._breaker.succeeded()
                return counted
        self._events.limits_store_failed()
        return self._local.take(app, windows, cost)

    def enter(self, app: str, windows: Windows, most: int) -> tuple[bool, Counted | None]:
        """See `Counters`."""
        has_place, _ = self._local.enter(app, (), most)
        if not has_place:
            return False, None
        counted = None
        try:
            counted = self.take(app, windows)
        finally:
            if windows and (counted is None or counted.over is not None):
                self._local.leave(app)
        return True, counted

    def leave(self, app: str) -> None:
        """See `Counters`."""
        self._local.leave(app)

    def _ask(self, app: str, windows: Windows, cost: int) -> Counted:
        # In braces: all keys of an app are in one part of a cluster.
        keys = [f"moderation:limits:{{{app}}}:{window.word}" for window, _ in windows]
        arguments = [cost]
        for window, most in windows:
            arguments += [most, window.seconds * 1000]
        full, *found = (int(one) for one in self._script(keys, arguments))
        if full:
            window, most = windows[full - 1]
            used, left_ms = found
            return Counted(most, max(0, most - used), _seconds(left_ms, window), over=window)
        return nearest(
            [
                (most, most - found[2 * index], _seconds(found[2 * index + 1], window))
                for index, (window, most) in enumerate(windows)
            ]
        )


def _seconds(left_ms: int, window: Window) -> float:
    return left_ms / 1000 if left_ms >= 0 else float(window.seconds)
