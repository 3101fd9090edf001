"""What the model servers are told of a request: its id, and the trace it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from apps import make_client
from fake_guard_server import BREAD, FakeServer
from fake_llm import FakeLLM, fake_llm

from moderation_service.config.setting import Url

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
CHAT = {"model": "llm-1", "messages": [{"role": "user", "content": BREAD}]}


@pytest.fixture
def guard() -> Iterator[FakeServer]:
    fake = FakeServer()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        yield fake


@pytest.fixture
def client(guard: FakeServer, llm: FakeLLM) -> Iterator[Any]:
    from moderation_service.engines.vllm import UpstreamOptions, VllmEngine
    from moderation_service.observability.propagation import outgoing_lines

    engine = VllmEngine(UpstreamOptions(urls=(guard.url,), outgoing=outgoing_lines(None)))
    yield make_client(engine=engine, chat_upstream=Url(llm.url))
    engine.close()


def headers(server: FakeServer | FakeLLM, name: str) -> list[str | None]:
    """The header of every question."""
    asked = [one for one in server.requests if one.path == "/v1/chat/completions"]
    return [one.headers.get(name) for one in asked]


def test_the_id_of_a_request_reaches_both_servers(client: Any, guard: FakeServer, llm: FakeLLM) -> None:
    assert client.post("/v1/chat/completions", json=CHAT, headers={"X-Request-Id": "chat-7"}).status_code == 200
    assert headers(llm, "x-request-id") == ["chat-7"]
    ids = headers(guard, "x-request-id")
    assert {one.rpartition(".")[0] for one in ids} == {"chat-7"}


def test_no_two_calls_to_the_guard_have_the_same_id(client: Any, guard: FakeServer) -> None:
    # vLLM takes it for the id of its own request, and two at once must not share one.
    inputs = {"inputs": [{"prompt": f"{BREAD} {number}"} for number in range(6)]}
    for _ in range(2):
        assert client.post("/moderate", json=inputs, headers={"X-Request-Id": "twice"}).status_code == 200
    ids = headers(guard, "x-request-id")
    assert len(set(ids)) == len(ids) >= 7
    assert {one.rpartition(".")[0] for one in ids} == {"twice"}


def test_a_health_check_is_no_part_of_the_request_before_it(client: Any, guard: FakeServer) -> None:
    client.get("/policies", headers={"X-Request-Id": "before", "traceparent": TRACEPARENT})
    assert client.get("/readyz", headers={"X-Request-Id": "probe-1"}).status_code == 200
    assert {one.rpartition(".")[0] for one in headers(guard, "x-request-id")} == {"probe-1"}
    assert set(headers(guard, "traceparent")) == {None}


@pytest.mark.parametrize("stream", [False, True])
def test_the_callers_trace_is_passed_on(client: Any, guard: FakeServer, llm: FakeLLM, stream: bool) -> None:
    sent = {"traceparent": TRACEPARENT, "tracestate": "a=1,b=2"}
    client.post("/v1/chat/completions", json={**CHAT, "stream": stream}, headers=sent).get_data()
    for server in (llm, guard):
        assert set(headers(server, "traceparent")) == {TRACEPARENT}
        assert set(headers(server, "tracestate")) == {"a=1,b=2"}


@pytest.mark.parametrize(
    "traceparent",
    [
        "nonsense",
        TRACEPARENT.upper(),
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{TRACEPARENT}, {TRACEPARENT}",
        f"{TRACEPARENT}-more",
    ],
)
def test_what_is_no_trace_is_not_passed_on(client: Any, guard: FakeServer, llm: FakeLLM, traceparent: str) -> None:
    client.post("/v1/chat/completions", json=CHAT, headers={"traceparent": traceparent, "tracestate": "a=1"})
    for server in (llm, guard):
        assert set(headers(server, "traceparent")) == set(headers(server, "tracestate")) == {None}


def test_a_trace_of_a_version_to_come_is_passed_on_as_it_is(client: Any, guard: FakeServer, llm: FakeLLM) -> None:
    sent = f"cc-{TRACE}-{PARENT}-01-what.will=be"
    client.post("/v1/chat/completions", json=CHAT, headers={"traceparent": sent})
    for server in (llm, guard):
        assert set(headers(server, "traceparent")) == {sent}


def test_a_trace_state_that_is_none_is_left_out(client: Any, llm: FakeLLM) -> None:
    sent = {"traceparent": TRACEPARENT, "tracestate": "x" * 600}
    client.post("/v1/chat/completions", json=CHAT, headers=sent)
    client.post("/v1/chat/completions", json=CHAT)
    assert headers(llm, "tracestate") == [None, None]
    assert headers(llm, "traceparent") == [TRACEPARENT, None]
