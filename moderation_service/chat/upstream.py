"""The connection to the chat model's server.

Sockets rather than `requests`, because one thread has to wait for several things at once: for the model, for a verdict
and for a client that may hang up. Connections are not reused; next to an answer of a language model a handshake is
nothing, and a stream that is broken off leaves nothing behind.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
from collections.abc import Mapping
from time import monotonic
from urllib.parse import urlsplit

from ..errors import ChatModelError, ChatModelTimeout, ChatModelUnavailable
from ..upstream.crew import Pausing
from ..upstream.http_reply import GarbledReply, HttpReply
from .options import ChatOptions

__all__ = ["ChatUpstream", "UpstreamCall"]

_CHUNK_BYTES = 64 * 1024
_LISTING_TIMEOUT_S = 3.0
_MAX_LISTING_BYTES = 4 * 1024 * 1024
_GARBLED = "The chat model's server broke off, or answered something that is no HTTP reply."


class ChatUpstream:
    """The server of the guarded chat model. Safe to use from many threads."""

    def __init__(self, options: ChatOptions) -> None:
        parts = urlsplit(options.url)
        self._options = options
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._authority = parts.netloc
        self._path = parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    def chat(self, body: Mapping[str, object], *, headers: Mapping[str, str]) -> UpstreamCall:
        """Send a chat; returns as soon as it is sent. Raises ChatModelUnavailable or ChatModelTimeout."""
        content = json.dumps(body, separators=(",", ":")).encode()
        accept = "text/event-stream" if body.get("stream") else "application/json"
        return self._send("POST", "/v1/chat/completions", content, {"Accept": accept, **headers})

    def models(self, *, headers: Mapping[str, str]) -> list[object]:
        """The entries of the server's list of models. Raises ChatModelError."""
        ends_at = monotonic() + _LISTING_TIMEOUT_S
        call = self._send("GET", "/v1/models", b"", headers)
        body = bytearray()
        try:
            while not call.is_complete:
                body += call.receive() or b""
                if len(body) > _MAX_LISTING_BYTES or not (call.is_complete or call.wait(ends_at - monotonic())):
                    raise ChatModelTimeout("The chat model's server did not list its models in time.")
        finally:
            call.close()
        try:
            entries = json.loads(body)["data"] if call.status == 200 else None
        except (ValueError, KeyError, TypeError, RecursionError):
            entries = None
        if not isinstance(entries, list):
            raise ChatModelError("The chat model's server did not list its models.")
        return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> UpstreamCall:
        lines = [
            f"{method} {self._path}{path} HTTP/1.1",
            f"Host: {self._authority}",
            "User-Agent: moderation-service",
            "Accept-Encoding: identity",
            "Connection: close",
            f"Content-Length: {len(body)}",
        ]
        if body:
            lines.append("Content-Type: application/json")
        if self._options.api_key is not None:
            headers = {**headers, "Authorization": f"Bearer {self._options.api_key}"}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body
        with Pausing():
            return self._sent(request)

    def _sent(self, request: bytes) -> UpstreamCall:
        connection = self._connect()
        try:
            connection.settimeout(self._options.idle_timeout_s)
            connection.sendall(request)
            connection.setblocking(False)
        except TimeoutError as error:
            connection.close()
            raise ChatModelTimeout("The chat model's server does not take the request.") from error
        except OSError as error:
            connection.close()
            raise ChatModelError("The chat model's server broke off.") from error
        return UpstreamCall(connection)

    def _connect(self) -> socket.socket:
        timeout_s = self._options.connect_timeout_s
        try:
            connection = socket.create_connection((self._host, self._port), timeout=timeout_s)
        except (OSError, UnicodeError) as error:
            raise ChatModelUnavailable("The chat model's server can't be reached.") from error
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self._host)
        except (OSError, ValueError) as error:
            connection.close()
            raise ChatModelUnavailable("No secure connection to the chat model's server could be made.") from error
        return connection


class UpstreamCall:
    """A request that was sent, and the reply as it comes. `receive` never waits."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reply = HttpReply()

    @property
    def status(self) -> int | None:
        """The status; None until it has come."""
        return self._reply.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The reply's headers, by their names in lower case."""
        return self._reply.headers

    @property
    def is_complete(self) -> bool:
        """Whether the reply has come to its end."""
        return self._reply.is_complete

    def fileno(self) -> int:
        """What to wait for until there is something to receive."""
        return self._connection.fileno()

    def wait(self, seconds: float) -> bool:
        """Wait for something to receive; False when nothing has come in time."""
        poller = select.poll()
        poller.register(self._connection, select.POLLIN)
        with Pausing():
            return seconds > 0 and bool(poller.poll(seconds * 1000))

    def receive(self) -> bytes | None:
        """What has come of the body; None when nothing has come at all. Raises ChatModelError when it broke off."""
        try:
            received = self._connection.recv(_CHUNK_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError as error:
            raise ChatModelError(_GARBLED) from error
        try:
            if received:
                return self._reply.feed(received)
            self._reply.end()
        except GarbledReply:
            raise ChatModelError(_GARBLED) from None
        return b""

    def close(self) -> None:
        """Break the call off, if it has not ended."""
        self._connection.close()
