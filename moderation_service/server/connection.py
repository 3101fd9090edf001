"""A client's connection: its socket, what was read of its requests, and who may touch it at the moment."""

from __future__ import annotations

import enum
import select
import socket
from time import monotonic
from typing import Any

from .body_memory import BodyMemory
from .request_parser import RequestParser

__all__ = ["READ_BYTES", "Connection", "State"]

READ_BYTES = 64 * 1024
_MAX_DISCARDED_BYTES = 4 * 1024 * 1024


class State(enum.Enum):
    """Where a connection is, and so whose it is."""

    READING = "reading"
    """The poller's: it waits for a request, or for the rest of one."""
    WAITING = "waiting"
    """A whole request waits for a thread: of the one, thread or poller, that takes it out of the queue."""
    SERVED = "served"
    """The thread's that answers the request."""
    ANSWERED = "answered"
    """The poller's, as soon as it looks into its inbox: the thread is done, and something is left to do."""
    WRITING = "writing"
    """The poller's: the client has not taken all of a reply yet."""
    CLOSING = "closing"
    """The poller's: we have said that nothing more comes, and wait a moment for the client to say the same."""
    CLOSED = "closed"
    """Nobody's."""


class Connection:
    """One connection; see `State` for who may use it. `expires_at` counts where it is the poller's.

    `news`: something came that was not read yet. `has_hung_up`: the client will send no more than what waits there.
    `has_ended`: all of that was read. `has_begun`: a request is on its way. `is_known`: there was an authorised one.
    `closes`: the next reply is to say that it is the last; `is_over`: one has said so. `exchange` is the request whose
    body is on its way.
    """

    __slots__ = (
        "_discarded",
        "_held_bytes",
        "_memory",
        "_socket",
        "client",
        "closes",
        "exchange",
        "expires_at",
        "fd",
        "has_begun",
        "has_ended",
        "has_hung_up",
        "is_known",
        "is_over",
        "news",
        "parser",
        "server",
        "state",
        "unsent",
    )

    def __init__(self, connected: socket.socket, *, client: Any, server: Any, expires_at: float) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self.fd = connected.fileno()
        self.client = client
        self.server = server
        self.parser = RequestParser()
        self.state = State.READING
        self.expires_at = expires_at
        self.news = self.has_hung_up = self.has_ended = self.has_begun = self.closes = self.is_known = False
        self.is_over = False
        self.exchange: Any = None
        self.unsent = b""
        self._memory: BodyMemory | None = None
        self._held_bytes = 0
        self._discarded = 0

    def fileno(self) -> int:
        """The socket's descriptor, for who wants to know when the client hangs up or takes more."""
        return self.fd

    def can_go_on(self) -> bool:
        """Whether another request may follow the one that was taken out of the parser last."""
        parser = self.parser
        return not self.closes and (bool(parser.whole) or not (self.has_ended or parser.fault is not None))

    def hold_body(self, size: int, memory: BodyMemory) -> bool:
        """Count a body of which so much is here; False if the memory for bodies is used up."""
        if not memory.take(size - self._held_bytes):
            return False
        self._memory, self._held_bytes = memory, size
        return True

    def forget_body(self) -> None:
        """The body is a thread's now, or will not be complete."""
        self.exchange = None
        if self._memory is not None:
            self._memory.give_back(self._held_bytes)
            self._memory, self._held_bytes = None, 0

    def receive(self) -> bytes | None:
        """What has come, empty at the end of the stream; None if nothing has. Raises OSError."""
        try:
            return self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return None

    def send(self, data: bytes) -> None:
        """Send without waiting; what the client does not take now is kept in `unsent`. Raises OSError."""
        if self.unsent:
            self.unsent += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.unsent = data[sent:]

    def send_patiently(self, data: bytes, *, patience_s: float) -> None:
        """Send all of it, waiting for a client that takes it slowly. Raises OSError."""
        self.send(data)
        if not self.unsent:
            return
        poller = select.poll()
        poller.register(self.fd, select.POLLOUT)
        ends_at = monotonic() + patience_s
        while self.unsent:
            if not poller.poll(max(0.0, ends_at - monotonic()) * 1000):
                raise TimeoutError("The client does not read.")
            self.flush()

    def flush(self) -> None:
        """Send more of `unsent`. Raises OSError."""
        data, self.unsent = self.unsent, b""
        self.send(data)

    def end_output(self) -> None:
        """Say that nothing more will come. Raises OSError.

        Closing at once, with something unread, would reset the connection and could cost the client our last reply.
        """
        self._socket.shutdown(socket.SHUT_WR)

    def discard_input(self) -> bool:
        """Throw away what came; False once there is no use in waiting for more."""
        try:
            while self._discarded < _MAX_DISCARDED_BYTES:
                received = self._socket.recv(READ_BYTES)
                if not received:
                    break
                self._discarded += len(received)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close it now."""
        self.state = State.CLOSED
        self.parser.close()
        self.forget_body()
        self._socket.close()
