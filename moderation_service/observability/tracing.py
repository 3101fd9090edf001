"""OpenTelemetry traces: a span for every request and one for every call to an engine, sent over OTLP.

Only with the setting `traces`; without it nothing here is loaded or called. Where spans go, how they are sampled and
what the service is called there is said by OpenTelemetry's own OTEL_... variables, which its SDK reads. A span holds
ids, names, numbers and verdicts, as a log line does: no text, no path, no message of an exception.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ..config.extras import install_command
from ..core.cascade import Sureness
from ..core.conversation import Conversation
from ..core.engine import Deadline, Engine, SurenessEngine
from ..core.verdict import Detail, Verdict
from ..errors import ConfigurationError, ModerationError

__all__ = ["Tracing", "create_tracing", "traced"]

_SERVICE_NAME = "moderation-service"
_FLUSH_S = 2.0
"""What a worker that ends may spend on sending its last spans; a collector that is away must not delay it longer."""


def create_tracing(*, version: str, exporter: Callable[[], Any] | None = None) -> Tracing:
    """Tracing as the OTEL_... variables describe it; `exporter` replaces OTLP over HTTP.

    Raises ConfigurationError when OpenTelemetry is not installed.
    """
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter as otlp
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"traces: OpenTelemetry is not installed. To install it: {install_command('otel')}"
        ) from error
    return Tracing(version=version, exporter=exporter or otlp.OTLPSpanExporter)


class Tracing:
    """Makes spans. What sends them is made in the process that uses it, on its first span."""

    def __init__(self, *, version: str, exporter: Callable[[], Any]) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace: Any = trace
        self._version = version
        self._exporter = exporter
        # Not the configured propagators: baggage is text of the caller's, and none of the model server's business.
        self._propagator: Any = TraceContextTextMapPropagator()
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._provider: Any = None
        self._tracer: Any = None

    def begin_request(self, traceparent: str | None, tracestate: str | None) -> Any:
        """A span for a request, in the caller's trace if these headers name one."""
        carrier = {"traceparent": traceparent or "", "tracestate": tracestate or ""}
        context = self._propagator.extract({name: value for name, value in carrier.items() if value})
        return self._here().start_span("request", context=context, kind=self._trace.SpanKind.SERVER)

    def current(self, span: Any) -> AbstractContextManager[Any]:
        """Makes the span the parent of those that begin meanwhile; does not end it."""
        found: AbstractContextManager[Any] = self._trace.use_span(
            span, record_exception=False, set_status_on_exception=False
        )
        return found

    def begin_call(self, *, is_remote: bool) -> AbstractContextManager[Any]:
        """A span for one call to an engine, ended by leaving the `with`."""
        kind = self._trace.SpanKind.CLIENT if is_remote else self._trace.SpanKind.INTERNAL
        found: AbstractContextManager[Any] = self._here().start_as_current_span(
            "judge", kind=kind, record_exception=False, set_status_on_exception=False
        )
        return found

    def begin_chat(self, name: str) -> tuple[Any, Mapping[str, str]]:
        """A span for one call to the guarded chat model's server, and the headers by which that learns of it.

        It is to be ended by the caller, which may be in another thread by then.
        """
        span = self._here().start_span(name, kind=self._trace.SpanKind.CLIENT)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=self._trace.set_span_in_context(span))
        return span, carrier

    def mark_failed(self, span: Any, error_type: str) -> None:
        """Say that what the span stands for failed, and how it is called, never its message."""
        span.set_attribute("error.type", error_type)
        span.set_status(self._trace.StatusCode.ERROR)

    def outgoing(self) -> bytes:
        """The header lines by which the model server learns of the trace that this thread is in."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return "".join(f"{name}: {value}\r\n" for name, value in carrier.items()).encode("latin-1")

    def close(self) -> None:
        """Send what is left, for two seconds at most."""
        if self._provider is None or self._pid != os.getpid():
            return
        # A daemon, because the SDK knows no limit: it would try for as long as the exporter's own time-outs allow.
        flusher = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        flusher.start()
        flusher.join(_FLUSH_S)

    def _here(self) -> Any:
        """This process' tracer."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._start()
        return self._tracer

    def _start(self) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: _SERVICE_NAME}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter()))
        self._tracer = self._provider.get_tracer(_SERVICE_NAME, self._version)
        self._pid = os.getpid()


class _TracedEngine:
    """Another engine, with a span around every call."""

    def __init__(self, engine: Engine, part: str | None, *, tracing: Tracing, is_remote: bool) -> None:
        self._engine = engine
        self._part = {} if part is None else {"moderation.part": part}
        self._tracing = tracing
        self._is_remote = is_remote

    @property
    def name(self) -> str:
        """The other's."""
        return self._engine.name

    @property
    def model(self) -> str:
        """The other's."""
        return self._engine.model

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        """What the other answers."""
        return self._spanned(
            conversations, detail, lambda: self._engine.judge(conversations, detail=detail, deadline=deadline)
        )

    def check_ready(self) -> None:
        """Ask the other."""
        self._engine.check_ready()

    def close(self) -> None:
        """Close the other."""
        self._engine.close()

    def _spanned(
        self, conversations: Sequence[Conversation], detail: Detail, call: Callable[[], list[Verdict | ModerationError]]
    ) -> list[Verdict | ModerationError]:
        with self._tracing.begin_call(is_remote=self._is_remote) as span:
            try:
                answers = call()
            except ModerationError as error:
                self._describe(span, [error] * len(conversations), detail)
                raise
            self._describe(span, answers, detail)
            return answers

    def _describe(self, span: Any, answers: Sequence[Verdict | ModerationError], detail: Detail) -> None:
        errors = [answer for answer in answers if not isinstance(answer, Verdict)]
        attributes: Mapping[str, object] = {
            "moderation.engine": self._engine.name,
            "moderation.model": self._engine.model,
            "moderation.detail": detail.value,
            "moderation.items": len(answers),
            "moderation.failures": len(errors),
            **self._part,
        }
        span.set_attributes(attributes)
        if errors:
            self._tracing.mark_failed(span, errors[0].type)


class _TracedSurenessEngine(_TracedEngine):
    """The same for an engine to which the rules of a check make a difference."""

    def __init__(
        self, engine: Engine, others: SurenessEngine, part: str | None, *, tracing: Tracing, is_remote: bool
    ) -> None:
        super().__init__(engine, part, tracing=tracing, is_remote=is_remote)
        self._others = others

    def judge_with(
        self, conversations: Sequence[Conversation], sureness: Sureness, *, detail: Detail, deadline: Deadline
    ) -> list[Verdict | ModerationError]:
        """What the other answers."""
        return self._spanned(
            conversations,
            detail,
            lambda: self._others.judge_with(conversations, sureness, detail=detail, deadline=deadline),
        )

    def suffices(self, verdict: Verdict, sureness: Sureness) -> bool:
        """What the other says."""
        return self._others.suffices(verdict, sureness)


def traced(engine: Engine, part: str | None = None, *, tracing: Tracing, is_remote: bool) -> Engine:
    """The engine with a span around every call; `part` says which part of another engine it is."""
    if isinstance(engine, SurenessEngine):
        return _TracedSurenessEngine(engine, engine, part, tracing=tracing, is_remote=is_remote)
    return _TracedEngine(engine, part, tracing=tracing, is_remote=is_remote)
