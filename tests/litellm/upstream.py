"""A language model for tests: an OpenAI server that answers what the prompt tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Model", "model_server"]

_CHUNK_CHARS = 4
"""About one token."""


Said = str | Mapping[str, Any]
"""A text, or a whole message: `content`, `reasoning_content`, `tool_calls`."""


class Model:
    """What it was asked, and what it will say: `answers` by a word of the prompt, one for each choice."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Any] = []
        self.answers: dict[str, Sequence[Said]] = {}

    def said(self, body: Any) -> Sequence[Said]:
        prompt = json.dumps(body, ensure_ascii=False)
        found = next((texts for word, texts in self.answers.items() if word in prompt), ("Fine.",))
        return found[: body.get("n") or 1]


def _message(said: Said) -> Mapping[str, Any]:
    return {"content": said} if isinstance(said, str) else {"content": None, **said}


def _whole(answers: Sequence[Said]) -> dict[str, object]:
    choices = [
        {"index": index, "message": {"role": "assistant", **_message(said)}, "finish_reason": "stop"}
        for index, said in enumerate(answers)
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}


def _chunks(answers: Sequence[Said]) -> Iterator[dict[str, object]]:
    """The choices by turns, a token of each: thoughts, then tool calls, then the text."""

    def chunk(index: int, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, object]:
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
        return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    messages = [_message(said) for said in answers]
    for index, message in enumerate(messages):
        yield chunk(index, {"role": "assistant", "content": ""})
        for call in message.get("tool_calls", ()):
            yield chunk(index, {"tool_calls": [{"index": 0, **call}]})
    for field in ("reasoning_content", "content"):
        texts = [message.get(field) or "" for message in messages]
        for start in range(0, max(map(len, texts)), _CHUNK_CHARS):
            for index, text in enumerate(texts):
                if part := text[start : start + _CHUNK_CHARS]:
                    yield chunk(index, {field: part})
    for index in range(len(messages)):
        yield chunk(index, {}, "stop")


@contextmanager
def model_server() -> Iterator[Model]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.asked.append(body)
            answers = model.said(body)
            self.send_response(200)
            if body.get("stream"):
                events = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(answers)]
                self._send("text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode())
            else:
                self._send("application/json", json.dumps(_whole(answers)).encode())

        def _send(self, kind: str, body: bytes) -> None:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model = Model(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, name="model-server")
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
