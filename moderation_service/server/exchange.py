"""One request and its reply, as WSGI (PEP 3333) wants them."""

from __future__ import annotations

import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from ..errors import InternalError, InvalidRequest
from ..observability.logs import log_event
from ..web.reply import status_line
from ..web.triage import Entry
from .connection import Connection
from .request_parser import BadRequest, Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["Exchange", "environ_of", "refusal"]

_log = logging.getLogger("moderation.server")

_ENVIRON: dict[str, Any] = {
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "moderation-service",
}
_FRAMING = frozenset({b"transfer-encoding", b"connection", b"expect"})
_VARIABLES = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
_OURS = frozenset({"connection", "transfer-encoding", "date"})
_NO_BODY = ("1", "204", "304")


def environ_of(request: Request, connection: Connection) -> WSGIEnvironment:
    """The environment of a request, without its body.

    A field whose name has an underscore is dropped: `X_Y` and `X-Y` would be the same variable, and a client could
    send under the one name what a proxy checks under the other.
    """
    environ = _ENVIRON.copy()
    target, _, query = request.target.partition(b"?")
    path = _path_of(target.partition(b"#")[0])
    environ["REQUEST_METHOD"] = request.method.decode("ascii")
    environ["RAW_URI"] = request.target.decode("latin-1")
    environ["PATH_INFO"] = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
    environ["QUERY_STRING"] = query.decode("latin-1")
    environ["SERVER_PROTOCOL"] = "HTTP/" + request.version
    environ["SERVER_NAME"], environ["SERVER_PORT"] = connection.server[0], str(connection.server[1])
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = connection.client[0], str(connection.client[1])
    # With `fileno`, so that a route can notice that its client hung up.
    environ["gunicorn.socket"] = connection
    for name, value in request.fields:
        variable = _VARIABLES.get(name)
        if variable is None:
            if b"_" in name or name in _FRAMING:
                continue
            variable = "HTTP_" + name.decode("ascii").upper().replace("-", "_")
        text = value.decode("latin-1").strip()
        environ[variable] = f"{environ[variable]},{text}" if variable in environ else text
    return environ


def _path_of(target: bytes) -> bytes:
    """The path of a request's target, which may be a whole address (RFC 9112, 3.2.2)."""
    if target.startswith(b"/") or b"://" not in target:
        return target
    _, slash, path = target.partition(b"://")[2].partition(b"/")
    return slash + path


def refusal(error: BadRequest | InternalError) -> bytes:
    """The whole reply to what never reaches the app, or left it as an exception: in our error shape, and the last."""
    if isinstance(error, BadRequest):
        shown = InvalidRequest(f"This is not an HTTP request we can read ({error.reason}).").to_json()
    else:
        shown = error.to_json()
    body = json.dumps({"error": shown}).encode()
    head = f"HTTP/1.1 {status_line(error.status)}\r\nDate: {_date()}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


class Exchange:
    """One request, what the triage says of it, and the reply while it is written.

    `since` is when it began to wait for a thread. `keeps_alive`, known once it is answered, says whether the connection
    can be used for another request.
    """

    __slots__ = (
        "_headers",
        "_is_chunked",
        "_is_without_body",
        "_left",
        "_length",
        "_patience_s",
        "_status",
        "connection",
        "entry",
        "environ",
        "has_begun",
        "keeps_alive",
        "request",
        "since",
    )

    def __init__(self, connection: Connection, request: Request, environ: WSGIEnvironment, entry: Entry) -> None:
        self.connection = connection
        self.request = request
        self.environ = environ
        self.entry = entry
        self.since = 0.0
        self.keeps_alive = False
        self.has_begun = False
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._length: int | None = None
        self._left = 0
        self._is_chunked = self._is_without_body = False
        self._patience_s = 0.0

    def is_too_large(self) -> bool:
        """Whether its body is larger than what is read of it, as far as is known."""
        request, limit = self.request, self.entry.body_bytes
        return request.size > limit or (request.announced or 0) > limit

    def answer(self, app: WSGIApplication, *, patience_s: float | None) -> None:
        """Run the app and send its reply; never raises.

        With `patience_s` a reply that is made while it is sent waits so long for a client to read; without, the whole
        of it is made first, and what the client does not take at once stays in `connection.unsent`.
        """
        request, environ = self.request, self.environ
        if request.is_whole or request.announced is None:
            environ["CONTENT_LENGTH"] = str(request.size)
        body = request.body if request.is_whole else []
        environ["wsgi.input"] = io.BytesIO(body[0] if len(body) == 1 else b"".join(body))
        try:
            self._run(app, patience_s)
        except OSError:
            self.keeps_alive = False
            log_event(_log, logging.DEBUG, "client_gone")
        except Exception as error:  # what left the app; the thread must live on
            self.keeps_alive = False
            log_event(_log, logging.ERROR, "bad_http", error=type(error).__name__)
            if not self.has_begun:  # else a second reply would be read as a part of the first
                self._send_failure()

    def _run(self, app: WSGIApplication, patience_s: float | None) -> None:
        parts = app(self.environ, self._start_response)
        try:
            if isinstance(parts, (tuple, list)) and len(parts) == 1:
                self._send_whole(parts[0])
            elif patience_s is None or self._length is not None:
                self._send_whole(b"".join(parts))
            else:
                self._stream(parts, patience_s)
        finally:
            if hasattr(parts, "close"):
                parts.close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        if exc_info and self.has_begun:
            raise exc_info[1].with_traceback(exc_info[2])
        self._status, self._headers = status, headers
        for name, value in headers:
            if name.lower() == "content-length":
                self._length = int(value)
        return self._write

    def _head(self) -> bytes:
        """Everything before the body. From here on it is known whether the connection can be kept."""
        self.has_begun = True
        request = self.request
        self._is_without_body = request.method == b"HEAD" or self._status.startswith(_NO_BODY)
        lines = [f"HTTP/1.1 {self._status}\r\nDate: {_date()}\r\n"]
        for name, value in self._headers:
            if "\n" in value or "\r" in value:
                raise ValueError("A header of a reply has a line break in it.")
            if name.lower() not in _OURS:
                lines.append(f"{name}: {value}\r\n")
        is_framed = True
        if self._length is None and not self._is_without_body:
            is_framed = self._is_chunked = request.version == "1.1"
            if self._is_chunked:
                lines.append("Transfer-Encoding: chunked\r\n")
        self.keeps_alive = is_framed and request.keeps_alive and request.is_whole and self.connection.can_go_on()
        lines.append("Connection: keep-alive\r\n\r\n" if self.keeps_alive else "Connection: close\r\n\r\n")
        self._left = self._length or 0
        return "".join(lines).encode("latin-1")

    def _send_whole(self, body: bytes) -> None:
        if self._length is None:
            self._length = len(body)
            self._headers = [*self._headers, ("Content-Length", str(len(body)))]
        head = self._head()
        self.connection.send(head if self._is_without_body else head + body)
        if len(body) != self._length and not self._is_without_body:
            self.keeps_alive = False

    def _stream(self, parts: Iterable[bytes], patience_s: float) -> None:
        self._patience_s = patience_s
        for part in parts:
            if part:
                self._write(part)
        if not self.has_begun:
            self._send_whole(b"")
        elif self._is_chunked:
            self.connection.send_patiently(b"0\r\n\r\n", patience_s=patience_s)

    def _write(self, data: bytes, /) -> None:
        head = b"" if self.has_begun else self._head()
        if self._is_without_body:
            data = b""
        elif self._is_chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        if head or data:
            self.connection.send_patiently(head + data, patience_s=self._patience_s)

    def _send_failure(self) -> None:
        try:
            self.connection.send(refusal(InternalError("Something went wrong in the service.")))
        except OSError:
            log_event(_log, logging.DEBUG, "client_gone")


_dated: tuple[int, str] = (0, "")


def _date() -> str:
    """The time as replies carry it, made once a second."""
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        _dated = (now, formatdate(now, usegmt=True))
    return _dated[1]
