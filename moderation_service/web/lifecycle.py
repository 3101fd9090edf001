"""What happens around every request: its id, who asks, how long it took, one line in the log.

The id, the log line and the metrics are made in a WSGI layer around Flask: they then cover every reply, and on the
hot path they cost a few microseconds instead of a tenth of a millisecond in hooks and proxies. What the layer and
the routes tell each other is a `RequestState` in the WSGI environment.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from ..access import sent_key
from ..audit import request_context
from ..errors import Unauthorized
from ..logs import log_event
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["RequestState", "current_state", "register_lifecycle"]

_STATE = "moderation.request"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_OPEN_ENDPOINTS = frozenset({"health.healthz", "health.readyz", "pages.index", "pages.openapi", "static", None})

_log = logging.getLogger("moderation.access")


class RequestState:
    """What is known of the request being handled. `fields` are what the route adds to the log line."""

    __slots__ = ("fields", "key_name", "request_id", "route", "started")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.started = perf_counter()
        self.route = "unmatched"
        self.key_name: str | None = None
        self.fields: Mapping[str, object] = {}


def current_state() -> RequestState:
    """The state of the request that Flask is handling."""
    state: RequestState = request.environ[_STATE]
    return state


def register_lifecycle(app: Flask, service: Service) -> None:
    """Install the layer around the app, and the check of API keys in it."""
    open_endpoints = _OPEN_ENDPOINTS | ({"health.metrics"} if service.settings.open_metrics else frozenset())
    keys = service.keys

    def authenticate() -> None:
        asked = request._get_current_object()  # type: ignore[attr-defined]  # one look-up instead of five
        environ = asked.environ
        state: RequestState = environ[_STATE]
        if asked.url_rule is not None:
            state.route = asked.url_rule.rule
        if keys and asked.endpoint not in open_endpoints:
            key = sent_key(environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_X_API_KEY"))
            state.key_name = keys.identify(key) if key is not None else None
            if state.key_name is None:
                hint = "Send a key as `Authorization: Bearer ...` or `X-API-Key`."
                raise Unauthorized(hint if key is None else "This key is not known here.")
        request_context.set((state.request_id, state.key_name))

    app.before_request(authenticate)
    app.wsgi_app = _Lifecycle(app.wsgi_app, service)  # type: ignore[method-assign]


class _Lifecycle:
    """The WSGI layer."""

    def __init__(self, app: WSGIApplication, service: Service) -> None:
        self._app = app
        self._metrics = service.metrics

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sent = environ.get("HTTP_X_REQUEST_ID")
        state = RequestState(sent if sent and _REQUEST_ID.fullmatch(sent) else secrets.token_hex(16))
        environ[_STATE] = state

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            headers.append(("X-Request-Id", state.request_id))
            headers.append(("X-Content-Type-Options", "nosniff"))
            self._record(environ, state, int(status[:3]))
            return start_response(status, headers, exc_info)

        return self._app(environ, start)

    def _record(self, environ: WSGIEnvironment, state: RequestState, status: int) -> None:
        seconds = perf_counter() - state.started
        self._metrics.answered(state.route, status, seconds)
        method = environ["REQUEST_METHOD"]
        log_event(
            _log,
            logging.DEBUG if state.route in _QUIET and status < 400 else logging.INFO,
            "request",
            request_id=state.request_id,
            method=method if method in _METHODS else "other",
            route=state.route,
            status=status,
            ms=round(seconds * 1000, 3),
            key=state.key_name,
            **state.fields,
        )
