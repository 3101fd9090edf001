"""A language model for tests: an OpenAI server that answers what the prompt tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Model", "model_server"]

_CHUNK_CHARS = 4
"""About one token."""


class Model:
    """What it was asked, and what it will say: `answers` by a word of the prompt, one text per choice."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Any] = []
        self.answers: dict[str, Sequence[str]] = {}

    def texts(self, body: Any) -> Sequence[str]:
        prompt = json.dumps(body, ensure_ascii=False)
        found = next((texts for word, texts in self.answers.items() if word in prompt), ("Fine.",))
        return found[: body.get("n") or 1]


def _whole(texts: Sequence[str]) -> dict[str, object]:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}


def _chunks(texts: Sequence[str]) -> Iterator[dict[str, object]]:
    """The choices by turns, a token of each."""

    def chunk(index: int, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, object]:
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
        return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    for index in range(len(texts)):
        yield chunk(index, {"role": "assistant", "content": ""})
    for start in range(0, max(map(len, texts)), _CHUNK_CHARS):
        for index, text in enumerate(texts):
            if part := text[start : start + _CHUNK_CHARS]:
                yield chunk(index, {"content": part})
    for index in range(len(texts)):
        yield chunk(index, {}, "stop")


@contextmanager
def model_server() -> Iterator[Model]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.asked.append(body)
            texts = model.texts(body)
            self.send_response(200)
            if body.get("stream"):
                events = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(texts)]
                self._send("text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode())
            else:
                self._send("application/json", json.dumps(_whole(texts)).encode())

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
