"""The connection to the server that several gateways share, and what keeps it from ever being in the way.

A request asks it only while it is known to answer, and waits a tenth of a second at most. The first failure ends that:
from then on requests do without, and one thread per process tries the server again. The same thread tells the others
that this process is there, so that each knows how many they are.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from ..config.extras import install_command
from ..config.setting import Secret
from ..errors import ConfigurationError
from ..ids import random_hex
from ..observability.logs import log_event
from ..upstream.connecting import looked_up
from ..upstream.per_process import PerProcess
from ..upstream.redis_connection import connection_class
from .seal import Seal

__all__ = ["ClusterEvents", "ClusterMemory"]

_log = logging.getLogger("moderation.cluster")

_TIMEOUT_S = 0.1
_BEAT_S = (2.0, 3.0)
_RETRY_S = (0.5, 1.0)
_GONE_AFTER_S = 10.0
"""After so long without a sign of life a process no longer counts."""
_MAX_VALUE_BYTES = 256 * 1024

_Result = TypeVar("_Result")


class ClusterEvents(Protocol):
    """Told how the cluster memory is doing, for metrics."""

    def cluster_failed(self, reason: str) -> None:
        """A call failed (`connect`, `timeout`, `refused`), or a value was none of ours (`invalid`)."""

    def cluster_read(self, *, is_found: bool) -> None:
        """It was asked for a value, and has answered."""

    def cluster_away(self, *, is_away: bool) -> None:
        """This process does without it from now on, or uses it again."""


class ClusterMemory:
    """Values by name for all gateways with this server and key. Safe to use from many threads and before a fork.

    Everything in it may be gone at any time. Nothing is raised: what can't be had is None.
    """

    def __init__(self, url: Secret, key: Secret, *, prefix: str, version: str, events: ClusterEvents) -> None:
        try:
            import redis  # noqa: F401

            self._seal = Seal(key.value.encode())
        except ImportError as error:
            command = install_command("redis")
            raise ConfigurationError(
                f"cluster_memory: its client is not installed. To install it: {command}"
            ) from error
        _check(url.value)
        self._prefix = prefix.encode() + b":"
        self._version = version.encode() + b" "
        self._process = PerProcess(lambda: _Process(url.value, self._prefix + b"members", events))
        self._events = events

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose, the same in all gateways."""
        return self._seal.derived(purpose)

    @property
    def members(self) -> int:
        """How many processes share the memory, this one included; 1 while that is not known."""
        return self._process.here().members

    def get(self, name: bytes) -> bytes | None:
        """The value; None when there is none, or none can be had."""
        key = self._key(name)
        kept = self._process.here().call(lambda client: client.get(key) or b"")
        found = self._opened(name, kept) if kept else None
        if kept is not None:
            self._events.cluster_read(is_found=found is not None)
        return found

    def put(self, name: bytes, value: bytes, *, ttl_s: float) -> None:
        """Remember the value in place of an earlier one; not if it is very long."""
        self.exchange(name, value, ttl_s=ttl_s, with_earlier=False)

    def exchange(self, name: bytes, value: bytes, *, ttl_s: float, with_earlier: bool = True) -> bytes | None:
        """The same, in one step with reading the earlier one."""
        if len(value) > _MAX_VALUE_BYTES:
            return None
        key, kept = self._key(name), self._seal.sealed(self._whole(name), value, ttl_s=ttl_s)
        milliseconds = max(1, int(ttl_s * 1000))
        earlier = self._process.here().call(lambda client: client.set(key, kept, px=milliseconds, get=with_earlier))
        return self._opened(name, earlier) if with_earlier else None

    def close(self) -> None:
        """End this process's thread and connections."""
        process = self._process.take()
        if process is not None:
            process.close()

    def _key(self, name: bytes) -> bytes:
        return self._prefix + self._seal.name(self._whole(name))

    def _whole(self, name: bytes) -> bytes:
        """The name with what else keeps values apart, so that nobody can put one where another prefix would find it."""
        return self._prefix + self._version + name

    def _opened(self, name: bytes, kept: object) -> bytes | None:
        if not isinstance(kept, bytes):
            return None
        value = self._seal.opened(self._whole(name), kept)
        if value is None:
            self._events.cluster_failed("invalid")
        return value


class _Process:
    """The connections of one process, and the thread that looks after them."""

    def __init__(self, url: str, members_key: bytes, events: ClusterEvents) -> None:
        self._url = url
        self._members_key = members_key
        self._name = random_hex(16).encode()
        self._events = events
        self._client: Any = None
        self._lock = threading.Lock()
        # Nobody waits for the first connection, nor for the look-up of a name: the thread says when it is there.
        self._is_away = True
        self._has_told = False
        self.members = 1
        self._stopping = threading.Event()
        self._failed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster memory", daemon=True)
        self._thread.start()

    def call(self, ask: Callable[[Any], _Result]) -> _Result | None:
        """What the server answers; None while it is away."""
        client = self._client
        if self._is_away or client is None:
            return None
        try:
            return ask(client)
        except Exception as error:
            self._note_failure(error)
            return None

    def close(self) -> None:
        self._stopping.set()
        self._failed.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        chance = random.Random()  # noqa: S311  # no secret
        while not self._stopping.is_set():
            try:
                self._beat()
            except Exception as error:  # whatever the client makes of it, the thread must live on
                self._note_failure(error)
            else:
                self._note_back()
            self._failed.wait(chance.uniform(*(_RETRY_S if self._is_away else _BEAT_S)))
            if self._failed.is_set() and not self._stopping.is_set():
                self._failed.clear()
                self._stopping.wait(chance.uniform(*_RETRY_S))
        self._leave()

    def _beat(self) -> None:
        """Say that this process is there, and count all that do. Raises what the client raises."""
        if self._client is None or self._is_away:
            self._renew()
        now = self._client.time()
        seconds = now[0] + now[1] / 1e6
        pipeline = self._client.pipeline(transaction=False)
        pipeline.zadd(self._members_key, {self._name: seconds})
        pipeline.zremrangebyscore(self._members_key, "-inf", seconds - _GONE_AFTER_S)
        pipeline.zcard(self._members_key)
        pipeline.pexpire(self._members_key, int(_GONE_AFTER_S * 6000))
        self.members = max(1, int(pipeline.execute()[2]))

    def _renew(self) -> None:
        """A client with new connections, to where the server's name leads now."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        client = redis.Redis.from_url(
            _with_address(self._url),
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **connection_class(urlsplit(self._url).scheme),
        )
        client.ping()
        old, self._client = self._client, client
        if old is not None:
            old.close()

    def _note_failure(self, error: Exception) -> None:
        reason = _reason(error)
        self._events.cluster_failed(reason)
        with self._lock:
            was_away, self._is_away = self._is_away, True
        self.members = 1 if was_away and self._client is None else self.members
        if not was_away:
            self._failed.set()
        if not was_away or not self._has_told:
            self._has_told = True
            self._events.cluster_away(is_away=True)
            log_event(_log, logging.WARNING, "cluster_memory_away", reason=reason, error=type(error).__name__)

    def _note_back(self) -> None:
        with self._lock:
            was_away, self._is_away = self._is_away, False
        if was_away:
            self._events.cluster_away(is_away=False)
            if self._has_told:
                log_event(_log, logging.WARNING, "cluster_memory_back")
            self._has_told = False

    def _leave(self) -> None:
        """So that the others need not wait until this process is known to be gone."""
        client = self._client
        if client is None:
            return
        try:
            if not self._is_away:
                client.zrem(self._members_key, self._name)
            client.close()
        except Exception:  # it ends anyway
            return


def _reason(error: Exception) -> str:
    import redis

    if isinstance(error, (redis.TimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, (redis.AuthenticationError, redis.ResponseError)):
        return "refused"
    return "connect"


def _check(url: str) -> None:
    """Raises ConfigurationError for what is no address. It is not repeated: it may have a password."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ConfigurationError("cluster_memory: must be an address such as redis://:password@valkey:6379/0.")


def _with_address(url: str) -> str:
    """The URL with its host's address, so that requests don't look the name up; TLS needs the name. Raises OSError."""
    parts = urlsplit(url)
    if parts.scheme != "redis" or parts.hostname is None:
        return url
    port = parts.port or 6379
    address = str(looked_up(parts.hostname, port, timeout_s=_TIMEOUT_S)[0][4][0])
    host = f"[{address}]" if ":" in address else address
    user, mark, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{mark}{host}:{port}").geturl()
