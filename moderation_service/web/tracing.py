"""A WSGI layer around the whole app that makes a span of every request; installed only when traces are on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..observability.tracing import Tracing
from .lifecycle import METHODS, QUIET, TRACE, RequestState

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["TracingLayer"]


class TracingLayer:
    """Begins a span in the caller's trace and ends it with the last byte of the reply."""

    def __init__(self, app: WSGIApplication, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in QUIET:
            return self._app(environ, start_response)
        request = _Request(environ, self._tracing)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            request.status = int(status[:3])
            return start_response(status, headers, exc_info)

        try:
            with self._tracing.current(request.span):
                body = self._app(environ, start)
        except BaseException:
            request.end()
            raise
        if isinstance(body, (tuple, list)):
            request.end()
            return body
        return _Body(body, request, self._tracing)


class _Request:
    """One request and its span."""

    def __init__(self, environ: WSGIEnvironment, tracing: Tracing) -> None:
        self.status = 500
        self.span = tracing.begin_request(environ.get("HTTP_TRACEPARENT"), environ.get("HTTP_TRACESTATE"))
        self._environ = environ
        self._tracing = tracing
        ids = self.span.get_span_context()
        environ[TRACE] = {"trace_id": f"{ids.trace_id:032x}", "span_id": f"{ids.span_id:016x}"}

    def end(self) -> None:
        """Say what is known now, and end. The path and the query are the caller's words: only the route is told."""
        if self.span.is_recording():
            method = self._environ["REQUEST_METHOD"]
            method = method if method in METHODS else "_OTHER"
            state = RequestState.of(self._environ)
            self.span.update_name(f"{method} {state.route}")
            self.span.set_attributes(
                {
                    "http.request.method": method,
                    "http.route": state.route,
                    "http.response.status_code": self.status,
                    "moderation.request_id": state.request_id,
                    **{f"moderation.{name}": one for name, one in state.fields.items() if isinstance(one, str | int)},
                }
            )
            if self.status >= 500:
                self._tracing.mark_failed(self.span, str(self.status))
        self.span.end()


class _Body:
    """A reply that is made while it is sent: what it does belongs to the span too, which ends with it."""

    def __init__(self, body: Iterable[bytes], request: _Request, tracing: Tracing) -> None:
        self._body = body
        self._parts = iter(body)
        self._request = request
        self._tracing = tracing

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._tracing.current(self._request.span):
            return next(self._parts)

    def close(self) -> None:
        """End the reply and the span."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                with self._tracing.current(self._request.span):
                    close()
        finally:
            self._request.end()
