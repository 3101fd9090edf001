"""A chat model's server for tests and benchmarks: streams what it is told, over real HTTP, or misbehaves.

What it does is a function from a request to steps: bytes to send, an event to wait for, or a pause. After the last
step it closes the connection; with `keeps_open` only where there was no step.
"""

from __future__ import annotations

import json
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FakeLLM", "Request", "chunk", "chunked", "event", "fake_llm", "named", "says", "sse", "streamed", "whole"]

Step = bytes | threading.Event | float
"""Bytes are sent, an event is waited for, a number is a pause in seconds."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


Behaviour = Callable[[Request], Iterable[Step]]

HEAD = {"id": "chatcmpl-llm-1", "created": 1700000000, "model": "llm-1", "system_fingerprint": "fp_1"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def http(status: int, body: object, *, headers: str = "", content_type: str = "application/json") -> bytes:
    """A whole reply."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    return head.encode() + content


def whole(*messages: object, finish: str = "stop", **more: object) -> bytes:
    """A completion with a choice for each message; a text is an assistant's."""
    choices = []
    for index, message in enumerate(messages):
        said = {"role": "assistant", "content": message, "refusal": None} if isinstance(message, str) else message
        choices.append({"index": index, "message": said, "logprobs": None, "finish_reason": finish})
    return http(200, {**HEAD, "object": "chat.completion", "choices": choices, "usage": USAGE, **more})


def chunk(delta: object, *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a stream with one choice."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish, **more}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def event(value: object) -> bytes:
    """An event with this JSON, or this text."""
    return f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode()


def named(value: dict[str, Any]) -> bytes:
    """An event that says what it is, by its `type`."""
    return f"event: {value.get('type')}\ndata: {json.dumps(value)}\n\n".encode()


def chunked(data: bytes) -> bytes:
    """One chunk of a body of chunks."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n" if data else b""


SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
SSE_END = b"0\r\n\r\n"


def sse(*steps: bytes | str | dict[str, Any] | threading.Event | float, ends: bool = True) -> Iterator[Step]:
    """A stream of these: documents become events, bytes go as they are; then `[DONE]`, unless told not to."""
    yield SSE_HEAD
    for step in steps:
        yield (
            chunked(event(step))
            if isinstance(step, (dict, str))
            else chunked(step)
            if isinstance(step, bytes)
            else step
        )
    if ends:
        yield chunked(event("[DONE]")) + SSE_END


def streamed(texts: Sequence[str], *, pause_s: float = 0.0, usage: bool = False) -> Iterator[Step]:
    """A streamed answer, a chunk for each text."""
    steps: list[Any] = [chunk({"role": "assistant", "content": ""})]
    for text in texts:
        steps += [chunk({"content": text}), *([pause_s] if pause_s else [])]
    steps.append(chunk({}, finish="stop"))
    if usage:
        steps.append({**chunk({}), "choices": [], "usage": USAGE})
    return sse(*steps)


def says(text: str) -> Behaviour:
    """A model that always says this, word by word when streamed."""
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1][:-1]

    def behave(request: Request) -> Iterable[Step]:
        if request.path.endswith("/models"):
            return [http(200, {"object": "list", "data": [{"id": "llm-1", "object": "model", "owned_by": "us"}]})]
        if not request.body.get("stream"):
            return [whole(*[text] * request.body.get("n", 1))]
        options = request.body.get("stream_options") or {}
        return streamed(words, usage=bool(options.get("include_usage")))

    return behave


@dataclass
class FakeLLM:
    """The server. `behave` may be changed while it runs; `requests` are what it got."""

    behave: Behaviour = field(default_factory=lambda: says("Mix flour and water."))
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port = 0
        self.keeps_open = False
        self.connections = 0
        self._open: set[socket.socket] = set()
        self.tls: ssl.SSLContext | None = None
        self.hung_up = threading.Event()
        """Set when a client breaks a call off."""
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def start(self) -> None:
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                fake._serve(self.connection, self.rfile)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            request_queue_size = 1024

            def get_request(self) -> Any:
                connection, address = super().get_request()
                return (fake.tls.wrap_socket(connection, server_side=True) if fake.tls else connection), address

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hung up is not worth a word."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.server_close()

    def _serve(self, connection: socket.socket, lines: Any) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        self._open.add(connection)
        try:
            while (request := _read(lines)) is not None:
                self.requests.append(request)
                if not self._answer(connection, request) or not self.keeps_open:
                    return
        finally:
            self._open.discard(connection)

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        """False when there was nothing to say, or the client has hung up."""
        has_said = False
        try:
            for step in self.behave(request):
                if isinstance(step, bytes):
                    connection.sendall(step)
                elif not self._wait(connection, step):
                    return False
                has_said = True
        except OSError:
            self.hung_up.set()
            return False
        return has_said

    def _wait(self, connection: socket.socket, step: threading.Event | float) -> bool:
        """False when the client hangs up meanwhile, or the server is stopped."""
        poller = select.poll()
        poller.register(connection, select.POLLRDHUP)
        if isinstance(step, (int, float)):
            if poller.poll(step * 1000):
                self.hung_up.set()
                return False
            return not self._stopping.is_set()
        while not step.is_set():
            if self._stopping.is_set():
                return False
            if poller.poll(5):
                self.hung_up.set()
                return False
        return True


def _read(lines: Any) -> Request | None:
    with suppress(OSError, ValueError):
        method, path, _ = lines.readline().decode().split()
        headers = {}
        while (line := lines.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", "0"))
        return Request(method, path, headers, _body(lines.read(size), headers) if size else None)
    return None


def _body(content: bytes, headers: dict[str, str]) -> Any:
    """JSON as what it says, a form as its bytes."""
    return content if headers.get("content-type", "").startswith("multipart/") else json.loads(content)


@contextmanager
def fake_llm(behave: Behaviour | None = None) -> Iterator[FakeLLM]:
    fake = FakeLLM(*([behave] if behave else []))
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()
