"""Answers `POST /moderate` with what it is told to, for replies that the real service does not give on demand."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DECISION = {
    "id": "mod_1",
    "target": "prompt",
    "safety": "safe",
    "categories": [],
    "category_names": [],
    "refusal": None,
    "scores": {"safe": 0.98, "controversial": 0.01, "unsafe": 0.01},
    "action": "allow",
    "allowed": True,
    "policy": "balanced",
    "message": None,
    "engine": "vllm",
    "model": "Qwen/Qwen3Guard-Gen-4B",
    "degraded": False,
    "cached": False,
    "windows": 1,
    "span": None,
    "latency_ms": 20.1,
}


class FakeService:
    """In a thread, on a free port. `replies` are given one after the other, the last one again and again."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[dict[str, str], Any]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                """Nothing on stderr."""

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fake.requests.append(({name.lower(): value for name, value in self.headers.items()}, json.loads(raw)))
                status, headers, body = fake.replies.pop(0) if len(fake.replies) > 1 else fake.replies[0]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def reply(self, body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Adds a reply; bytes are sent as they are, anything else as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies.append((status, headers or {}, raw))

    def decide(self, **changes: object) -> None:
        """Adds a decision with these fields changed."""
        self.reply({**DECISION, **changes})

    def refuse(
        self, status: int, kind: str, *, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        """Adds an error in the service's shape."""
        error = {"type": kind, "message": "A sentence.", "param": param}
        self.reply({"error": error}, status=status, headers=headers)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
