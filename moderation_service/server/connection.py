"""A client's connection as the worker holds it, and what gunicorn's parser and replies do with it."""

from __future__ import annotations

import socket
import struct
from time import monotonic
from typing import Any

from gunicorn import http
from gunicorn.http import wsgi

from ..upstream.crew import Pausing
from ..upstream.prompt_io import receive_now, send_now

__all__ = ["Connection", "Response"]

_LINGER_S = 2.0
# A client that sends a byte now and then would otherwise have a thread for as long as it likes.
_PAUSES = 3
_MAX_DISCARDED_BYTES = 64 * 1024


class Connection:
    """Between requests it is the worker's, during a request one thread's; `expires_at` counts between requests only."""

    __slots__ = (
        "_discarded",
        "_pause_s",
        "_received_until",
        "_socket",
        "client",
        "expires_at",
        "fd",
        "has_answered",
        "is_closing",
        "parser",
        "server",
    )

    def __init__(self, connected: socket.socket, *, cfg: Any, client: Any, server: Any) -> None:
        # A client's pause of this length ends a read or a write with an OSError, and with it the connection.
        pause = struct.pack("ll", cfg.keepalive, 0)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pause)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, pause)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self.fd = connected.fileno()
        self.client = client
        self.server = server
        # It reads through `recv`.
        self.parser = http.get_parser(cfg, self, client)
        self._pause_s: float = cfg.keepalive
        self.expires_at = self._received_until = monotonic() + self._pause_s
        self.has_answered = False
        self.is_closing = False
        self._discarded = 0

    def fileno(self) -> int:
        """The socket's descriptor, for who wants to know when the client hangs up or takes more."""
        return self._socket.fileno()

    def begin_request(self) -> None:
        """A request begins; all of it has to come within a few pauses' time."""
        self.has_answered = False
        self._received_until = monotonic() + _PAUSES * self._pause_s

    def recv(self, size: int) -> bytes:
        """At most `size` bytes, as soon as there are some; none at the end. Raises OSError."""
        received = receive_now(self._socket.fileno(), size)
        if received is None:
            if monotonic() >= self._received_until:
                raise TimeoutError("The request takes too long to come.")
            with Pausing():
                received = self._socket.recv(size)
        return received

    def sendall(self, data: bytes) -> None:
        """Send a part of a reply. Raises OSError."""
        self.has_answered = True
        sent = send_now(self._socket.fileno(), data)
        if sent < len(data):
            with Pausing():
                self._socket.sendall(data[sent:])

    def send(self, data: bytes) -> int:
        """Send what precedes a reply (100 Continue). Raises OSError."""
        return self._socket.send(data)

    def has_read_ahead(self) -> bool:
        """Whether the next request, or its beginning, was read along with the one before."""
        return bool(self.parser.unreader.buf.getvalue())

    def begin_to_close(self) -> None:
        """Say that nothing more will come, and wait a moment for the client to say the same.

        Closing at once, with something unread, would reset the connection and could cost the client our last reply.
        """
        self.is_closing = True
        self.expires_at = monotonic() + _LINGER_S
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._discarded = _MAX_DISCARDED_BYTES

    def discard_input(self) -> bool:
        """Throw away what came; False once the connection is to be closed."""
        try:
            while self._discarded < _MAX_DISCARDED_BYTES:
                received = receive_now(self._socket.fileno())
                if received is None:
                    return True
                if not received:
                    break
                self._discarded += len(received)
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close it now."""
        self._socket.close()


class Response(wsgi.Response):  # type: ignore[misc]
    """gunicorn's reply, with head and body in one packet where the body is known."""

    def write(self, data: bytes) -> None:
        """Send a part of the body, and the head before the first one."""
        if self.headers_sent or self.response_length != len(data) or self._omits_body:
            super().write(data)
            return
        self.headers_sent: bool = True
        self.sent = len(data)
        head = "".join([*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers)])
        self.sock.sendall(f"{head}\r\n".encode("latin-1") + data)
