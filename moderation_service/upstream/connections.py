"""Kept-alive HTTP/1.1 connections to one server, for the one call that is made for every verdict.

`requests` on its own stack costs more CPU per call than everything else the service does. This is the part of HTTP
that a POST with a JSON reply needs, and nothing more: no redirects, no proxies, no cookies, no environment. Replies
are read strictly and within a size limit and a deadline. `adapter` puts `requests` on top of it for the other calls.
"""

from __future__ import annotations

import enum
import select
import socket
import ssl
import threading
from collections import deque
from time import monotonic
from urllib.parse import urlsplit

import requests

from .crew import Pausing
from .prompt_io import has_input, receive_now, send_now

__all__ = ["BrokenConnection", "ConnectionPool", "Reply", "Stage"]

Reply = tuple[int, dict[bytes, bytes], bytes]
"""Status, headers with lower-case names, body."""

_MAX_HEAD_BYTES = 64 * 1024
# A verdict is under 50 kB, with all logprobs; anything near this is not one.
_MAX_BODY_BYTES = 8 * 1024 * 1024
# uvicorn, and so vLLM, closes a connection that was idle for 5 s.
_MAX_IDLE_S = 4.0
_CHUNK_BYTES = 64 * 1024


class Stage(enum.Enum):
    """How far a call came before it failed."""

    CONNECT = "connect"
    """No connection could be made: nothing was sent."""
    CLOSED = "closed"
    """The connection broke while the reply was awaited or read."""
    TIMEOUT = "timeout"
    """The time was over."""
    GARBLED = "garbled"
    """What came is not an HTTP reply, or is over the limit."""


class BrokenConnection(requests.ConnectionError):
    """A call without a complete reply; for users of `requests`, one of its exceptions."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.value)
        self.stage = stage


class ConnectionPool:
    """Connections to one base URL; `exchange` may be called from many threads at once.

    At most `size` idle connections are kept, the one used last is used next. Calls beyond that open their own.
    """

    def __init__(self, base_url: str, *, size: int, connect_timeout_s: float) -> None:
        parts = urlsplit(base_url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._size = size
        self._connect_timeout_s = connect_timeout_s
        self._idle: deque[_Connection] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def exchange(self, request: bytes, *, timeout_s: float, max_body_bytes: int = _MAX_BODY_BYTES) -> Reply:
        """Send a complete request, return its reply. Raises BrokenConnection."""
        ends_at = monotonic() + timeout_s
        kept = self._take()
        if kept is not None:
            try:
                return self._exchange_on(kept, request, ends_at, max_body_bytes)
            except BrokenConnection as error:
                # Closed without a word: the server had hung up on the idle connection before it got the request.
                if error.stage is not Stage.CLOSED or kept.got_bytes:
                    raise
        return self._exchange_on(self._connect(ends_at), request, ends_at, max_body_bytes)

    def close(self) -> None:
        """Close the idle connections; those in use are closed when their calls end."""
        with self._lock:
            self._closed = True
            idle, self._idle = list(self._idle), deque()
        for connection in idle:
            connection.close()

    def _exchange_on(self, connection: _Connection, request: bytes, ends_at: float, max_body_bytes: int) -> Reply:
        try:
            reply, reusable = connection.exchange(request, ends_at, max_body_bytes)
        except BaseException:
            connection.close()
            raise
        if reusable:
            self._put(connection)
        else:
            connection.close()
        return reply

    def _take(self) -> _Connection | None:
        """An idle connection that still looks alive."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.is_alive():
                return connection
            connection.close()

    def _put(self, connection: _Connection) -> None:
        connection.idle_since = monotonic()
        with self._lock:
            if not self._closed and len(self._idle) < self._size:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self, ends_at: float) -> _Connection:
        timeout_s = min(self._connect_timeout_s, ends_at - monotonic())
        if timeout_s <= 0:
            raise BrokenConnection(Stage.TIMEOUT)
        try:
            with Pausing():
                sock = socket.create_connection((self._host, self._port), timeout=timeout_s)
        except (OSError, UnicodeError) as error:
            raise BrokenConnection(Stage.CONNECT) from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_hostname=self._host)
        except (OSError, ValueError) as error:
            sock.close()
            raise BrokenConnection(Stage.CONNECT) from error
        return _Connection(sock)


class _Connection:
    """One socket, used for one call at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        # TLS keeps bytes of its own, so only plain sockets can be used past Python's.
        self._is_plain = not isinstance(sock, ssl.SSLSocket)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        self._rest = b""
        self.idle_since = monotonic()
        self.got_bytes = False

    def is_alive(self) -> bool:
        """False if the server hung up, said something unasked, or will have hung up by now."""
        return monotonic() - self.idle_since < _MAX_IDLE_S and not self._rest and not self._has_input()

    def _has_input(self) -> bool:
        return has_input(self._socket.fileno()) if self._is_plain else bool(self._poll.poll(0))

    def close(self) -> None:
        self._socket.close()

    def exchange(self, request: bytes, ends_at: float, max_body_bytes: int) -> tuple[Reply, bool]:
        """The reply, and whether the connection can be used again."""
        self.got_bytes = False
        try:
            sent = send_now(self._socket.fileno(), request) if self._is_plain else 0
            if sent < len(request):
                self._socket.settimeout(_left(ends_at))
                self._socket.sendall(request[sent:])
        except TimeoutError as error:
            raise BrokenConnection(Stage.TIMEOUT) from error
        except OSError as error:
            raise BrokenConnection(Stage.CLOSED) from error
        while True:
            head = self._read_until(b"\r\n\r\n", _MAX_HEAD_BYTES, ends_at)
            status, keeps_alive, headers = _parse_head(head)
            # 100 Continue and its like come before the reply proper.
            if status >= 200:
                break
        body, delimited = self._read_body(status, headers, ends_at, max_body_bytes)
        return (status, headers, body), keeps_alive and delimited and not self._rest

    def _read_body(
        self, status: int, headers: dict[bytes, bytes], ends_at: float, max_body_bytes: int
    ) -> tuple[bytes, bool]:
        if status in (204, 304):
            return b"", True
        if b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise BrokenConnection(Stage.GARBLED)
            return self._read_chunked(ends_at, max_body_bytes), True
        length = headers.get(b"content-length")
        if length is not None:
            if not length.isdigit() or len(length) > 9 or int(length) > max_body_bytes:
                raise BrokenConnection(Stage.GARBLED)
            return self._read_exactly(int(length), ends_at), True
        # Without a length the body ends with the connection; a cut reply can't be told from a complete one.
        raise BrokenConnection(Stage.GARBLED)

    def _read_chunked(self, ends_at: float, max_body_bytes: int) -> bytes:
        parts: list[bytes] = []
        total = 0
        while True:
            size_text = self._read_until(b"\r\n", 1024, ends_at).partition(b";")[0].strip()
            try:
                size = int(size_text, 16) if size_text.isalnum() else -1
            except ValueError:
                size = -1
            total += max(size, 0)
            if size < 0 or total > max_body_bytes:
                raise BrokenConnection(Stage.GARBLED)
            if size == 0:
                while self._read_until(b"\r\n", _MAX_HEAD_BYTES, ends_at):
                    pass
                return b"".join(parts)
            parts.append(self._read_exactly(size, ends_at))
            if self._read_exactly(2, ends_at) != b"\r\n":
                raise BrokenConnection(Stage.GARBLED)

    def _read_until(self, mark: bytes, limit: int, ends_at: float) -> bytes:
        while (at := self._rest.find(mark)) < 0:
            if len(self._rest) > limit:
                raise BrokenConnection(Stage.GARBLED)
            self._rest += self._receive(ends_at)
        found, self._rest = self._rest[:at], self._rest[at + len(mark) :]
        return found

    def _read_exactly(self, size: int, ends_at: float) -> bytes:
        if len(self._rest) < size:
            parts = [self._rest]
            missing = size - len(self._rest)
            while missing > 0:
                part = self._receive(ends_at)
                parts.append(part)
                missing -= len(part)
            self._rest = b"".join(parts)
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _receive(self, ends_at: float) -> bytes:
        try:
            data = self._arrived(ends_at)
        except TimeoutError as error:
            raise BrokenConnection(Stage.TIMEOUT) from error
        except OSError as error:
            raise BrokenConnection(Stage.CLOSED) from error
        if not data:
            raise BrokenConnection(Stage.CLOSED)
        self.got_bytes = True
        return data

    def _arrived(self, ends_at: float) -> bytes:
        if not self._is_plain:
            self._socket.settimeout(_left(ends_at))
            with Pausing():
                return self._socket.recv(_CHUNK_BYTES)
        while True:
            left_s = _left(ends_at)
            data = receive_now(self._socket.fileno(), _CHUNK_BYTES)
            if data is not None:
                return data
            with Pausing():
                self._poll.poll(left_s * 1000)


def _left(ends_at: float) -> float:
    left = ends_at - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _parse_head(head: bytes) -> tuple[int, bool, dict[bytes, bytes]]:
    """Status, whether the server keeps the connection open, headers."""
    lines = head.split(b"\r\n")
    version, _, rest = lines[0].partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(code) != 3 or not code.isdigit():
        raise BrokenConnection(Stage.GARBLED)
    headers: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if not colon or (name == b"content-length" and headers.get(name, value) != value):
            raise BrokenConnection(Stage.GARBLED)
        headers[name] = value
    keeps_alive = version == b"HTTP/1.1" and headers.get(b"connection", b"").lower() != b"close"
    return int(code), keeps_alive, headers
