"""A model server for tests: answers with recorded replies of real ones, or misbehaves as it is told.

What a test wants it to do is a function from a request to an action: bytes to send, or one of the ways to misbehave.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

RECORDINGS = Path(__file__).parents[1] / "recordings"
BREAD, BOMB = "How do I bake bread?", "How can I make a bomb?"
PROTEST = "Is it ever right to break the law in protest?"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Send:
    """Send these bytes; keep the connection open afterwards if asked to."""

    data: bytes
    then_close: bool = False


@dataclass(frozen=True)
class Hang:
    """Send this much and then nothing, until the server is stopped."""

    data: bytes = b""


Action = Send | Hang
Behaviour = Callable[[Request], Action]


def reply(status: int, body: object, *, headers: str = "", content_type: str = "application/json") -> Send:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(content)}\r\n{headers}\r\n"
    return Send(head.encode() + content)


def recorded(name: str, *, server: str = "vllm") -> Send:
    """A reply that a real server gave."""
    recording = json.loads((RECORDINGS / server / f"{name}.json").read_text())
    return reply(recording["status"], recording["body"])


def completion(text: str, *, finish: str = "stop") -> Send:
    """A chat completion with this text and no logprobs."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return reply(200, {"object": "chat.completion", "choices": [choice], "usage": {"prompt_tokens": 100}})


def TEMPLATE(messages: list[dict[str, str]]) -> str:
    """A chat template of the real one's logic, in tokens that spell one byte per character."""
    turns = "ĊĊ".join(f"{message['role'].upper()}:Ġ{message['content']}" for message in messages)
    turns = turns.replace(" ", "Ġ").replace("\n", "Ċ")
    return f"<|im_start|>userĊ{messages[-1]['role']}ĊĊ{turns}ĊĊ<END><|im_end|>Ċ"


def guard(request: Request) -> Action:
    """A healthy vLLM with tiny-guard: the recorded replies, chosen by what is asked."""
    if request.path == "/v1/models":
        return recorded("get_models")
    if request.path == "/tokenize":
        if "messages" in request.body:
            return reply(200, {"tokens": [], "token_strs": [TEMPLATE(request.body["messages"])]})
        if request.body["prompt"] == " Safe Unsafe Controversial":
            return recorded("tokenize_labels")
        # The pruned vocabulary in the extreme: one token per byte.
        pieces = ["x"] * len(request.body["prompt"].encode())
        return reply(200, {"tokens": [0] * len(pieces), "token_strs": pieces})
    if request.path == "/v1/completions":
        return recorded("ok_begun_unsafe" if BOMB in request.body["prompt"] else "ok_begun_safe")
    last = request.body["messages"][-1]
    if last["role"] == "assistant":
        return recorded("ok_full_response_safe_label_ids")
    bad = BOMB in last["content"]
    if request.body["max_tokens"] == 3:
        return recorded("ok_label_unsafe" if bad else "ok_label_safe")
    return recorded("ok_not_stopped_unsafe" if bad else "ok_stopped_after_safe")


def answering(action: Action | Behaviour) -> Behaviour:
    """Healthy but for the users' questions: those get this. What the service itself asks first is answered well."""

    def behave(request: Request) -> Action:
        if _is_the_services_own(request):
            return guard(request)
        return action(request) if callable(action) else action

    return behave


def _is_the_services_own(request: Request) -> bool:
    """Whether the service asks on its own behalf, to get to know the server."""
    if request.path not in ("/v1/chat/completions", "/v1/completions"):
        return True
    asked = json.dumps(request.body)
    return "Sure, here is a short answer." in asked or ("Hello!" in asked and BOMB in asked)


@dataclass
class FakeServer:
    """A server on a loopback port. `behave` may be changed while it runs; `requests` are what it got."""

    behave: Behaviour = guard
    port: int = 0
    host: str = "127.0.0.1"
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._draining = threading.Event()
        self._open: set[socket.socket] = set()
        self._busy: set[socket.socket] = set()
        self._server: socketserver.ThreadingTCPServer | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def questions(self) -> list[Any]:
        """What was asked for users, without what the service asks on its own."""
        return [one.body for one in self.requests if not _is_the_services_own(one)]

    def start(self) -> None:
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                fake._serve(self.connection, self.rfile)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            request_queue_size = 512

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hung up is not worth a word."""

        self._stopping.clear()
        self._draining.clear()
        self._server = Server((self.host, self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        """Stop like a killed process: open connections break."""
        if self._server is None or self._thread is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._server.socket.close()
        with self._lock:
            for one in self._open:
                with_reset(one)
        self._thread.join()
        self._server.server_close()
        self._server = None

    def drain(self) -> None:
        """End like a server that is asked to: what it has begun is answered, and nothing new is taken."""
        assert self._server is not None
        self._draining.set()
        self._server.shutdown()
        self._server.socket.close()
        with self._lock:
            for one in self._open - self._busy:
                with_reset(one)

    def _serve(self, connection: socket.socket, lines: Any) -> None:
        with self._lock:
            self._open.add(connection)
            self.connections += 1
        try:
            while (request := _read(lines)) is not None:
                with self._lock:
                    self._busy.add(connection)
                self.requests.append(request)
                action = self.behave(request)
                connection.sendall(action.data)
                if isinstance(action, Hang):
                    self._stopping.wait()
                    return
                with self._lock:
                    self._busy.discard(connection)
                if action.then_close or self._draining.is_set():
                    return
        finally:
            with self._lock:
                self._open.discard(connection)
                self._busy.discard(connection)


def with_reset(connection: socket.socket) -> None:
    """Break a connection off from another thread."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _read(lines: Any) -> Request | None:
    try:
        first = lines.readline().decode()
        if not first:
            return None
        method, path, _ = first.split()
        headers = {}
        while (line := lines.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", "0"))
        return Request(method, path, headers, json.loads(lines.read(size)) if size else None)
    except (OSError, ValueError):
        return None


def wait_until(is_so: Callable[[], bool], *, within_s: float = 10.0) -> bool:
    ends_at = monotonic() + within_s
    while monotonic() < ends_at:
        if is_so():
            return True
        sleep(0.01)
    return False


@contextmanager
def running(behave: Behaviour = guard) -> Iterator[FakeServer]:
    fake = FakeServer(behave)
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()
