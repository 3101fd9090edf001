"""Every call to a model, whatever it is for: a span of its own, and a server that learns of it. With the real SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from apps import client_of, keys
from fake_guard_server import FakeServer, wait_until
from fake_guard_server import running as serving
from fake_llm import FakeLLM, fake_llm, http
from fakes import FakeEngine
from flask.testing import FlaskClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from scored_guard import scored

from moderation_service.config.settings import Settings, Url
from moderation_service.observability.tracing import create_tracing
from moderation_service.web.service import build_service

pytestmark = pytest.mark.deploy

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
KEY = "key-of-this-service"
HELLO = [{"role": "user", "content": "hello"}]
ASKED: dict[str, tuple[str, str, dict[str, object] | None]] = {
    "chat": ("chat", "/v1/chat/completions", {"model": "llm-1", "messages": HELLO}),
    "streamed chat": ("chat", "/v1/chat/completions", {"model": "llm-1", "messages": HELLO, "stream": True}),
    "completion": ("chat", "/v1/completions", {"model": "llm-1", "prompt": "hello"}),
    "response": ("chat", "/v1/responses", {"model": "llm-1", "input": "hello"}),
    "message": ("chat", "/v1/messages", {"model": "llm-1", "max_tokens": 9, "messages": HELLO}),
    "token count": ("chat_upstream", "/v1/messages/count_tokens", {"model": "llm-1", "messages": HELLO}),
    "embedding": ("chat_upstream", "/v1/embeddings", {"model": "llm-1", "input": "hello"}),
    "picture": ("chat_upstream", "/v1/images/generations", {"model": "llm-1", "prompt": "hello"}),
    "list of models": ("chat_upstream", "/v1/models", None),
}


class Traced:
    """A client of a service with traces, and the spans of its requests."""

    def __init__(self, settings: Settings, *, is_faked: bool = True) -> None:
        self._exporter = InMemorySpanExporter()
        self._tracing = create_tracing(version="1", exporter=lambda: self._exporter)
        engine = FakeEngine() if is_faked else None
        self.service = build_service(settings, engine=engine, tracing=self._tracing)
        self._client: FlaskClient = client_of(self.service)

    def ask(self, path: str, body: object, **headers: str) -> Any:
        sent = {"traceparent": TRACEPARENT, **{name.replace("_", "-"): value for name, value in headers.items()}}
        reply = self._client.open(path, method="GET" if body is None else "POST", json=body, headers=sent)
        reply.get_data()
        reply.close()
        return reply

    def spans(self) -> list[ReadableSpan]:
        """All that have ended; there are no more after that."""
        self._tracing.close()
        return list(self._exporter.get_finished_spans())


def named(spans: list[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


def parent_in(span: ReadableSpan) -> str:
    """As what the server was told, if it was told of this span."""
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        yield fake


def settings(llm: FakeLLM, **more: Any) -> Settings:
    return Settings(chat_upstream=Url(llm.url), chat_allow_media=True, **more)


@pytest.mark.parametrize("asked", ASKED)
def test_every_call_to_the_chat_models_server_is_a_span_that_it_learns_of(llm: FakeLLM, asked: str) -> None:
    name, path, body = ASKED[asked]
    traced = Traced(settings(llm))
    traced.ask(path, body, X_Request_Id="r-7", tracestate="a=1", baggage="user=alice")
    spans = traced.spans()
    calls, (request,) = named(spans, name), [span for span in spans if span.kind is SpanKind.SERVER]
    assert len(calls) == len(llm.requests) >= 1
    assert request.context is not None
    for call, received in zip(calls, llm.requests, strict=True):
        assert call.kind is SpanKind.CLIENT
        assert call.parent is not None
        assert call.parent.span_id == request.context.span_id
        assert call.attributes is not None
        assert call.attributes["http.response.status_code"] == 200
        assert received.headers["traceparent"] == parent_in(call)
        assert (received.headers["tracestate"], received.headers["x-request-id"]) == ("a=1", "r-7")
        assert "baggage" not in received.headers
    assert f"{request.context.trace_id:032x}" == TRACE


@pytest.mark.parametrize("asked", ["embedding", "token count", "list of models"])
@pytest.mark.parametrize(("status", "error_type"), [(503, "refused"), (None, "chat_model_error")])
def test_the_span_of_a_call_that_fails_says_so(llm: FakeLLM, asked: str, status: int | None, error_type: str) -> None:
    llm.behave = lambda request: [] if status is None else [http(status, {"error": "hello"})]
    name, path, body = ASKED[asked]
    traced = Traced(settings(llm))
    traced.ask(path, body)
    (call,) = named(traced.spans(), name)
    assert call.attributes is not None
    assert (call.attributes.get("http.response.status_code"), call.attributes["error.type"]) == (status, error_type)
    assert call.status.status_code is StatusCode.ERROR
    assert "hello" not in call.to_json()


@pytest.mark.parametrize("asked", ASKED)
def test_a_trace_state_with_a_key_of_ours_does_not_reach_the_chat_models_server(llm: FakeLLM, asked: str) -> None:
    _, path, body = ASKED[asked]
    traced = Traced(settings(llm, api_keys=keys(KEY)))
    traced.ask(path, body, X_API_Key=KEY, tracestate=f"vendor={KEY},b=2")
    calls = [span for span in traced.spans() if span.kind is SpanKind.CLIENT]
    assert [one.headers["traceparent"] for one in llm.requests] == [parent_in(call) for call in calls]
    assert not any(KEY in str(one.headers) for one in llm.requests)


@pytest.mark.parametrize(
    ("traceparent", "tracestate"),
    [
        ("", "a=1"),
        ("\u00e9" * 40, "a=1"),
        ("0" * 100_000, "a=1"),
        (f"00-{TRACE}-{PARENT}-01-more", "a=1"),
        (f"ff-{TRACE}-{PARENT}-01", "a=1"),
        (f"00-{TRACE}-{PARENT}-0g", "a=1"),
        (f"00-{'0' * 32}-{PARENT}-01", "a=1"),
        (f"00-{TRACE}-{'0' * 16}-01", "a=1"),
        (f"{TRACEPARENT},{TRACEPARENT}", ",".join(["a=1"] * 5000)),
    ],
)
def test_what_is_no_trace_begins_one_here(llm: FakeLLM, traceparent: str, tracestate: str) -> None:
    traced = Traced(settings(llm))
    assert traced.ask(*ASKED["chat"][1:], traceparent=traceparent, tracestate=tracestate).status_code == 200
    (call,) = named(traced.spans(), "chat")
    assert call.context is not None
    assert f"{call.context.trace_id:032x}" != TRACE
    assert llm.requests[0].headers["traceparent"] == parent_in(call)
    assert "tracestate" not in llm.requests[0].headers


@pytest.mark.parametrize("state", ["no pairs", "a=1\tb", "x" * 600, ",".join(["a=1"] * 40), "=,=;", "\u00e9=1"])
def test_a_trace_state_that_is_none_costs_no_answer(llm: FakeLLM, state: str) -> None:
    traced = Traced(settings(llm))
    assert traced.ask(*ASKED["chat"][1:], tracestate=state).status_code == 200
    (call,) = named(traced.spans(), "chat")
    assert llm.requests[0].headers["traceparent"] == parent_in(call)
    assert len(llm.requests[0].headers.get("tracestate", "")) <= 512


def test_a_trace_that_is_not_sampled_is_still_passed_on(llm: FakeLLM) -> None:
    traced = Traced(settings(llm))
    traced.ask(*ASKED["chat"][1:], traceparent=f"00-{TRACE}-{PARENT}-00")
    assert traced.spans() == []
    received = llm.requests[0].headers["traceparent"]
    assert (received[:35], received[-3:]) == (f"00-{TRACE}", "-00")


def test_connections_to_the_chat_models_server_are_used_again(llm: FakeLLM) -> None:
    def behave(request: Any) -> list[bytes]:
        return [http(200, {"object": "list", "data": []})]

    llm.behave, llm.keeps_open = behave, True
    traced = Traced(settings(llm))
    for _ in range(3):
        traced.ask(*ASKED["embedding"][1:])
        traced.ask(*ASKED["list of models"][1:])
    assert (len(named(traced.spans(), "chat_upstream")), len(llm.requests), llm.connections) == (6, 6, 1)


def test_each_model_of_a_cascade_has_a_span_and_learns_of_it() -> None:
    with serving(scored("small")) as small, serving(scored("large")) as large:
        made = Settings(
            engine="cascade",
            small_upstreams=(Url(small.url),),
            upstreams=(Url(large.url),),
            cascade_safe=0.9,
            cascade_unsafe=0.6,
            cascade_sample=1.0,
        )
        traced = Traced(made, is_faked=False)
        try:
            traced.ask("/moderate", {"prompt": "small=0.6,0.3,0.1 large=0,0,1"}, tracestate="a=1")
            traced.ask("/moderate", {"prompt": "small=0.99,0.01,0 large=1,0,0"})
            assert wait_until(lambda: "small=0.99" in str(questions(large)))
            spans = named(traced.spans(), "judge")
        finally:
            traced.service.moderator.engine.close()
    parts = [(span.attributes or {}).get("moderation.part") for span in spans]
    assert parts == ["small", "large", None, "small", None]
    first, second, both = spans[:3]
    assert both.kind is SpanKind.INTERNAL
    assert both.context is not None
    for span, server in ((first, small), (second, large)):
        assert span.kind is SpanKind.CLIENT
        assert span.parent is not None
        assert span.parent.span_id == both.context.span_id
        assert questions(server)[0].headers["traceparent"] == parent_in(span)
        assert questions(server)[0].headers["tracestate"] == "a=1"
    # What is sampled is nobody's request.
    assert "traceparent" not in questions(large)[-1].headers


def questions(server: FakeServer) -> list[Any]:
    return [one for one in server.requests if one.path == "/v1/chat/completions"]
