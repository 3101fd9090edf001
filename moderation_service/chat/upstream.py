"""The calls to the chat model's server.

A call is sent, and its reply is read as it comes, because one thread has to wait for several things at once: for the
model, for a verdict and for a client that may hang up. Connections are used again once their replies are over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from ..errors import ChatModelError, ChatModelTimeout, ChatModelUnavailable
from ..observability.tracing import Tracing
from ..upstream.connections import BrokenConnection, ConnectionPool, OpenCall, Stage
from ..upstream.per_process import PerProcess
from .options import ChatOptions
from .refusal import refusal_of

__all__ = ["ChatUpstream", "UpstreamCall"]

_JSON = "application/json"
_OTHER = "chat_upstream"
"""The span of a call to the chat model's server that is no chat."""
_LISTING_TIMEOUT_S = 3.0
_UNKNOWN_FOR_S = 300.0
_MAX_LISTING_BYTES = 4 * 1024 * 1024


class ChatUpstream:
    """The server of the guarded chat model. Safe to use from many threads.

    With `tracing` every call is a span, and the server learns of it.
    """

    def __init__(self, options: ChatOptions, *, tracing: Tracing | None = None) -> None:
        parts = urlsplit(options.url)
        self._options = options
        self._tracing = tracing
        self._unknown: dict[str, float] = {}
        self._authority = parts.netloc
        self._path = parts.path.rstrip("/")
        self._pool = PerProcess(
            lambda: ConnectionPool(options.url, size=options.max_streams, connect_timeout_s=options.connect_timeout_s)
        )

    def knows(self, path: str) -> bool:
        """Whether the server may know this address: it was not found to lack it in the last minutes."""
        return self._unknown.get(path, 0.0) < monotonic()

    def lacks(self, path: str) -> None:
        """The server does not know this address, but answers at another one."""
        self._unknown[path] = monotonic() + _UNKNOWN_FOR_S

    def ask(self, path: str, body: Mapping[str, object], *, headers: Mapping[str, str]) -> UpstreamCall:
        """Send a request for an answer; returns as soon as it is sent.

        Raises ChatModelUnavailable or ChatModelTimeout.
        """
        content = json.dumps(body, separators=(",", ":")).encode()
        accept = "text/event-stream" if body.get("stream") else _JSON
        headers = {"Accept": accept, **headers}
        return self._call("chat", "POST", path, content, headers, self._options.max_answer_bytes)

    def models(self, *, headers: Mapping[str, str]) -> list[object]:
        """The entries of the server's list of models. Raises ChatModelError."""
        call = self._call(_OTHER, "GET", "/v1/models", b"", headers, _MAX_LISTING_BYTES)
        body, status = _read_whole(call, timeout_s=_LISTING_TIMEOUT_S), call.status
        try:
            entries = json.loads(body)["data"] if status == 200 else None
        except (ValueError, KeyError, TypeError, RecursionError):
            entries = None
        if not isinstance(entries, list):
            raise ChatModelError("The chat model's server did not list its models.")
        return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]

    def pass_on(
        self, method: str, path: str, content: bytes, *, headers: Mapping[str, str], content_type: str = ""
    ) -> tuple[int, str, bytes]:
        """Status, media type and body of the server's reply to a request of another kind, which is no chat.

        Raises ChatModelError, or ChatModelRefused for any status but 200.
        """
        limit = self._options.max_answer_bytes
        call = self._call(_OTHER, method, path, content, headers, limit, content_type=content_type)
        body = _read_whole(call, timeout_s=self._options.first_token_timeout_s)
        status = call.status or 0
        if status != HTTPStatus.OK:
            has_key = self._options.api_key is not None
            raise refusal_of(status, call.header("retry-after"), body, has_key=has_key)
        return status, call.header("content-type") or _JSON, body

    def _call(
        self,
        name: str,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        max_bytes: int,
        *,
        content_type: str = _JSON,
    ) -> UpstreamCall:
        """Send a request, as a span of this name where there are traces. Raises ChatModelError."""
        if self._tracing is None:
            return UpstreamCall(self._send(method, path, body, headers, max_bytes, content_type))
        span, trace = self._tracing.begin_chat(name)
        told = {**headers, **trace}
        if "tracestate" not in headers:
            # What vendors keep there may have a key of ours in it: it goes only where the caller's own was let through.
            told.pop("tracestate", None)
        try:
            return UpstreamCall(self._send(method, path, body, told, max_bytes, content_type), span, self._tracing)
        except ChatModelError as error:
            self._tracing.mark_failed(span, error.type)
            span.end()
            raise

    def _send(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        max_bytes: int,
        content_type: str,
    ) -> OpenCall:
        lines = [
            f"{method} {self._path}{path} HTTP/1.1",
            f"Host: {self._authority}",
            "User-Agent: moderation-service",
            "Accept-Encoding: identity",
            f"Content-Length: {len(body)}",
        ]
        if body:
            lines.append(f"Content-Type: {content_type}")
        if self._options.api_key is not None:
            headers = {**headers, "Authorization": f"Bearer {self._options.api_key}"}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body
        try:
            return self._pool.here().open(request, timeout_s=self._options.idle_timeout_s, max_body_bytes=max_bytes)
        except BrokenConnection as error:
            raise _failure(error) from error


class UpstreamCall:
    """A request that was sent, and the reply as it comes. `receive` never waits. End it by `finish` or `close`."""

    def __init__(self, call: OpenCall, span: Any = None, tracing: Tracing | None = None) -> None:
        self._call = call
        self._span = span
        self._tracing = tracing

    @property
    def status(self) -> int | None:
        """The status; None until it has come."""
        return self._call.reply.status

    @property
    def is_complete(self) -> bool:
        """Whether the reply has come to its end."""
        return self._call.reply.is_complete

    def header(self, name: str) -> str:
        """A header of the reply, by its name in lower case; empty where there is none."""
        return self._call.reply.headers.get(name.encode(), b"").decode("latin-1")

    def fileno(self) -> int:
        """What to wait for until there is something to receive."""
        return self._call.fileno()

    def wait(self, seconds: float) -> bool:
        """Wait for something to receive; False when nothing has come in time."""
        return self._call.wait(seconds)

    def receive(self) -> bytes | None:
        """What has come of the body; None when nothing has come at all. Raises ChatModelError when it broke off."""
        try:
            return self._call.receive()
        except BrokenConnection as error:
            raise _failure(error) from error

    def finish(self, error_type: str | None = None) -> None:
        """The answer is whole: keep the connection for another call; `error_type` says that it is a refusal."""
        self._call.finish()
        self._end_span(error_type)

    def close(self, error_type: str | None = None) -> None:
        """Break the call off, if its reply has not come to its end; `error_type` says how it failed."""
        self._call.close()
        self._end_span(error_type)

    def _end_span(self, error_type: str | None) -> None:
        span, self._span = self._span, None
        if span is None or self._tracing is None:
            return
        if self.status is not None:
            span.set_attribute("http.response.status_code", self.status)
        if error_type is not None:
            self._tracing.mark_failed(span, error_type)
        span.end()


def _read_whole(call: UpstreamCall, *, timeout_s: float) -> bytes:
    """All of a reply's body. Raises ChatModelError."""
    ends_at = monotonic() + timeout_s
    body = bytearray()
    try:
        while not call.is_complete:
            body += call.receive() or b""
            if not (call.is_complete or call.wait(ends_at - monotonic())):
                raise ChatModelTimeout("The chat model's server did not answer in time.")
    except BaseException as error:
        call.close(error.type if isinstance(error, ChatModelError) else None)
        raise
    call.finish(None if call.status == HTTPStatus.OK else "refused")
    return bytes(body)


def _failure(error: BrokenConnection) -> ChatModelError:
    """What the chat's caller is told of it."""
    if error.stage is Stage.CONNECT:
        return ChatModelUnavailable("The chat model's server can't be reached.")
    if error.stage is Stage.TIMEOUT:
        return ChatModelTimeout("The chat model's server does not take the request.")
    if error.stage is Stage.TOO_LARGE:
        return ChatModelError("The chat model's answer is over the limit.")
    return ChatModelError("The chat model's server broke off, or answered something that is no HTTP reply.")
