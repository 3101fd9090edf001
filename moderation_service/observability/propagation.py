"""What a call to a model server tells it of the request it is made for: its id, and the trace it belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar

from ..ids import random_hex
from .request_context import request_context
from .tracing import Tracing

__all__ = ["caller_trace", "outgoing_lines", "trace_headers"]

_NO_TRACE: Mapping[str, str] = {}
# W3C Trace Context, sections 3.2.2, 3.2.4 and 3.3.1. Versions to come may say more behind the flags.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-[!-~]{1,400})?"
)
_TRACESTATE = re.compile(r"[ -~]{1,512}")

caller_trace: ContextVar[Mapping[str, str]] = ContextVar("caller_trace", default=_NO_TRACE)
"""The headers of the trace in which the request being handled came, if they are valid."""


def trace_headers(traceparent: str | None, tracestate: str | None) -> Mapping[str, str]:
    """The headers of a caller's trace as they may be passed on; none unless the first is valid."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match is None or (match["version"] == "00" and match["more"]):
        return _NO_TRACE
    found = {"traceparent": match[0]}
    if tracestate and _TRACESTATE.fullmatch(tracestate):
        found["tracestate"] = tracestate
    return found


def outgoing_lines(tracing: Tracing | None) -> Callable[[], bytes]:
    """A function that gives the header lines for a call made by this thread, each with its line end.

    With traces on they name the span that this thread is in, otherwise the caller's own. The id has a part that no
    other call has: vLLM takes it for the id of its own request, and two at once must not have the same.
    """

    def lines() -> bytes:
        request_id = request_context.get().request_id
        own = "" if request_id is None else f"X-Request-Id: {request_id}.{random_hex(8)}\r\n"
        if tracing is not None:
            return own.encode("latin-1") + tracing.outgoing()
        trace = caller_trace.get()
        return (own + "".join([f"{name}: {value}\r\n" for name, value in trace.items()])).encode("latin-1")

    return lines
