"""The real LiteLLM proxy in a process of its own, and a client of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import free_port

__all__ = ["MASTER_KEY", "Proxy", "Streamed", "litellm_proxy"]

ROOT = Path(__file__).resolve().parents[2]
LITELLM = ROOT / ".venv-litellm" / "bin" / "litellm"
MASTER_KEY = "sk-of-the-tests-0123456789abcdef"
_START_S = 180
_END_S = 20


@dataclass(frozen=True)
class Streamed:
    """What a client saw of a stream: the text of each choice, how it ended, and an error if there was one."""

    texts: Mapping[int, str]
    finish_reasons: Mapping[int, str]
    error: Mapping[str, Any] | None
    status: int


class Proxy:
    """Asks a running proxy as an application would."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def chat(self, prompt: object, **options: Any) -> tuple[int, Any]:
        """Status and body of a chat completion; `prompt` is the user's message or a list of messages."""
        status, raw = self._post("/v1/chat/completions", _chat(prompt, options), options.pop("headers", {}))
        return status, json.loads(raw)

    def stream(self, prompt: object, **options: Any) -> Streamed:
        """The same as a stream, read to its end."""
        headers = options.pop("headers", {})
        status, raw = self._post("/v1/chat/completions", {**_chat(prompt, options), "stream": True}, headers)
        if status != 200:
            return Streamed({}, {}, json.loads(raw)["error"], status)
        texts: dict[int, str] = {}
        finished: dict[int, str] = {}
        error = None
        for line in raw.decode().splitlines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            event = json.loads(line.removeprefix("data: "))
            error = error or event.get("error")
            for choice in event.get("choices", ()):
                index = choice["index"]
                texts[index] = texts.get(index, "") + (choice["delta"].get("content") or "")
                if choice.get("finish_reason"):
                    finished[index] = choice["finish_reason"]
        return Streamed(texts, finished, error, status)

    def post(self, path: str, body: object) -> tuple[int, bytes]:
        """Any other call."""
        return self._post(path, body, {})

    def _post(self, path: str, body: object, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        with contextlib.closing(connection):
            sent = {"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": "application/json", **headers}
            connection.request("POST", path, json.dumps(body).encode(), sent)
            reply = connection.getresponse()
            return reply.status, reply.read()


def _chat(prompt: object, options: Mapping[str, Any]) -> dict[str, object]:
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    fields = {name: value for name, value in options.items() if name != "headers"}
    return {"model": "chat", "messages": messages, **fields}


@contextmanager
def litellm_proxy(config: Path, log: Path, **variables: str) -> Iterator[Proxy]:
    """A proxy with this configuration; it has ended afterwards."""
    if not LITELLM.exists():
        raise RuntimeError(".venv-litellm is missing: run tests/litellm/run.sh, which installs it")
    port = free_port()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environment = {
        **kept,
        "LANG": "C.UTF-8",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or the start waits for a download
        "LITELLM_MASTER_KEY": MASTER_KEY,
        **variables,
    }
    command = [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    proxy = Proxy(port, log)
    try:
        _wait_until_ready(process, proxy)
        yield proxy
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_END_S)


def _wait_until_ready(process: subprocess.Popen[bytes], proxy: Proxy) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/health/liveliness")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"LiteLLM did not start:\n{proxy.log[-4000:]}")
