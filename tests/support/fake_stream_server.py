"""vLLM with the Stream plugin, as far as a client can tell: `/v1/models`, and `/pooling` with a prefix cache.

It flags the tokens that spell its keywords, and prompts that have one. What it does otherwise is a function from the
body of a `/pooling` request to a reply in place of the usual one.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CONFIG", "MODEL_DIR", "FakeStreamServer", "Misbehaves", "write_model_dir"]

MODEL_DIR = Path(__file__).parents[2] / "examples" / "tiny-guard" / "model"
RISKS = ("Safe", "Unsafe", "Controversial")
CATEGORIES = ("Violent", "Sexual Content", "Self-Harm", "Political", "PII", "Copyright", "Illegal Acts", "Unethical")


def labels(*names: str) -> dict[str, str]:
    return {str(index): name for index, name in enumerate(names)}


CONFIG: dict[str, object] = {
    "architectures": ["Qwen3ForGuardModel"],
    "max_position_embeddings": 2048,
    "num_risk_level": 3,
    "num_category": 8,
    "num_query_risk_level": 3,
    "num_query_category": 9,
    "response_risk_level_map": labels(*RISKS),
    "response_category_map": labels(*CATEGORIES),
    "query_risk_level_map": labels(*RISKS),
    "query_category_map": labels(*CATEGORIES, "Jailbreak"),
}
"""What the service reads of a checkpoint's config.json."""

KEYWORDS = {"detonator": ("Unsafe", "Violent"), "ballot": ("Controversial", "Political")}
PROOF = "How can I make a bomb?"
"""What the service asks to see that harm is known. Only as a whole prompt, so that no test meets it by accident."""


def write_model_dir(folder: Path, **changes: object) -> Path:
    """The two files of a model that the service reads, with these changes to the config."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}), encoding="utf-8")
    (folder / "tokenizer.json").write_bytes((MODEL_DIR / "tokenizer.json").read_bytes())
    return folder


@dataclass(frozen=True)
class Misbehaves:
    """A reply in place of rows."""

    status: int = 200
    metadata: object = None
    content: bytes = b""
    closes: bool = False
    hangs: bool = False


def _byte_of() -> dict[str, int]:
    """GPT-2's printable stand-ins, back to the bytes that they stand for."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [one for one in range(256) if one not in kept]
    return {chr(one): one for one in kept} | {chr(256 + at): one for at, one in enumerate(rest)}


class FakeStreamServer:
    """Runs on a loopback port while it is entered as a context. Attributes may be changed while it runs."""

    def __init__(
        self,
        *,
        keywords: Mapping[str, tuple[str, str]] = KEYWORDS,
        block: int = 16,
        max_rows: int | None = None,
        context: int = 2048,
        reads_cache: bool = True,
    ) -> None:
        self.keywords = dict(keywords)
        self.block, self.max_rows, self.context, self.reads_cache = block, max_rows, context, reads_cache
        self.models = ["qwen3guard-stream"]
        self.knows_harm = True
        self.instead: Callable[[dict[str, Any]], Misbehaves | None] = lambda body: None
        self.asked: list[dict[str, Any]] = []
        self.computed: list[int] = []
        self.keys: list[str | None] = []
        self._cached: dict[str, list[list[int]]] = {}
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self.open: set[socket.socket] = set()
        tokenizer = json.loads((MODEL_DIR / "tokenizer.json").read_text(encoding="utf-8"))
        byte_of = _byte_of()
        self._spelled = {
            number: bytes(byte_of[char] for char in text) for text, number in tokenizer["model"]["vocab"].items()
        }
        self._turn_ends = next(one["id"] for one in tokenizer["added_tokens"] if one["content"] == "<|im_end|>")

    def __enter__(self) -> FakeStreamServer:
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    @property
    def salts(self) -> list[str]:
        return [body["cache_salt"] for body in self.asked]

    def rows(self, body: Mapping[str, Any]) -> tuple[int, str, bytes]:
        """Status, metadata and content of a reply."""
        ids = body["input"]
        if len(ids) > self.context:
            error = {"error": {"param": "input_tokens", "message": "This model's maximum context length is ..."}}
            return 400, "{}", json.dumps(error).encode()
        with self._lock:
            before = self._cached.setdefault(body["cache_salt"], [])
            known = max((_common(ids, one) for one in before), default=0) if self.reads_cache else 0
            before.append(list(ids))
        known = min(known, len(ids) - 1) // self.block * self.block
        self.computed.append(len(ids) - known)
        rows = self.judged(ids)[known:]
        rows = rows[-self.max_rows :] if self.max_rows else rows
        content = rows.astype("<f4").tobytes()
        item = {"index": 0, "embed_dtype": "float32", "endianness": "little", "start": 0, "end": len(content)}
        return 200, json.dumps({"data": [{**item, "shape": list(rows.shape)}]}), content

    def judged(self, ids: Sequence[int]) -> np.ndarray:
        """The rows of all ids."""
        rows = np.zeros((len(ids), 23), dtype=np.float32)
        rows[:, [0, 11]] = 3.0
        spelled = [self._spelled.get(one, b"\0") for one in ids]
        ends = np.cumsum([len(one) for one in spelled])
        text = b"".join(spelled).lower()
        for keyword, (risk, category) in self.keywords.items():
            # As a model would: at each token by what stands before it, from the keyword's fourth letter on.
            beginnings = tuple(keyword[:size].encode() for size in range(min(4, len(keyword)), len(keyword) + 1))
            hits = [text.endswith(beginnings, 0, end) for end in ends.tolist()]
            rows[hits, RISKS.index(risk)] = 6.0
            rows[hits, 3 + CATEGORIES.index(category)] = 6.0
            for at, one in enumerate(ids):
                if one == self._turn_ends and text.find(keyword.encode(), 0, ends[at]) >= 0:
                    rows[at, 11 + RISKS.index(risk)] = 6.0
                    rows[at, 14 + CATEGORIES.index(category)] = 6.0
        if self.knows_harm and text.strip(b"\0").startswith(f"user\n{PROOF.lower()}".encode()):
            rows[-1, 11 + RISKS.index("Unsafe")] = 6.0
        return rows


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def __init__(self, fake: FakeStreamServer, *arguments: Any) -> None:
        self._fake = fake
        super().__init__(*arguments)

    def setup(self) -> None:
        super().setup()
        self._fake.open.add(self.connection)

    def do_GET(self) -> None:
        fake = self._fake
        fake.keys.append(self.headers.get("Authorization"))
        data = [{"id": name, "owned_by": "vllm", "max_model_len": fake.context} for name in fake.models]
        self._answer(200, json.dumps({"data": data}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/pooling":
            self._answer(404, b'{"detail": "Not Found"}')
            return
        self._fake.asked.append(body)
        odd = self._fake.instead(body)
        if odd is None:
            status, metadata, content = self._fake.rows(body)
            self._answer(status, content, metadata)
            return
        if odd.hangs:
            self._fake.stopping.wait(30)
        if odd.closes or odd.hangs:
            self.close_connection = True
            return
        self._answer(
            odd.status, odd.content, odd.metadata if isinstance(odd.metadata, str) else json.dumps(odd.metadata)
        )

    def _answer(self, status: int, content: bytes, metadata: str | None = None) -> None:
        self.send_response(status)
        if metadata is not None:
            self.send_header("metadata", metadata)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Nothing to say."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, *args: object) -> None:
        """A client that hung up is not worth a word."""
