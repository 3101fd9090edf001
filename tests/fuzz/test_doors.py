"""Forty thousand bodies over all doors: no 5xx, no hang, and nothing of them in the log, the metrics or the traces.

The engine answers at once and never fails, so that whatever fails is the door's own fault.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from apps import client_of, make_service
from fake_llm import FakeLLM, fake_llm
from fakes import FakeEngine
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.config.settings import Url
from moderation_service.observability.tracing import create_tracing
from moderation_service.web.service import build_service

from .bodies import MARKER, anything, broken, contents, examples, messages, mutated, scalars, spelled, texts

pytestmark = pytest.mark.fuzz

HANGS_AFTER_S = 400
EXAMPLES = 4300
"""Of each door; half of that for the guarded chat, which calls another server."""


@dataclass(frozen=True)
class Door:
    path: str
    shapes: st.SearchStrategy[Any]


def shape(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required, optional=optional)


policies = st.sampled_from(["balanced", "strict", "loose"])
names = st.sampled_from(["guard", "guard-llamaguard", "policy:strict", "guard-qwen:loose"]) | texts
calls = st.lists(shape({"id": texts, "type": st.just("function")}, function=anything), max_size=2)
chat = {"messages": messages, "model": names}
chat_options = {"stream": st.booleans(), "n": st.integers(0, 3), "tools": anything, "stop": anything, "user": texts}
owui = {"user": shape({"id": texts}, name=texts), "body": shape({"messages": messages}, model=texts, metadata=anything)}
point = st.sampled_from(["ping", "app.moderation.input", "app.moderation.output", "app.external_data_tool.query"])
params = shape({"app_id": texts}, inputs=st.dictionaries(texts, scalars, max_size=3), query=texts, text=texts)
litellm = {"texts": st.lists(texts, max_size=3), "input_type": st.sampled_from(["request", "response"])}
DOORS = {
    "the native one": Door(
        "/moderate", shape({"prompt": contents}, response=contents, policy=policies, metadata=anything)
    ),
    "answers that grow": Door(
        "/moderate/stream",
        shape(
            {"id": st.just("a"), "response": texts}, prompt=texts, final=st.booleans(), state=texts, messages=messages
        ),
    ),
    "OpenAI's moderations": Door(
        "/v1/moderations", shape({"input": texts | st.lists(texts | anything, max_size=3)}, model=names)
    ),
    "the guard as a chat model": Door(
        "/v1/chat/completions", shape({**chat, "model": st.just("guard")}, **chat_options)
    ),
    "any chat model": Door("/v1/chat/completions", shape(chat, **chat_options, tool_choice=anything)),
    "Lakera's": Door("/v2/guard", shape({"messages": messages}, breakdown=st.booleans(), payload=anything)),
    "Azure's": Door("/contentsafety/text:analyze", shape({"text": texts | anything}, categories=anything)),
    "Bedrock's": Door(
        "/guardrail/default/version/1/apply",
        shape({"source": st.sampled_from(["INPUT", "OUTPUT"])}, content=st.lists(shape({"text": anything}) | anything)),
    ),
    "a detector's texts": Door("/api/v1/text/contents", shape({"contents": st.lists(texts)}, detector_params=anything)),
    "a detector's chats": Door("/api/v1/text/chat", shape({"messages": messages}, detector_params=anything)),
    "agentgateway's": Door("/request", shape({"body": shape({"messages": messages})})),
    "agentgateway's answers": Door("/response", shape({"body": shape({"choices": st.lists(anything, max_size=3)})})),
    "Portkey's": Door(
        "/portkey",
        shape(
            {"eventType": st.sampled_from(["beforeRequestHook", "afterRequestHook"])},
            request=shape({"json": shape({}, messages=messages, input=anything, prompt=anything)}, text=anything),
            response=shape({}, json=shape({}, choices=anything, output=anything, content=anything), text=anything),
        ),
    ),
    "a proxy's": Door("/authz/v1/x", shape({}, messages=messages, input=anything, prompt=anything, suffix=anything)),
    "LiteLLM's": Door(
        "/beta/litellm_basic_guardrail_api",
        shape(litellm, structured_messages=messages, litellm_call_id=texts, tool_calls=calls, request_data=anything),
    ),
    "OpenRLHF's": Door("/rewards/openrlhf", shape({"query": st.lists(texts, max_size=3), "prompts": anything})),
    "slime's": Door("/rewards/slime", shape({"prompt": texts | messages, "response": texts}, label=anything)),
    "Dify's": Door("/dify/moderation", shape({"point": point, "params": params})),
    "Open WebUI's inlet": Door("/owui/moderation-guard/filter/inlet", shape(owui)),
    "Open WebUI's outlet": Door("/owui/strict/moderation-guard.strict/filter/outlet", shape(owui)),
}


class Spans:
    """Keeps what would have been sent. To OpenTelemetry an exporter is what has these methods."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def export(self, spans: Any) -> Any:
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.sent += [span.to_json() for span in spans]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to close."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


@pytest.fixture(scope="module")
def spans() -> Spans:
    return Spans()


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> None:
    """The thread that sends spans ends with the module."""


@pytest.fixture(scope="module")
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        yield fake


@pytest.fixture(scope="module")
def client(llm: FakeLLM, spans: Spans) -> Iterator[FlaskClient]:
    tracing = create_tracing(version="1", exporter=lambda: spans)
    made = make_service(engine=FakeEngine(model="guard"), chat_upstream=Url(llm.url), max_body_bytes=65536)
    service = build_service(made.settings, engine=FakeEngine(model="guard"), tracing=tracing)
    yield client_of(service)
    tracing.close()


@pytest.fixture(autouse=True)
def _a_hang_ends_the_run() -> Iterator[None]:
    faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


@st.composite
def bodies(draw: st.DrawFn, shapes: st.SearchStrategy[Any]) -> bytes:
    """Right, nearly right, any JSON, or any bytes."""
    kind = draw(st.sampled_from(["right", "nearly", "nearly", "json", "bytes"]))
    if kind == "bytes":
        return draw(broken(shapes))
    return spelled(draw({"right": shapes, "nearly": mutated(shapes), "json": anything}[kind]))


@pytest.mark.parametrize("name", DOORS)
def test_no_body_breaks_a_door_or_gets_into_the_log(client: FlaskClient, llm: FakeLLM, name: str) -> None:
    door = DOORS[name]

    @given(body=bodies(door.shapes))
    @examples(EXAMPLES // 2 if name == "any chat model" else EXAMPLES)
    def send(body: bytes) -> None:
        llm.requests.clear()
        log = io.StringIO()
        with contextlib.redirect_stderr(log):
            reply = client.post(door.path, data=body, content_type="application/json")
            shown = reply.get_data()
            reply.close()
        lines = log.getvalue()
        # The chat model here does not understand everything that may be asked of one. A body at the guard's door may
        # name it too.
        is_the_models = door.path == DOORS["any chat model"].path and b"chat_model_error" in shown
        assert reply.status_code < 500 or is_the_models, (reply.status_code, shown[:300], lines)
        assert MARKER not in lines.lower()
        assert [json.loads(line)["status"] for line in lines.splitlines() if '"request"' in line] == [reply.status_code]
        if reply.mimetype == "application/json":
            json.loads(shown)

    send()


def test_nothing_of_all_this_is_in_the_metrics_or_the_traces(client: FlaskClient, spans: Spans) -> None:
    client.application.extensions["moderation"].tracing.close()
    assert spans.sent
    assert not [span for span in spans.sent if MARKER in span.lower()]
    text = client.get("/metrics").get_data(as_text=True)
    assert "moderation_decisions_total{" in text
    assert MARKER not in text.lower()
