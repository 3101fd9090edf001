"""Bytes of a connection in, HTTP/1 requests out; no sockets, no clock.

The grammar is llhttp's, through httptools. llhttp also reads what is not ours to answer (HTTP/0.9 and 2.0, RTSP,
several `Host` fields, codings besides `chunked`) and bounds nothing; the rules for that are here.
"""

from __future__ import annotations

from collections import deque

import httptools

__all__ = ["BadRequest", "Request", "RequestParser"]

_MAX_TARGET_BYTES = 8190
_MAX_FIELD_BYTES = 8190
_MAX_FIELDS = 100
_MAX_HEAD_BYTES = 64 * 1024
# A chunk of one byte has five around it. What is far beyond that are chunk extensions or trailers without an end.
_FRAMING_FACTOR = 8
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"})
_NO_BODY = b"content-length: 0"
_FRAMING = (b"content-length", b"transfer-encoding")


class BadRequest(Exception):
    """What a client sent is no request that can be answered. `reason` has none of its bytes."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Request:
    """A request whose head is there; its body may still be on the way (`is_whole`).

    `fields` are in order, with names in lower case. `announced` is the length that the client announced for the body,
    None where it comes in chunks.
    """

    __slots__ = (
        "announced",
        "body",
        "expects_continue",
        "fields",
        "is_whole",
        "keeps_alive",
        "method",
        "size",
        "target",
        "version",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.version = ""
        self.fields: list[tuple[bytes, bytes]] = []
        self.keeps_alive = False
        self.expects_continue = False
        self.announced: int | None = 0
        self.body: list[bytes] = []
        self.size = 0
        self.is_whole = False


class RequestParser:
    """The parser of one connection.

    `whole` are the complete requests, oldest first; whoever uses the parser takes them out. `begun` is the one whose
    head is complete and whose body is not. After `fault`, or a request that ends the connection (`is_over`), whatever
    else comes is ignored: the requests before it stay good.
    """

    def __init__(self) -> None:
        self.whole: deque[Request] = deque()
        self.begun: Request | None = None
        self.fault: BadRequest | None = None
        self.is_over = False
        self._new: Request | None = None
        self._resumed: Request | None = None
        self._head_bytes = 0
        self._framing_bytes = 0
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a next request has come."""
        return self.begun is None and self._new is None and not self.whole

    def feed(self, data: bytes) -> None:
        """Read what came next."""
        if self.is_over or self.fault is not None or self._parser is None:
            return None
        begun, size = self.begun, self.begun.size if self.begun is not None else 0
        if begun is None:
            self._head_bytes += len(data)
        http1_until: int | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            http1_until = upgrade.args[0]
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, BadRequest):
                raise
            self.fault = error.__context__
        except httptools.HttpParserError as error:
            self.fault = BadRequest(400, str(error))
        if http1_until is not None:
            # Not in the `except` above: what is raised there has the wrong context.
            return self._refuse_upgrade(data[http1_until:])
        if self.is_over:
            self.fault = None  # after a request that ends the connection there may come anything
            return None
        if self._new is not None and self._head_bytes > _MAX_HEAD_BYTES:
            self.fault = self.fault or BadRequest(431, "its head is too large")
        if begun is not None and begun is self.begun and begun.announced is None:
            self._framing_bytes += len(data) - (begun.size - size)
            if self._framing_bytes > _MAX_HEAD_BYTES + _FRAMING_FACTOR * begun.size:
                self.fault = self.fault or BadRequest(400, "there is more around its chunks than in them")
        return None

    def end(self) -> None:
        """The client will send nothing more; a body that is not complete is then a fault."""
        if self.begun is not None and self.fault is None:
            self.fault = BadRequest(400, "its body is cut off")

    def close(self) -> None:
        """Let go of llhttp's parser, which holds this one: a circle would wait for the collector."""
        self._parser = None

    def _refuse_upgrade(self, rest: bytes) -> None:
        """Go on after a head that asks for another protocol: it is answered as HTTP/1.1, like any other.

        llhttp takes such a request for complete, and its body would be read as the next request. Java's HTTP client
        asks for HTTP/2 in this way by default. Another parser, which is told how the body is framed, reads on.
        """
        request = self._resumed = self.whole.pop()
        request.is_whole = self.is_over = False
        framing = next((name + b": " + value for name, value in request.fields if name in _FRAMING), _NO_BODY)
        self._parser = httptools.HttpRequestParser(self)
        self.feed(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n" + rest)

    # What httptools calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self.is_over:
            raise BadRequest(400, "the connection is over")
        self._new = Request()

    def on_url(self, part: bytes) -> None:
        """The target, maybe in pieces."""
        if self._new is not None and self._resumed is None:
            self._new.target += part
            if len(self._new.target) > _MAX_TARGET_BYTES:
                raise BadRequest(414, "its address is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole field. Those after a chunked body are read and dropped."""
        if self._new is None or self._resumed is not None:
            return
        if len(name) + len(value) > _MAX_FIELD_BYTES:
            raise BadRequest(431, "a header field is too large")
        fields = self._new.fields
        fields.append((name.lower(), value))
        if len(fields) > _MAX_FIELDS:
            raise BadRequest(431, "it has too many header fields")

    def on_headers_complete(self) -> None:
        """The head is complete."""
        assert self._parser is not None
        request, self._new = self._new, None
        if self._resumed is not None:
            request, self._resumed = self._resumed, None
        else:
            assert request is not None
            request.method = self._parser.get_method()
            request.version = self._parser.get_http_version()
            request.keeps_alive = self._parser.should_keep_alive()
            _check_head(request)
        self.begun = request
        self._head_bytes = self._framing_bytes = 0

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        request = self.begun
        assert request is not None
        request.body.append(part)
        request.size += len(part)

    def on_message_complete(self) -> None:
        """The request is complete."""
        request, self.begun = self.begun, None
        assert request is not None
        request.is_whole = True
        self.is_over = not request.keeps_alive
        self.whole.append(request)


def _check_head(request: Request) -> None:
    """Refuse what llhttp takes and this server does not; note what the head says of the body. Raises BadRequest."""
    if request.version not in ("1.1", "1.0"):
        raise BadRequest(400, "it is not of HTTP/1.1")
    # Of RTSP's methods OPTIONS is HTTP's too; of its requests nothing else is told than the version 1.0.
    if request.method not in _METHODS or (request.method == b"OPTIONS" and request.version == "1.0"):
        if request.method == b"CONNECT":
            raise BadRequest(405, "this is not a proxy")
        raise BadRequest(400, "its method is not one of HTTP's")
    hosts = 0
    for name, value in request.fields:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            request.announced = int(value)
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise BadRequest(501, "its transfer coding is not `chunked`")
            if request.version == "1.0":
                raise BadRequest(400, "HTTP/1.0 has no transfer codings")
            request.announced = None
        elif name == b"expect":
            request.expects_continue = value.strip().lower() == b"100-continue" and request.version == "1.1"
    if hosts > 1:
        raise BadRequest(400, "it has several `Host` fields")
