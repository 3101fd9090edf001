"""The one place where an exception becomes an HTTP reply: always JSON, never a page, never a traceback."""

from __future__ import annotations

import json
import logging
import math

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ..errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    ModerationError,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from ..logs import log_event
from .lifecycle import current_state

__all__ = ["error_response", "register_errors"]

_log = logging.getLogger("moderation.web")

_FOREIGN: dict[int, tuple[type[ModerationError], str]] = {
    404: (NotFound, "There is nothing at this address."),
    405: (MethodNotAllowed, "This address does not answer to this HTTP method."),
    415: (UnsupportedMediaType, "The body must be JSON; send `Content-Type: application/json`."),
}


def register_errors(app: Flask, *, max_body_bytes: int) -> None:
    """Answer every exception that leaves a route."""

    def known(error: ModerationError) -> Response:
        return error_response(error)

    def foreign(error: HTTPException) -> Response:
        status = error.code or 500
        if isinstance(error, RequestEntityTooLarge):
            return error_response(TooLarge(f"The body is over the limit of {max_body_bytes} bytes."))
        if status in _FOREIGN:
            kind, message = _FOREIGN[status]
            response = error_response(kind(message))
            if status == 405 and (allowed := getattr(error, "valid_methods", None)):
                response.headers["Allow"] = ", ".join(sorted(allowed))
            return response
        if status < 500:
            # Werkzeug's other complaints (bad escapes in a path, a broken body) are the caller's mistake too.
            return error_response(InvalidRequest("The request could not be read."))
        return error_response(InternalError("Something went wrong in the service."))

    def unexpected(error: Exception) -> Response:
        _log.error("unhandled_exception", exc_info=error, extra={"fields": {"request_id": current_state().request_id}})
        return error_response(InternalError("Something went wrong in the service; the log knows this request's id."))

    app.register_error_handler(ModerationError, known)
    app.register_error_handler(HTTPException, foreign)
    app.register_error_handler(Exception, unexpected)


def error_response(error: ModerationError) -> Response:
    """The reply for an error of ours."""
    response = Response(json.dumps({"error": error.to_json()}), status=error.status, mimetype="application/json")
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="moderation-service"'
    if error.status >= 500:
        log_event(_log, logging.WARNING, "request_failed", request_id=current_state().request_id, error=error.type)
    return response
