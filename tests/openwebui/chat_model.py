"""An OpenAI-compatible chat model that says what it is asked to say, without the prompt having the words in it."""

from __future__ import annotations

import codecs
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["MODEL", "USE_THE_TOOL", "ChatModel", "chat_model", "say"]

MODEL = "chat-model"
USE_THE_TOOL = "Please look it up."
"""A prompt that gets some text and a call of the first tool, and then the usual answer."""
_MARK = "Please decode: "
_CHUNK = 3


def say(answer: str) -> str:
    """The prompt that gets this answer."""
    return _MARK + codecs.encode(answer, "rot13")


class ChatModel:
    """What has reached the model, after all filters, and where it is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[dict[str, Any]] = []


def _answer(request: Mapping[str, Any]) -> str:
    messages = request.get("messages") or request.get("input") or []
    content = messages[-1].get("content") or ""
    if isinstance(content, list):
        content = " ".join(part.get("text", "") for part in content)
    _, mark, wanted = content.partition(_MARK)
    return codecs.decode(wanted, "rot13") if mark else "Bread is made of flour and water."


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        model = {"id": MODEL, "object": "model", "created": 1, "owned_by": "tests"}
        self._send({"object": "list", "data": [model]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.endswith(("/chat/completions", "/responses", "/messages")):
            self.send_error(404)
            return
        self.server.model.asked.append(request)
        answer = _answer(request)
        events = _responses(answer) if self.path.endswith("/responses") else _chunks(answer)
        if request["messages" if "messages" in request else "input"][-1].get("content") == USE_THE_TOOL:
            events = _call(request["tools"][0]["function"]["name"])
        if request.get("stream"):
            self._stream(events, ended=b"" if self.path.endswith("/responses") else b"data: [DONE]\n\n")
        elif self.path.endswith("/responses"):
            self._send(list(events)[-1]["response"])
        else:
            message = {"role": "assistant", "content": answer}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send({"id": "c", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage})

    def _send(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(body)

    def _stream(self, events: Iterator[dict[str, Any]], *, ended: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for event in events:
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.write(ended)


def _pieces(answer: str) -> list[str]:
    """Pieces of three characters, so that words are cut in two."""
    return [answer[at : at + _CHUNK] for at in range(0, len(answer), _CHUNK)]


def _chunks(answer: str) -> Iterator[dict[str, Any]]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    yield {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    for piece in _pieces(answer):
        yield {**head, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def _call(tool: str) -> Iterator[dict[str, Any]]:
    """An answer that says something and then calls a tool."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": tool, "arguments": "{}"}}
    for delta in ({"content": "I look it up."}, {"tool_calls": [call]}):
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}


def _responses(answer: str) -> Iterator[dict[str, Any]]:
    """The events of the Responses API, as openai/openai-openapi has them."""
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    message = {"type": "message", "id": "msg_1", "role": "assistant"}
    part = {"type": "output_text", "text": answer, "annotations": []}
    item = {**message, "status": "completed", "content": [part]}
    response = {"id": "resp_1", "object": "response", "model": MODEL, "status": "in_progress", "output": []}
    yield {"type": "response.created", "response": response}
    added = {**message, "status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": added}
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for piece in _pieces(answer):
        yield {"type": "response.output_text.delta", **place, "delta": piece}
    yield {"type": "response.output_text.done", **place, "text": answer}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": {**response, "status": "completed", "output": [item]}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    model: ChatModel


@contextmanager
def chat_model() -> Iterator[ChatModel]:
    """The model on a free port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.model = ChatModel(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
