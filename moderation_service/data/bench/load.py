"""A closed-loop load: so many clients, each of which sends its next request when it has the reply to the last.

One thread serves all connections. It does little more than to move bytes, some thousand requests a second; a model
server gives hundreds.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

__all__ = ["Measured", "Target", "run_load"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_READ_BYTES = 256 * 1024
_ABANDON_S = 60.0
"""After the end, for replies that are still on their way."""
_NO_REPLY = 0


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, over plain HTTP. `make` gives the body of the request of a number.

    Raises ValueError for another scheme: the headers have a key in them.
    """

    url: str
    path: str
    make: Callable[[int], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme != "http":
            raise ValueError("The load speaks plain HTTP only.")

    def request(self, number: int) -> bytes:
        """The bytes of the request of that number."""
        body = self.make(number)
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a load. Latencies in seconds, sorted, of replies with status 200."""

    seconds: float
    latencies_s: tuple[float, ...]
    errors: Mapping[str, int]
    """By status, or `no reply`."""

    @property
    def per_second(self) -> float:
        """Good replies per second."""
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, share: float) -> float | None:
        """The latency that so many percent of the replies do not exceed."""
        if not self.latencies_s:
            return None
        return 1000 * self.latencies_s[min(len(self.latencies_s) - 1, int(share / 100 * len(self.latencies_s)))]


@dataclass(slots=True)
class _Client:
    socket: socket.socket
    sent_at: float = 0.0
    to_send: bytes = b""
    received: bytearray = field(default_factory=bytearray)
    replies: int = 0


def run_load(
    target: Target,
    *,
    clients: int,
    seconds: float,
    warm_up_s: float = 0.0,
    first: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """Keep so many clients busy for so long, after a warm-up that does not count. Questions are numbered from `first`.

    A reply counts when it arrives after the warm-up and before the end. A broken connection is counted and made anew; a
    client that is not let in any more is missing from then on.
    """
    return _Load(target, clients, count(first), clock).run(seconds, warm_up_s)


class _Load:
    def __init__(self, target: Target, clients: int, numbers: count[int], clock: Callable[[], float]) -> None:
        self._target = target
        self._count = clients
        self._numbers = numbers
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._latencies: list[float] = []
        self._errors: Counter[int] = Counter()
        self._begins_at = 0.0
        self._ends_at = 0.0
        self._open = 0
        self._lost = 0

    def run(self, seconds: float, warm_up_s: float) -> Measured:
        self._begins_at = self._clock() + warm_up_s
        self._ends_at = self._begins_at + seconds
        try:
            for _ in range(self._count):
                self._connect()
            while (self._open or self._lost) and self._clock() < self._ends_at + _ABANDON_S:
                for key, _ in self._selector.select(timeout=0.1):
                    self._serve(key.data)
                while self._lost:
                    self._lost -= 1
                    self._connect()
                if self._clock() >= self._ends_at and not self._waiting():
                    break
        finally:
            for key in list(self._selector.get_map().values()):
                key.data.socket.close()
            self._selector.close()
        names = {status: str(status) if status != _NO_REPLY else "no reply" for status in self._errors}
        errors = {names[status]: number for status, number in sorted(self._errors.items())}
        return Measured(seconds, tuple(sorted(self._latencies)), errors)

    def _waiting(self) -> bool:
        """Whether a request is under way; after the end none is sent any more."""
        return any(key.data.sent_at for key in self._selector.get_map().values())

    def _connect(self) -> None:
        address = urlsplit(self._target.url)
        try:
            made = socket.create_connection((address.hostname or "", address.port or 80), timeout=10)
        except OSError:
            self._failed(_NO_REPLY)
            return
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _Client(made)
        self._selector.register(made, selectors.EVENT_READ, client)
        self._open += 1
        self._send(client)

    def _send(self, client: _Client) -> None:
        now = self._clock()
        client.sent_at = 0.0
        if now >= self._ends_at:
            return
        client.sent_at = now
        client.received.clear()
        client.to_send = self._target.request(next(self._numbers))
        self._write(client)

    def _write(self, client: _Client) -> None:
        try:
            sent = client.socket.send(client.to_send)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._broken(client)
            return
        client.to_send = client.to_send[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.to_send else 0)
        self._selector.modify(client.socket, events, client)

    def _serve(self, client: _Client) -> None:
        if client.to_send:
            self._write(client)
            return
        try:
            piece = client.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._broken(client)
            return
        client.received += piece
        head, _, body = bytes(client.received).partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if length is None or len(body) < int(length[1]):
            return
        client.replies += 1
        status = int(head[9:12])
        if status == 200:
            now = self._clock()
            if self._begins_at <= now < self._ends_at:
                self._latencies.append(now - client.sent_at)
        else:
            self._failed(status)
        self._send(client)

    def _broken(self, client: _Client) -> None:
        # A server may close a connection that it has used for a while; the request then meets a closed door.
        was_waiting = bool(client.sent_at) and not (client.replies and not client.received)
        self._selector.unregister(client.socket)
        client.socket.close()
        self._open -= 1
        if was_waiting:
            self._failed(_NO_REPLY)
        if self._clock() < self._ends_at:
            self._lost += 1

    def _failed(self, status: int) -> None:
        if self._begins_at <= self._clock() < self._ends_at:
            self._errors[status] += 1
