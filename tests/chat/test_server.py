"""The guarded chat as users start it: real processes, real connections, clients that hang up."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_llm import FakeLLM, chunk, fake_llm, says, sse, streamed
from processes import Running, running

SENTENCE = "A sentence that is long enough to be shown. "
STREAMS = 60


@pytest.fixture(scope="module")
def behind() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        yield fake


@pytest.fixture(scope="module")
def service(behind: FakeLLM) -> Iterator[Running]:
    flags = ["--chat-upstream", behind.url, "--threads", str(STREAMS + 10), "--chat-max-streams", str(STREAMS)]
    with running(*flags, "--workers", "1") as started:
        yield started


@pytest.fixture
def llm(behind: FakeLLM) -> FakeLLM:
    behind.hung_up.clear()
    behind.behave = says("Mix flour and water.")
    return behind


def asked(service: Running, *, stream: bool) -> socket.socket:
    """A connection on which a chat was asked for."""
    body = json.dumps({"model": "llm", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}).encode()
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def last_logged(service: Running) -> dict[str, object]:
    """The log line of the request that ended last."""
    end = time.monotonic() + 10
    seen = len(service.log)
    while time.monotonic() < end:
        if lines := [line for line in service.log[seen - 1 :] if "chat" in line]:
            return lines[-1]
        time.sleep(0.01)
    raise AssertionError(service.lines)


def test_a_client_that_hangs_up_in_the_middle_breaks_the_call_off(service: Running, llm: FakeLLM) -> None:
    llm.behave = lambda request: sse(chunk({"content": SENTENCE}), threading.Event())
    with asked(service, stream=True) as connection:
        assert b"200 OK" in connection.recv(65536)
    assert llm.hung_up.wait(30)
    assert last_logged(service)["chat"] == "client_gone"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_before_anything_came_breaks_the_call_off(
    service: Running, llm: FakeLLM, stream: bool
) -> None:
    called = threading.Event()

    def silent(request: object) -> Iterator[threading.Event]:
        called.set()
        yield threading.Event()

    llm.behave = silent
    with asked(service, stream=stream):
        assert called.wait(30)
    assert llm.hung_up.wait(30)


def test_an_answer_that_is_not_streamed_keeps_the_connection(service: Running, llm: FakeLLM) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    for stream in (False, True, False):
        body = json.dumps({"model": "llm", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        assert (reply.status, b"flour" in reply.read()) == (200, True)
    connection.close()


def test_many_streams_at_once_are_all_answered(service: Running, llm: FakeLLM) -> None:
    llm.behave = lambda request: streamed([word + " " for word in (SENTENCE * 4).split()], pause_s=0.005)
    expected = " ".join((SENTENCE * 4).split()) + " "

    def one(number: int) -> str:
        body = {"model": "llm", "stream": True, "messages": [{"role": "user", "content": f"hello {number}"}]}
        reply = service.request("POST", "/v1/chat/completions", body)
        events = [
            line.removeprefix("data: ") for line in reply.body.decode().split("\n\n") if line.startswith("data: ")
        ]
        assert events[-1] == "[DONE]", events
        return "".join(json.loads(data)["choices"][0]["delta"].get("content", "") for data in events[:-1])

    with ThreadPoolExecutor(STREAMS) as clients:
        answers = list(clients.map(one, range(STREAMS)))
    assert answers == [expected] * STREAMS


def test_a_service_that_ends_lets_streams_finish(llm: FakeLLM) -> None:
    gate = threading.Event()
    llm.behave = lambda request: sse(chunk({"content": SENTENCE}), gate, chunk({"content": "Yes."}, finish="stop"))
    with running("--chat-upstream", llm.url, "--workers", "1") as service:
        with asked(service, stream=True) as connection:
            received = connection.recv(65536)
            service.process.terminate()
            gate.set()
            while b"data: [DONE]" not in received:
                received += connection.recv(65536)
        assert b"Yes." in received
        assert service.wait() == 0
