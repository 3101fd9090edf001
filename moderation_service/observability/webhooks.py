"""Webhooks: events are posted to the operator's address by a thread of their own; no verdict waits for it.

A message is signed as Standard Webhooks says (`webhook-id`, `webhook-timestamp`, `webhook-signature`), so that its
libraries can check it. Source: https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import json
import logging
import queue
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic, time
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from ..config.webhook_settings import WEBHOOK_EVENTS, WEBHOOK_KEPT_S
from ..errors import ConfigurationError, ModerationError
from ..ids import random_hex
from .logs import log_event

__all__ = ["SECRET_PREFIX", "Message", "Outbox", "WebhookEvents", "Webhooks", "signature", "signing_key"]

SECRET_PREFIX = "whsec_"  # noqa: S105 - what stands before a key, not a key
_log = logging.getLogger("moderation.webhooks")

# A message has about 700 bytes: under a megabyte waits while the receiver is away.
_MOST_WAITING = 1000
_ATTEMPTS = 5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_TIMEOUT_S = 5.0
# What a process that ends gives the messages that still wait.
_FAREWELL_S = 2.0
# With an outbox: how often it is looked at, how many are sent in one go, and the longest pause.
_LOOK_EVERY_S = 5.0
_AT_ONCE = 10
# What was taken and is not begun by then is given back, long before others may take it for that of a dead process.
_TURN_S = 30.0
_LONGEST_KEPT_PAUSE_S = 3600.0
_MIN_SECRET_BYTES = 16
_WORTH_REPEATING = frozenset({408, 425, 429})
# It is away, or a newer program has changed its tables.
_NO_DATABASE = (ModerationError, ConfigurationError)


class WebhookEvents(Protocol):
    """Told of what became of messages."""

    def webhook_sent(self, event: str, outcome: str) -> None:
        """A message was `delivered`, has `failed` for good, or was `dropped` because too many waited."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way; the id stays the same through all attempts, so a receiver can tell a repetition."""

    event: str
    id: str
    body: bytes
    at_ms: int
    attempts: int = 0


class Outbox(Protocol):
    """Where messages wait that could not be delivered at once, beyond the life of a process.

    All raise StoreUnavailable.
    """

    def keep(self, messages: Sequence[Message], *, next_at_ms: int) -> int:
        """Keep messages for a later attempt; for how many of them, from the first on, there was room."""

    def take(self, most: int) -> list[Message]:
        """Those that are due; nobody else has them meanwhile."""

    def put_off(self, messages: Sequence[Message], *, next_at_ms: int) -> None:
        """Give back what was taken, for a later attempt."""

    def remove(self, message_id: str) -> None:
        """Forget one that was taken."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What came of one: the status, None where there was none, and for how long the receiver asks us to wait."""

    status: int | None
    retry_after_s: float = 0.0

    @property
    def has_arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_final(self) -> bool:
        """Whether another attempt would bring nothing else."""
        return self.status is not None and self.status < 500 and self.status not in _WORTH_REPEATING


def signing_key(secret: str) -> bytes:
    """The bytes that a secret stands for. Raises ConfigurationError for one that is no secret."""
    key = secret.encode()
    if secret.startswith(SECRET_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            raise ConfigurationError(f"webhook_secret: what follows {SECRET_PREFIX} must be base64.") from None
    if len(key) < _MIN_SECRET_BYTES:
        raise ConfigurationError(f"webhook_secret: must be {_MIN_SECRET_BYTES} bytes or longer.")
    return key


def signature(key: bytes, *, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Webhooks:
    """Sends events of the kinds that are wanted. Safe to use from many threads.

    The thread that sends starts with the first event, in the process that has it; with an `outbox`, which keeps what a
    receiver does not take at once, `open` starts it.

    `first_pause_s`, `most_waiting`, `look_every_s` and `turn_s` are for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | None,
        wanted: tuple[str, ...],
        events: WebhookEvents,
        outbox: Outbox | None = None,
        first_pause_s: float = _FIRST_PAUSE_S,
        most_waiting: int = _MOST_WAITING,
        look_every_s: float = _LOOK_EVERY_S,
        turn_s: float = _TURN_S,
    ) -> None:
        self._address = _address(url)
        # Made once: it reads all certificates of this machine.
        self._tls = ssl.create_default_context() if self._address.scheme == "https" else None
        self._key = None if secret is None else signing_key(secret)
        unknown = [name for name in wanted if name not in WEBHOOK_EVENTS]
        if unknown:
            raise ConfigurationError(f"webhook_events: {unknown[0]!r} is none of {', '.join(WEBHOOK_EVENTS)}.")
        self.wanted = frozenset(wanted)
        self._events = events
        self._first_pause_s = first_pause_s
        self._outbox = outbox
        self._look_every_s, self._turn_s = look_every_s, turn_s
        self._look_at = 0.0
        self._waiting: queue.Queue[Message | None] = queue.Queue(most_waiting)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_ending = threading.Event()
        self._ends_at = float("inf")

    def send(self, event: str, text: str, data: Mapping[str, object]) -> None:
        """Send an event if it is wanted; returns at once. `text` is one line for people, `data` what it is about."""
        if event not in self.wanted:
            return
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        document = {"type": f"moderation.{event}", "timestamp": moment, "text": _escaped(text), "data": dict(data)}
        message = Message(event, f"msg_{random_hex(24)}", json.dumps(document).encode(), int(time() * 1000))
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._events.webhook_sent(event, "dropped")
            return
        if self._thread is None:
            self._start()

    def open(self) -> None:
        """Begin with what an earlier process has left, if there is an outbox; once per process."""
        if self._outbox is not None:
            self._start()

    def close(self) -> None:
        """Give what waits a last chance, without pauses and for a bounded time; an outbox keeps the rest."""
        if self._thread is None:
            return
        self._ends_at = monotonic() + _FAREWELL_S
        self._is_ending.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(_FAREWELL_S + _TIMEOUT_S)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                # A daemon: a process whose end nobody announces must not wait for a receiver.
                self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            message = None
            try:
                message = self._next()
            except queue.Empty:
                if self._is_ending.is_set():
                    return
            if self._outbox is not None and monotonic() >= self._look_at and not self._is_ending.is_set():
                self._look_at = monotonic() + self._look_every_s
                self._send_kept(self._outbox)
            if message is None:
                continue
            if monotonic() <= self._ends_at:
                self._deliver(message)
            elif not self._kept(message, pause_s=0.0):
                self._events.webhook_sent(message.event, "dropped")

    def _next(self) -> Message | None:
        if self._is_ending.is_set():
            return self._waiting.get_nowait()
        if self._outbox is None:
            return self._waiting.get()
        return self._waiting.get(timeout=max(0.0, self._look_at - monotonic()))

    def _deliver(self, message: Message) -> None:
        pause_s = self._first_pause_s
        for attempt in range(1, _ATTEMPTS + 1):
            done = self._attempt(message)
            if done.has_arrived:
                return
            wait_s = min(max(pause_s, done.retry_after_s), _LONGEST_PAUSE_S)
            if not done.is_final and self._kept(replace(message, attempts=attempt), pause_s=wait_s):
                # What comes meanwhile is kept in one go.
                self._is_ending.wait(self._first_pause_s)
                return
            if done.is_final or attempt == _ATTEMPTS:
                break
            if self._is_ending.wait(wait_s):
                if monotonic() > self._ends_at:
                    break
                continue
            pause_s *= 4
        self._failed(message, done)

    def _kept(self, message: Message, *, pause_s: float) -> bool:
        """Put a message into the outbox, and what waits behind it too: no kill can lose it there. False without one."""
        if self._outbox is None:
            return False
        rest: list[Message] = []
        with contextlib.suppress(queue.Empty):
            while True:
                if (one := self._waiting.get_nowait()) is not None:
                    rest.append(one)
        try:
            kept = self._outbox.keep([message, *rest], next_at_ms=_later(pause_s))
        except _NO_DATABASE:
            for index, one in enumerate(rest):
                try:
                    self._waiting.put_nowait(one)
                except queue.Full:
                    self._drop(rest[index:])
                    break
            return False
        self._drop([message, *rest][kept:])
        return True

    def _send_kept(self, outbox: Outbox) -> None:
        """Send what is due of the outbox; as soon as the receiver turns out to be away, the rest waits on."""
        with contextlib.suppress(*_NO_DATABASE):  # those that were taken come again
            taken = outbox.take(_AT_ONCE)
            ends_at = monotonic() + self._turn_s
            for index, message in enumerate(taken):
                if self._is_ending.is_set() or (index > 0 and monotonic() >= ends_at):
                    outbox.put_off(taken[index:], next_at_ms=_later(0.0))
                    return
                done = self._attempt(message)
                if not done.has_arrived and not done.is_final and message.at_ms > _later(-WEBHOOK_KEPT_S):
                    pause_s = min(self._first_pause_s * 4.0 ** min(message.attempts, 10), _LONGEST_KEPT_PAUSE_S)
                    pause_s = max(pause_s, min(done.retry_after_s, _LONGEST_PAUSE_S))
                    again = replace(message, attempts=message.attempts + 1)
                    outbox.put_off([again], next_at_ms=_later(pause_s))
                    outbox.put_off(taken[index + 1 :], next_at_ms=_later(self._first_pause_s))
                    return
                outbox.remove(message.id)
                if not done.has_arrived:
                    self._failed(message, done)
            if len(taken) == _AT_ONCE:
                self._look_at = 0.0

    def _attempt(self, message: Message) -> _Attempt:
        done = self._post(message)
        if done.has_arrived:
            self._events.webhook_sent(message.event, "delivered")
        return done

    def _failed(self, message: Message, last: _Attempt) -> None:
        # The address is not logged: it may be a password.
        fields = {"kind": message.event, "message_id": message.id, "status": last.status}
        log_event(_log, logging.WARNING, "webhook_failed", **fields)
        self._events.webhook_sent(message.event, "failed")

    def _drop(self, messages: Sequence[Message]) -> None:
        for one in messages:
            self._events.webhook_sent(one.event, "dropped")

    def _post(self, message: Message) -> _Attempt:
        """Post it once. A redirect is a status like any other: only the operator says where messages go."""
        connection = self._connection()
        path = (self._address.path or "/") + (f"?{self._address.query}" if self._address.query else "")
        try:
            connection.request("POST", path, message.body, self._headers(message))
            reply = connection.getresponse()
            return _Attempt(reply.status, _seconds(reply.getheader("Retry-After")))
        except (OSError, http.client.HTTPException):
            return _Attempt(None)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname, self._address.port
        assert host is not None
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)

    def _headers(self, message: Message) -> dict[str, str]:
        timestamp_s = int(time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "moderation-service",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp_s),
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(
                self._key, message_id=message.id, timestamp_s=timestamp_s, body=message.body
            )
        return headers


def _address(url: str) -> SplitResult:
    """The parts of the address. Raises ConfigurationError, which does not repeat it."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isascii()
        # As looking up the name does it: a part that is empty or too long can't be looked up.
        (parts.hostname or "").encode("idna")
    except ValueError:
        fits = False
    if not fits or parts.username is not None or not url.isprintable() or " " in url:
        raise ConfigurationError("webhook_url: must be an address such as https://hooks.example.org/moderation.")
    return parts


def _later(pause_s: float) -> int:
    return int((time() + pause_s) * 1000)


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else 0.0


def _escaped(text: str) -> str:
    """Slack reads `<!channel>` and links in a text; its three control characters are written as it asks for."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
