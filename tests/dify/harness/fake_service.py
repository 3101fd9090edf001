"""Answers `POST /moderate` with what it is told to, for replies that the real service does not give on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
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
    "coverage": None,
    "latency_ms": 20.1,
}


@dataclass(frozen=True)
class Reply:
    """What is answered. `drip_s` is the pause after each byte, of the head too; without a status the line goes dead."""

    status: int | None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0.0

    def raw(self) -> bytes:
        """The whole answer as it goes over the wire."""
        lines = {"Content-Length": str(len(self.body)), "Connection": "close", **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} X\r\n{head}\r\n".encode() + self.body


class FakeService:
    """In a thread, on a free port. `replies` are given one after the other, the last one again and again."""

    def __init__(self, *, port: int = 0) -> None:
        self.replies: list[Reply] = []
        self.requests: list[tuple[dict[str, str], Any]] = []
        self.paths: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                """Nothing on stderr."""

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fake.paths.append(self.path)
                fake.requests.append(({name.lower(): value for name, value in self.headers.items()}, json.loads(raw)))
                reply = fake.replies.pop(0) if len(fake.replies) > 1 else fake.replies[0]
                self.close_connection = True
                if reply.status is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                step = 1 if reply.drip_s else 65536
                raw = reply.raw()
                with suppress(OSError):  # whoever asked may have given up
                    for start in range(0, len(raw), step):
                        self.wfile.write(raw[start : start + step])
                        time.sleep(reply.drip_s)

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def reply(
        self, body: object, *, status: int = 200, headers: dict[str, str] | None = None, drip_s: float = 0.0
    ) -> None:
        """Adds a reply; bytes are sent as they are, anything else as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies.append(Reply(status, raw, headers or {}, drip_s))

    def hang_up(self) -> None:
        """Adds a reply that is none: the connection ends, as when the service is restarted."""
        self.replies.append(Reply(None))

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
