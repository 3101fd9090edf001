"""Kept-alive HTTP/1.1 connections to one server, for calls whose cost and whose every failure matter.

A general client costs more CPU per call than everything else the service does. This is the part of HTTP that a request
with a JSON reply or a stream needs, and nothing more: no redirects, no proxies, no cookies, no environment. Replies are
read by `http_reply`, within a size limit and a deadline.
"""

from __future__ import annotations

import enum
import select
import socket
import ssl
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from time import monotonic
from urllib.parse import urlsplit

from .connecting import connected
from .hedging import Overtaken, current_hedge
from .http_reply import BodyTooLarge, GarbledReply, ReplyReader

__all__ = ["BrokenConnection", "ConnectionPool", "OpenCall", "Reply", "Stage"]

Reply = tuple[int, Mapping[bytes, bytes], bytes]
"""Status, headers with lower-case names, body."""

# uvicorn, and so vLLM, closes a connection that was idle for 5 s.
_MAX_IDLE_S = 4.0
_CHUNK_BYTES = 64 * 1024
# A server that had hung up on an idle connection says so within a round trip; later, something else has happened.
_STALE_WITHIN_S = 1.0
_LEAST_TO_CONNECT_S = 0.1
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Stage(enum.Enum):
    """How far a call came before it failed."""

    CONNECT = "connect"
    """No connection could be made: nothing was sent."""
    CLOSED = "closed"
    """The connection broke while the reply was awaited or read."""
    TIMEOUT = "timeout"
    """The time was over, or another server was quicker."""
    GARBLED = "garbled"
    """What came is not an HTTP reply."""
    TOO_LARGE = "too_large"
    """Its body is over the limit."""


class BrokenConnection(Exception):
    """A call without a complete reply."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.value)
        self.stage = stage


class ConnectionPool:
    """Connections to one base URL; its methods may be called from many threads at once.

    They go to `address` where that is given; a certificate is still to be for the name in the URL.

    At most `size` idle connections are kept, the one used last is used next. Calls beyond that open their own.
    """

    def __init__(self, base_url: str, *, size: int, connect_timeout_s: float, address: str | None = None) -> None:
        parts = urlsplit(base_url)
        self._host = parts.hostname or ""
        self._address = address or self._host
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._size = size
        self._connect_timeout_s = connect_timeout_s
        self._idle: deque[_Connection] = deque()
        self._lock = threading.Lock()
        self._closed = False
        # A pool that nobody closes must not leave open sockets to the collector, which would complain.
        weakref.finalize(self, _close_all, self._idle).atexit = False

    def exchange(self, request: bytes, *, timeout_s: float, max_body_bytes: int) -> Reply:
        """Send a complete request, return its reply. Raises BrokenConnection.

        A request that met a connection on which the server had hung up is sent again, so it must be a question.
        """
        ends_at = monotonic() + timeout_s
        kept = self._take()
        if kept is not None:
            try:
                return self._exchange_on(kept, request, ends_at, max_body_bytes)
            except BrokenConnection as error:
                # Closed without a word: the server had hung up on the idle connection before it got the request.
                if error.stage is not Stage.CLOSED or kept.reader.has_begun:
                    raise
        return self._exchange_on(self._connect(ends_at), request, ends_at, max_body_bytes)

    def open(self, request: bytes, *, timeout_s: float, max_body_bytes: int) -> OpenCall:
        """Send a complete request; its reply can be read as it comes. Raises BrokenConnection.

        `timeout_s` is what the sending may take once there is a connection. The request may be sent again, see
        `exchange`.
        """
        return OpenCall(self, request, timeout_s=timeout_s, max_body_bytes=max_body_bytes)

    def close(self) -> None:
        """Close the idle connections; those in use are closed when their calls end."""
        with self._lock:
            self._closed = True
        _close_all(self._idle)

    def _exchange_on(self, connection: _Connection, request: bytes, ends_at: float, max_body_bytes: int) -> Reply:
        reader = connection.reader
        hedge = current_hedge.get()
        try:
            reader.begin(max_body_bytes=max_body_bytes)
            connection.send(request, ends_at)
            while not reader.is_complete:
                if hedge is None:
                    connection.wait(ends_at)
                else:
                    hedge.wait(connection, ends_at)
                connection.receive()
        except Overtaken:
            connection.close()
            raise BrokenConnection(Stage.TIMEOUT) from None
        except BaseException:
            connection.close()
            raise
        assert reader.status is not None
        found = reader.status, reader.headers, reader.take()
        # Not before all is read: from here on another thread may use the connection, and its reader with it.
        self._give_back(connection)
        return found

    def _take(self) -> _Connection | None:
        """An idle connection that still looks alive."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_alive():
                return connection
            connection.close()

    def _give_back(self, connection: _Connection, *, is_ending: bool = False) -> None:
        """Keep a connection whose reply has come, or of which (`is_ending`) only the end mark is missing."""
        if connection.reader.keeps_alive and (connection.reader.is_complete or is_ending):
            connection.idle_since = monotonic()
            with self._lock:
                if not self._closed and len(self._idle) < self._size:
                    self._idle.append(connection)
                    return
        connection.close()

    def _connect(self, ends_at: float) -> _Connection:
        hedge = current_hedge.get()
        timeout_s = min(self._connect_timeout_s, ends_at - monotonic())
        if hedge is not None:
            timeout_s = min(timeout_s, max(hedge.patience_left_s(), _LEAST_TO_CONNECT_S))
        if timeout_s <= 0:
            raise BrokenConnection(Stage.TIMEOUT)
        try:
            return _Connection(
                connected(self._address, self._port, timeout_s=timeout_s, tls=self._tls, name=self._host)
            )
        except (OSError, UnicodeError) as error:
            raise BrokenConnection(Stage.CONNECT) from error


class OpenCall:
    """A request that was sent, and its reply as it comes. Only making it waits; end it by `finish` or `close`."""

    def __init__(self, pool: ConnectionPool, request: bytes, *, timeout_s: float, max_body_bytes: int) -> None:
        self._pool = pool
        self._request = request
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes
        self._is_over = False
        kept = pool._take()
        self._may_be_stale = kept is not None
        self._connection = kept or self._connected()
        try:
            self._send()
        except BrokenConnection as error:
            if error.stage is not Stage.CLOSED or not self._may_be_stale:
                raise
            self._send_again()

    @property
    def reply(self) -> ReplyReader:
        """The reply as far as it has come: its status, headers, and whether it is complete."""
        return self._connection.reader

    def fileno(self) -> int:
        """What to poll until there is something to receive; it can be another one after `receive`."""
        return self._connection.fileno()

    def wait(self, seconds: float) -> bool:
        """Wait for something to receive; False when nothing has come in time."""
        return seconds > 0 and self._connection.has_input(seconds)

    def receive(self) -> bytes | None:
        """What has come of the body; None when nothing has come at all. Raises BrokenConnection."""
        try:
            if not self._connection.receive():
                return None
        except BrokenConnection as error:
            is_stale = self._may_be_stale and monotonic() - self._sent_at < _STALE_WITHIN_S
            if error.stage is not Stage.CLOSED or self.reply.has_begun or not is_stale:
                raise
            self._send_again()
            return None
        return self.reply.take()

    def finish(self) -> None:
        """The caller has all it wants, which is the whole reply but for its end mark: keep the connection."""
        if not self._is_over:
            self._is_over = True
            self._pool._give_back(self._connection, is_ending=not self.reply.is_complete)

    def close(self) -> None:
        """Break the call off, if its reply has not come to its end."""
        if not self._is_over:
            self._is_over = True
            self._pool._give_back(self._connection)

    def _send_again(self) -> None:
        """On a connection of its own: the server had hung up before it could have begun."""
        self._may_be_stale = False
        self._connection.close()
        self._connection = self._connected()
        self._send()

    def _connected(self) -> _Connection:
        return self._pool._connect(monotonic() + self._pool._connect_timeout_s)

    def _send(self) -> None:
        self.reply.begin(max_body_bytes=self._max_body_bytes, until_close=True)
        self._sent_at = monotonic()
        try:
            self._connection.send(self._request, self._sent_at + self._timeout_s)
        except BrokenConnection:
            self._connection.close()
            raise


class _Connection:
    """One socket that never blocks, used for one call at a time, and the reader of what comes from it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self.reader = ReplyReader()
        self.idle_since = monotonic()

    def fileno(self) -> int:
        return self._socket.fileno()

    def is_alive(self) -> bool:
        """False if the server hung up, said something unasked, will have hung up by now, or did not come to the end."""
        if monotonic() - self.idle_since >= _MAX_IDLE_S:
            return False
        if not self._poll.poll(0):
            return self.reader.is_complete
        try:
            # What has come can be the end of a reply, or what TLS says to itself.
            if not self.reader.is_complete:
                self.receive()
            return self.reader.is_complete and self.reader.keeps_alive and not self.receive()
        except BrokenConnection:
            return False

    def close(self) -> None:
        self._socket.close()

    def send(self, request: bytes, ends_at: float) -> None:
        """Send it all. Raises BrokenConnection."""
        sent = 0
        while True:
            try:
                sent += self._socket.send(memoryview(request)[sent:] if sent else request)
                if sent == len(request):
                    return
            except _NOT_NOW as error:
                self._wait_for(select.POLLIN if isinstance(error, ssl.SSLWantReadError) else select.POLLOUT, ends_at)
            except OSError as error:
                raise BrokenConnection(Stage.CLOSED) from error

    def has_input(self, seconds: float) -> bool:
        """Wait for something to receive."""
        return bool(self._poll.poll(seconds * 1000))

    def wait(self, ends_at: float) -> None:
        """Return when there is something to receive. Raises BrokenConnection when the time is over."""
        left_s = ends_at - monotonic()
        if left_s <= 0 or not self._poll.poll(left_s * 1000):
            raise BrokenConnection(Stage.TIMEOUT)

    def receive(self) -> bool:
        """Read what has come, once; False when nothing has. Raises BrokenConnection."""
        try:
            received = self._socket.recv(_CHUNK_BYTES)
        except _NOT_NOW:
            return False
        except OSError as error:
            raise BrokenConnection(Stage.CLOSED) from error
        try:
            if received:
                self.reader.feed(received)
                return True
        except BodyTooLarge as error:
            raise BrokenConnection(Stage.TOO_LARGE) from error
        except GarbledReply as error:
            raise BrokenConnection(Stage.GARBLED) from error
        try:
            self.reader.end()
        except GarbledReply as error:
            raise BrokenConnection(Stage.CLOSED) from error
        return True

    def _wait_for(self, event: int, ends_at: float) -> None:
        poller = select.poll()
        poller.register(self._socket, event)
        if not poller.poll(max(0.0, ends_at - monotonic()) * 1000):
            raise BrokenConnection(Stage.TIMEOUT)


def _close_all(connections: deque[_Connection]) -> None:
    while connections:
        connections.pop().close()
