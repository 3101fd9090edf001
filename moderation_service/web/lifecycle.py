"""What happens around every request: its id, who asks, how long it took, one line in the log.

This is a WSGI layer around Flask, so that it covers every reply. The routes that carry the traffic are *direct*: the
layer calls their function itself, and Flask only knows their address. An empty Flask route costs as much CPU as all
that a verdict needs besides the engine (docs/performance.md), and a check is asked for twice per chat turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request

from ..errors import ModerationError, Overloaded, RateLimited, Unauthorized
from ..ids import ordered_hex
from ..observability.logs import access_line
from ..observability.propagation import caller_trace, trace_headers
from ..observability.request_context import RequestContext, request_context
from .api_keys import identify_caller, keys_of_contract, sent_key
from .callers import KnownApp
from .doors import door_of
from .hosts import AllowedHosts
from .reply import ErrorShape, Reply, StreamedReply, error_reply, native_error, status_line
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = [
    "CONSOLE",
    "KEYED_BY_BODY",
    "KEY_NAME",
    "METHODS",
    "OPEN_ENDPOINTS",
    "OVERLOADED",
    "QUIET",
    "TRACE",
    "DirectRoute",
    "RequestState",
    "current_state",
    "enter",
    "register_lifecycle",
]

TRACE = "moderation.trace"
"""Where in the environment the ids of the request's trace are, when traces are on; they join the log line."""
METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
"""The methods that are called by their names in logs and traces."""
QUIET = frozenset({"/healthz", "/health", "/readyz", "/metrics"})
"""Routes that machines ask every few seconds: neither logged, when all is well, nor traced."""
KEY_NAME = "moderation.key"
"""Where in the environment the name of the caller's key is, once the server has looked it up (web/triage)."""
OVERLOADED = "moderation.overloaded"
"""Where the server says that it has no room for a request: it is refused, in the shape of the door that was asked."""
OPEN_ENDPOINTS = frozenset(
    {"health.healthz", "health.readyz", "gateways.health", "pages.index", "pages.docs", "pages.openapi", "static"}
)
"""What needs no key."""
CONSOLE = "console."
"""How the names of the console's routes begin: people sign in there, and API keys open nothing."""
KEYED_BY_BODY = frozenset({"alibaba.text_moderation_plus"})
"""What may have its key in the body: the route looks there itself, where the head has none."""
_STATE = "moderation.request"
_NO_TRACE: Mapping[str, object] = {}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
# A server that has no room says so before the work is begun; a moment later there may be some.
_RETRY_AFTER_S = 1.0


class RequestState:
    """What is known of the request being handled. `fields` are what the route adds to the log line."""

    __slots__ = ("app", "fields", "headers", "key_name", "leave", "request_id", "route", "started")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.started = perf_counter()
        self.route = "unmatched"
        self.key_name: str | None = None
        self.app: KnownApp | None = None
        self.fields: Mapping[str, object] = {}
        self.headers: Mapping[str, str] = {}
        """What every reply says, an error too."""
        self.leave: Callable[[], None] | None = None

    @property
    def caller(self) -> str | None:
        """Whose memories are whose: the app, whichever of its keys it used, or the key."""
        return self.key_name if self.app is None else self.app.caller

    def ended(self) -> None:
        """The request is not under way any more; may be said twice."""
        leave, self.leave = self.leave, None
        if leave is not None:
            leave()

    @staticmethod
    def of(environ: WSGIEnvironment) -> RequestState:
        """The state of a request that has come through the layer."""
        state: RequestState = environ[_STATE]
        return state


DirectRoute = Callable[["WSGIEnvironment", RequestState], Reply | StreamedReply]
"""A route that answers from the WSGI environment; it raises as any other route does."""


def enter(service: Service, environ: WSGIEnvironment, state: RequestState) -> None:
    """Now that its key is known, let a request in: say whose it is, and count it. Raises Forbidden, RateLimited."""
    app = state.app = service.keys.app_of(state.key_name)
    door = door_of(environ["PATH_INFO"])
    name, door_name = None if app is None else app.app.name, None if door is None else door.word
    request_context.set(RequestContext(state.request_id, state.key_name, name, door_name))
    if service.end_users is not None:
        service.end_users.expect(environ, None if app is None else app.app)
    if app is None:
        return
    try:
        admitted = service.keys.admit(app, door)
    except RateLimited as error:
        state.headers = error.headers
        raise
    state.headers, state.leave = admitted.headers, admitted.leave


def current_state() -> RequestState:
    """The state of the request that Flask is handling."""
    return RequestState.of(request.environ)


def register_lifecycle(
    app: Flask,
    service: Service,
    *,
    hosts: AllowedHosts,
    direct: Mapping[str, DirectRoute],
    error_shapes: Mapping[str, ErrorShape],
    known_errors: Mapping[str, Callable[[ModerationError], ModerationError]],
) -> None:
    """Install the layer. `direct` maps the path of a POST route to its function; Flask learns the same addresses.

    `error_shapes` maps the beginning of a path to the shape of the errors there, where it is not the native one;
    `known_errors` maps a path to what an error becomes there, whose callers would misunderstand some of them.
    """
    layer = _Lifecycle(app.wsgi_app, service, hosts, direct, error_shapes, known_errors)
    open_endpoints = OPEN_ENDPOINTS | {None} | ({"health.metrics"} if service.settings.open_metrics else set())

    def begin() -> None:
        state = current_state()
        if request.url_rule is not None:
            state.route = request.url_rule.rule
        needs_key = request.endpoint not in open_endpoints and request.blueprint != CONSOLE[:-1]
        layer.admit(request.environ, state, needs_key=needs_key, in_body=request.endpoint in KEYED_BY_BODY)

    def failed(error: Exception) -> Response:
        return as_response(layer.error(error, request.environ, current_state()))

    def as_response(reply: Reply | StreamedReply) -> Response:
        if isinstance(reply, Reply):
            body: bytes | _Stream = reply.body
        else:
            environ, state = request.environ, current_state()
            # It is under way until its last byte, not until its head.
            held, state.leave = state.leave, None
            closed = held or (lambda: None)
            body = _Stream(reply, failed=lambda error: layer.error(error, environ, state), closed=closed)
        return Response(body, status=reply.status, content_type=reply.content_type, headers=dict(reply.headers))

    app.before_request(begin)
    app.register_error_handler(Exception, failed)
    for path, route in direct.items():
        # Reached only if something rewrites the path behind the layer; the same function answers.
        def view(route: DirectRoute = route) -> Response:
            return as_response(route(request.environ, current_state()))

        app.add_url_rule(path, endpoint=f"direct.{path}", view_func=view, methods=["POST"])
    app.wsgi_app = layer  # type: ignore[method-assign]


class _Stream:
    """The body of a streamed reply, as WSGI wants it. Once it is over, or the client is gone, `closed` is called."""

    def __init__(self, reply: StreamedReply, failed: Callable[[Exception], Reply], closed: Callable[[], None]) -> None:
        self._reply = reply
        self._failed = failed
        self._closed = closed
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._reply.chunks
        except Exception as error:  # the outer edge, as for every other reply
            yield b"data: " + self._failed(error).body + b"\n\n"

    def close(self) -> None:
        """Called by the server in any case (PEP 3333), and by some more than once."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if isinstance(self._reply.chunks, Generator):
                self._reply.chunks.close()
        finally:
            try:
                self._reply.ended()
            finally:
                # Whatever fails: what is never said to have ended counts as under way for ever.
                self._closed()


class _Lifecycle:
    """The WSGI layer."""

    def __init__(
        self,
        app: WSGIApplication,
        service: Service,
        hosts: AllowedHosts,
        direct: Mapping[str, DirectRoute],
        error_shapes: Mapping[str, ErrorShape],
        known_errors: Mapping[str, Callable[[ModerationError], ModerationError]],
    ) -> None:
        self._app = app
        self._known_errors = known_errors
        self._hosts = hosts
        self._direct = direct
        self._error_shapes = error_shapes
        self._service = service
        self._keys = service.keys
        self._passes_keys_on = service.settings.chat_forward_authorization
        self._metrics = service.metrics
        self._max_body_bytes = service.settings.max_body_bytes
        self._log_level = service.settings.log_level

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sent = environ.get("HTTP_X_REQUEST_ID")
        state = RequestState(sent if sent and _REQUEST_ID.fullmatch(sent) else ordered_hex(32))
        environ[_STATE] = state
        route = self._direct.get(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        self._metrics.begun()
        if route is not None:
            return self._answer(route, environ, state, start_response)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            headers += (("X-Request-Id", state.request_id), ("X-Content-Type-Options", "nosniff"))
            headers += state.headers.items()
            state.ended()
            self._record(environ, state, int(status[:3]))
            return start_response(status, headers, exc_info)

        # "GET http://host HTTP/1.1" has no path; werkzeug would answer it with a redirect, as an HTML page.
        environ["PATH_INFO"] = environ["PATH_INFO"] or "/"
        return self._app(environ, start)

    def admit(self, environ: WSGIEnvironment, state: RequestState, *, needs_key: bool, in_body: bool = False) -> None:
        """Let a request in. Raises HostNotAllowed, Unauthorized, or Overloaded where the server has no room for it.

        `in_body`: a key that the head lacks is looked for by the route.
        """
        # First of all: a thread that served another caller must not act for them if this one is refused.
        request_context.set(RequestContext(state.request_id))
        self._hosts.check(environ)
        if needs_key:
            self._authenticate(environ, state, in_body=in_body)
        caller_trace.set(trace_headers(environ.get("HTTP_TRACEPARENT"), environ.get("HTTP_TRACESTATE")))
        if OVERLOADED in environ:
            raise Overloaded("The service has more to do than it can; try again.", retry_after_s=_RETRY_AFTER_S)
        enter(self._service, environ, state)

    def _authenticate(self, environ: WSGIEnvironment, state: RequestState, *, in_body: bool) -> None:
        """Find out who asks. Raises Unauthorized when there are keys and none of them was sent."""
        if self._keys:
            # Our own server has looked already (web/triage).
            state.key_name = environ.get(KEY_NAME) or identify_caller(
                environ, self._keys, passes_keys_on=self._passes_keys_on
            )
            if state.key_name is None and not in_body:
                self._keys.check()
                key = sent_key(environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_X_API_KEY"))
                hint = "Send a key as `Authorization: Bearer ...` or `X-API-Key`."
                was_sent = key is not None or keys_of_contract(environ)
                raise Unauthorized(self._keys.why_refused(key or "") if was_sent else hint)

    def error(self, error: Exception, environ: WSGIEnvironment, state: RequestState) -> Reply:
        """The reply for an exception that left a route, in the shape of the contract that the path belongs to."""
        path = environ["PATH_INFO"]
        if isinstance(error, ModerationError) and path in self._known_errors:
            error = self._known_errors[path](error)
        shape = next((one for prefix, one in self._error_shapes.items() if path.startswith(prefix)), native_error)
        return error_reply(error, request_id=state.request_id, max_body_bytes=self._max_body_bytes, shape=shape)

    def _answer(
        self, route: DirectRoute, environ: WSGIEnvironment, state: RequestState, start_response: StartResponse
    ) -> Iterable[bytes]:
        state.route = environ["PATH_INFO"]
        try:
            self.admit(environ, state, needs_key=True)
            reply = route(environ, state)
        except Exception as error:  # the outer edge: whatever it is, it becomes an error and never a verdict
            reply = self.error(error, environ, state)
        headers = [
            ("Content-Type", reply.content_type),
            ("X-Request-Id", state.request_id),
            ("X-Content-Type-Options", "nosniff"),
            *reply.headers.items(),
            *state.headers.items(),
        ]
        if isinstance(reply, StreamedReply):
            status = reply.status
            start_response(status_line(status), headers)
            return _Stream(
                reply,
                failed=lambda error: self.error(error, environ, state),
                closed=lambda: self._ended(environ, state, status),
            )
        state.ended()
        self._record(environ, state, reply.status)
        start_response(status_line(reply.status), [*headers, ("Content-Length", str(len(reply.body)))])
        return (reply.body,)

    def _ended(self, environ: WSGIEnvironment, state: RequestState, status: int) -> None:
        state.ended()
        self._record(environ, state, status)

    def _record(self, environ: WSGIEnvironment, state: RequestState, status: int) -> None:
        seconds = perf_counter() - state.started
        self._metrics.answered(state.route, status, seconds)
        quiet = state.route in QUIET and status < 400
        if self._log_level == "debug" or (self._log_level == "info" and not quiet):
            method = environ["REQUEST_METHOD"]
            access_line(
                {
                    "request_id": state.request_id,
                    "method": method if method in METHODS else "other",
                    "route": state.route,
                    "status": status,
                    "ms": round(seconds * 1000, 3),
                    "key": state.key_name,
                    **({} if state.app is None else {"app": state.app.app.name}),
                    **environ.get(TRACE, _NO_TRACE),
                    **state.fields,
                }
            )
