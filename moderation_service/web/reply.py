"""Replies as plain values, and errors as replies: the one place where an exception becomes bytes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ..core.json_text import write_json
from ..errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    ModerationError,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from ..observability.logs import log_event

__all__ = [
    "ErrorShape",
    "Reply",
    "StreamedReply",
    "error_reply",
    "event_stream",
    "json_reply",
    "named_events",
    "native_error",
    "status_line",
]

EVENT_STREAM = "text/event-stream; charset=utf-8"

_log = logging.getLogger("moderation.web")
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_FOREIGN: dict[int, tuple[type[ModerationError], str]] = {
    404: (NotFound, "There is nothing at this address."),
    405: (MethodNotAllowed, "This address does not answer to this HTTP method."),
    415: (UnsupportedMediaType, "The body must be JSON; send `Content-Type: application/json`."),
}


ErrorShape = Callable[[ModerationError], object]
"""Dresses an error as the JSON of one contract."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP reply."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class StreamedReply:
    """A reply whose body is made while it is sent.

    `chunks` is closed when the client has all of it, or has hung up. `ended` is called afterwards, whatever happened.
    """

    chunks: Iterator[bytes]
    ended: Callable[[], None]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = EVENT_STREAM


def json_reply(payload: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply with this value as compact JSON in UTF-8."""
    return Reply(status, write_json(payload), headers or {})


def event_stream(events: Iterable[object], *, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply with these values as server-sent events, ended by `[DONE]` as OpenAI's clients expect."""
    lines = [b"data: %s\n\n" % write_json(event) for event in events]
    body = b"".join([*lines, b"data: [DONE]\n\n"])
    return Reply(200, body, {"Cache-Control": "no-cache", **(headers or {})}, EVENT_STREAM)


def named_events(events: Iterable[Mapping[str, object]], *, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply with these values as server-sent events that say what they are, and no end mark."""
    body = b"".join(b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), write_json(event)) for event in events)
    return Reply(200, body, {"Cache-Control": "no-cache", **(headers or {})}, EVENT_STREAM)


def native_error(error: ModerationError) -> object:
    """The native contract's error document."""
    return {"error": error.to_json()}


def status_line(status: int) -> str:
    """`404` as WSGI wants it: `404 Not Found`."""
    return _STATUS_LINES.get(status) or f"{status} Unknown"


def error_reply(error: Exception, *, request_id: str, max_body_bytes: int, shape: ErrorShape = native_error) -> Reply:
    """The reply for any exception that leaves a route: always JSON, never a page, never a traceback."""
    headers: dict[str, str] = {}
    if isinstance(error, ModerationError):
        ours = error
    elif isinstance(error, HTTPException):
        ours = _from_werkzeug(error, max_body_bytes=max_body_bytes)
        if isinstance(ours, MethodNotAllowed):
            headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    else:
        _log.error("unhandled_exception", exc_info=error, extra={"fields": {"request_id": request_id}})
        ours = InternalError("Something went wrong in the service; the log knows this request's id.")
    if ours.status >= 500:
        log_event(_log, logging.WARNING, "request_failed", request_id=request_id, error=ours.type)
    if ours.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(ours.retry_after_s)))
    if ours.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="moderation-service"'
    document = shape(ours)
    if isinstance(document, dict) and "request_id" in document:
        document["request_id"] = request_id
    return json_reply(document, status=ours.status, headers=headers)


def _from_werkzeug(error: HTTPException, *, max_body_bytes: int) -> ModerationError:
    if isinstance(error, RequestEntityTooLarge):
        return TooLarge(f"The body is over the limit of {max_body_bytes} bytes.")
    status = error.code or 500
    if status in _FOREIGN:
        kind, message = _FOREIGN[status]
        return kind(message)
    if status < 500:
        # Werkzeug's other complaints (bad escapes in a path, a broken body) are the caller's mistake too.
        return InvalidRequest("The request could not be read.")
    return InternalError("Something went wrong in the service.")
