"""Traces: the real SDK in the real service, a stand-in for the collector, and what must not be in a span."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from fake_guard_server import BOMB, BREAD, FakeServer, Request, reply
from fake_llm import FakeLLM, fake_llm, http
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from processes import SERVE_FAKE, SERVE_LITE, Running, free_port, running

from moderation_service.observability.tracing import create_tracing
from moderation_service.web.lifecycle import RequestState
from moderation_service.web.tracing import TracingLayer

from .collector import Collector, Span, collecting

pytestmark = pytest.mark.deploy

MARKER = "marker-7261"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
SERVER, CLIENT, INTERNAL = 2, 3, 1


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


def traced(collector: Collector, *flags: str, **variables: str):  # type: ignore[no-untyped-def]
    return running(
        *("--workers", "1", "--traces", *flags),
        command=SERVE_LITE if "--engine" in flags else SERVE_FAKE,
        **{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50", **variables},
    )


def named(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found


def access_line(service: Running) -> dict[str, object]:
    return [line for line in service.log if line.get("event") == "request"][-1]


def test_a_request_is_a_span_in_the_callers_trace_and_the_engine_its_child(collector: Collector) -> None:
    with traced(collector) as service:
        sent = service.request("POST", "/moderate", {"prompt": "bomb"}, traceparent=SAMPLED, X_Request_Id="r-1")
        spans = collector.wait_for(2)
        line = access_line(service)
    request, judge = named(spans, "POST /moderate"), named(spans, "judge")
    assert (request.trace_id, request.parent_id, request.kind) == (TRACE, PARENT, SERVER)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/moderate",
        "http.response.status_code": 200,
        "moderation.request_id": "r-1",
        "moderation.id": sent.json["id"],
        "moderation.target": "prompt",
        "moderation.safety": "unsafe",
        "moderation.action": "block",
        "moderation.policy": "balanced",
        "moderation.engine": "fake",
        "moderation.degraded": False,
        "moderation.cached": False,
    }
    assert (judge.trace_id, judge.parent_id, judge.kind) == (TRACE, request.span_id, INTERNAL)
    assert judge.attributes == {
        "moderation.engine": "fake",
        "moderation.model": "fake-1",
        "moderation.detail": "full",
        "moderation.items": 1,
        "moderation.failures": 0,
    }
    assert request.resource["service.name"] == "moderation-service"
    assert (line["trace_id"], line["span_id"]) == (TRACE, request.span_id)


def test_without_a_trace_of_the_callers_one_begins_here(collector: Collector) -> None:
    with traced(collector, OTEL_SERVICE_NAME="guard", OTEL_RESOURCE_ATTRIBUTES="team=trust") as service:
        for traceparent in ("", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"{SAMPLED}, {SAMPLED}"):
            service.request("POST", "/moderate", {"prompt": "bread"}, traceparent=traceparent)
        requests = [span for span in collector.wait_for(5) if span.kind == SERVER]
    assert len({span.trace_id for span in requests} - {TRACE}) == 4
    assert {span.parent_id for span in requests} == {""}
    assert (requests[0].resource["service.name"], requests[0].resource["team"]) == ("guard", "trust")


def test_the_model_server_learns_of_the_trace_also_from_the_threads_of_a_batch(collector: Collector) -> None:
    model = FakeServer()
    model.start()
    try:
        with traced(collector, "--engine", "vllm", "--upstream", model.url) as service:
            inputs = {"inputs": [{"prompt": text} for text in (BREAD, BOMB, "one", "two", "three", "four")]}
            assert service.request("POST", "/moderate", inputs, traceparent=SAMPLED, tracestate="a=1").status == 200
            spans = collector.wait_for(2)
    finally:
        model.stop()
    judge = named(spans, "judge")
    asked = [one for one in model.requests if "traceparent" in one.headers]
    questions = [one for one in asked if one.path == "/v1/chat/completions"]
    assert len(questions) >= 6
    assert {one.headers["traceparent"] for one in questions} == {f"00-{TRACE}-{judge.span_id}-01"}
    assert {one.headers["tracestate"] for one in questions} == {"a=1"}
    assert judge.kind == CLIENT


def chats(collector: Collector, llm: FakeLLM, *bodies: dict[str, object], spans: int) -> list[Span]:
    """The spans of chats within the same trace of the caller's, in the order in which they ended."""
    with traced(collector, "--chat-upstream", llm.url) as service:
        for body in bodies:
            asked = {"model": "llm-1", "messages": [{"role": "user", "content": "hello"}], **body}
            service.request("POST", "/v1/chat/completions", asked, traceparent=SAMPLED, tracestate="a=1")
        return collector.wait_for(spans)


@pytest.mark.parametrize("stream", [False, True])
def test_a_guarded_chat_has_a_span_for_the_call_to_its_model_which_learns_of_the_trace(
    collector: Collector, stream: bool
) -> None:
    with fake_llm() as llm:
        spans = chats(collector, llm, {"stream": stream}, spans=4)
    call, request = named(spans, "chat"), named(spans, "POST /v1/chat/completions")
    assert (call.trace_id, call.parent_id, call.kind) == (TRACE, request.span_id, CLIENT)
    assert call.attributes == {"http.response.status_code": 200}
    asked = llm.requests[0].headers
    assert asked["traceparent"] == f"00-{TRACE}-{call.span_id}-01"
    assert asked["tracestate"] == "a=1"


def test_the_span_of_a_chat_says_how_it_failed(collector: Collector) -> None:
    with fake_llm() as llm:
        llm.behave = lambda request: [http(500, {"error": MARKER})] if len(llm.requests) == 1 else []
        spans = chats(collector, llm, {}, {}, spans=5)
    failed = [span for span in spans if span.name == "chat"]
    assert [span.attributes for span in failed] == [
        {"http.response.status_code": 500, "error.type": "chat_model_error"},
        {"error.type": "chat_model_error"},
    ]
    assert all(span.failed for span in failed)
    assert not any(MARKER.encode() in raw for raw in collector.raw)


def test_a_failure_is_marked_as_one_and_its_message_stays_here(collector: Collector) -> None:
    def broken(request: Request):  # type: ignore[no-untyped-def]
        return reply(500, {"error": MARKER})

    model = FakeServer(broken)
    model.start()
    try:
        with traced(collector, "--engine", "vllm", "--upstream", model.url) as service:
            assert service.moderate(f"bread {MARKER}")["degraded"] is True
            request, *calls = sorted(collector.wait_for(3), key=lambda span: span.kind != SERVER)
            model.stop()
    finally:
        model.stop()
    assert (request.failed, request.attributes["moderation.degraded"]) == (False, True)
    failed = [span for span in calls if span.failed]
    assert [(span.attributes["moderation.engine"], span.attributes["error.type"]) for span in failed] == [
        ("vllm", "engine_unavailable")
    ]


def test_nothing_that_was_sent_is_in_a_span(collector: Collector) -> None:
    with traced(collector, "--log-level", "debug") as service:
        service.moderate(f"bread {MARKER}")
        assert service.request("POST", "/moderate", {"prompt": f"bug {MARKER}"}).status == 500
        service.request("POST", "/moderate", {"prompt": "bread", MARKER: 1})
        service.request("GET", f"/{MARKER}?{MARKER}", User_Agent=MARKER, baggage=f"a={MARKER}")
        service.raw(f"{MARKER.upper()} /moderate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        service.request("POST", "/moderate", {"prompt": "bread"}, X_Request_Id=f"{MARKER} with spaces")
        spans = [span for span in collector.wait_for(8) if span.kind == SERVER]
        assert not any(MARKER in line.lower() for line in service.lines)
    assert not any(MARKER.encode() in raw.lower() for raw in collector.raw)
    assert {span.name for span in spans} == {"POST /moderate", "GET unmatched"}
    assert [span.attributes["http.response.status_code"] for span in spans if span.failed] == [500]
    assert {span.events for span in spans} == {0}


def test_a_header_with_a_line_end_in_it_does_not_reach_the_model_server(collector: Collector) -> None:
    model = FakeServer()
    model.start()
    try:
        with traced(collector, "--engine", "vllm", "--upstream", model.url) as service:
            for state in ("a=b\x0bX-Evil: 1", "a=\u00e9", "a=" + "x" * 600, "=,=,;", "a=1,a=2"):
                sent = json.dumps({"prompt": f"bread {state!r}"}).encode()
                head = "POST /moderate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                head += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n"
                head += f"traceparent: {SAMPLED}\r\ntracestate: {state}\r\n\r\n"
                assert service.raw(head.encode() + sent).startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
    finally:
        model.stop()
    assert not any("x-evil" in one.headers for one in model.requests)


def test_probes_and_scrapes_are_not_traced(collector: Collector) -> None:
    with traced(collector) as service:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert service.request("GET", path).status == 200
        service.request("GET", "/static/page.js")
        service.moderate("bread")
        spans = collector.wait_for(3)
    assert [span.name for span in spans if span.kind == SERVER] == ["GET /static/<path:filename>", "POST /moderate"]


def test_the_last_spans_are_sent_when_the_service_ends(collector: Collector) -> None:
    with traced(collector, OTEL_BSP_SCHEDULE_DELAY="600000") as service:
        service.moderate("bread")
        assert service.stop() == 0
    assert {span.name for span in collector.spans} >= {"POST /moderate", "judge"}


@pytest.mark.parametrize("variables", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_SAMPLER": "always_off"}])
def test_the_usual_variables_switch_it_off(collector: Collector, variables: dict[str, str]) -> None:
    with traced(collector, **variables) as service:
        service.moderate("bread")
        assert service.stop() == 0
    assert collector.spans == []


def test_a_collector_that_is_away_costs_no_verdict_and_does_not_keep_it_from_ending() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with running("--workers", "1", "--traces", OTEL_EXPORTER_OTLP_ENDPOINT=nobody) as service:
        for _ in range(20):
            assert service.moderate("bread")["action"] == "allow"
        assert service.stop() == 0


def test_a_reply_that_is_made_while_it_is_sent_is_one_span_to_its_end() -> None:
    exporter = InMemorySpanExporter()
    tracing = create_tracing(version="1", exporter=lambda: exporter)

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        RequestState.of(environ).fields = {"action": "allow"}
        start_response("200 OK", [])

        def parts() -> Iterator[bytes]:
            for part in (b"one", b"two"):
                with tracing.begin_call(is_remote=False):
                    yield part

        return parts()

    environ = {"PATH_INFO": "/", "REQUEST_METHOD": "POST", "moderation.request": RequestState("r-1")}
    body = TracingLayer(app, tracing)(environ, lambda *_: lambda _: None)
    assert list(body) == [b"one", b"two"]
    body.close()  # type: ignore[attr-defined]
    tracing.close()
    *judged, request = exporter.get_finished_spans()
    assert {span.parent.span_id for span in judged} == {request.context.span_id}
    assert (request.name, request.attributes["moderation.action"], len(judged)) == ("POST unmatched", "allow", 2)


def test_a_client_that_leaves_in_the_middle_ends_the_span_too() -> None:
    exporter = InMemorySpanExporter()
    tracing = create_tracing(version="1", exporter=lambda: exporter)

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        start_response("200 OK", [])
        return (part for part in (b"one", b"two"))

    environ = {"PATH_INFO": "/", "REQUEST_METHOD": "POST", "moderation.request": RequestState("r-1")}
    body = TracingLayer(app, tracing)(environ, lambda *_: lambda _: None)
    assert next(iter(body)) == b"one"
    body.close()  # type: ignore[attr-defined]
    tracing.close()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.attributes["http.response.status_code"]) == ("POST unmatched", 200)


def test_without_the_setting_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys\n"
        "from moderation_service.web import create_app\n"
        "client = create_app().test_client()\n"
        "assert client.post('/moderate', json={'prompt': 'bread'}).status_code == 200\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
