"""Real model servers for tests: vLLM for CPU and llama.cpp, with tiny-guard, on loopback ports."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TINY_GUARD = ROOT / "examples" / "tiny-guard"
KEY = "tiny-key"
# vLLM needs 20 to 60 s of an idle machine, minutes of a busy one.
_START_WITHIN_S = 300.0


def venv(name: str) -> Path:
    """A virtual environment that tests/vllm/run.sh made."""
    folder = Path(os.environ.get("MODEL_SERVER_VENVS", ROOT)) / name
    if not (folder / "bin" / "python").exists():
        raise RuntimeError(f"{name} is missing: run tests/vllm/run.sh, which installs it")
    return folder


def tiny_guard_data() -> ModuleType:
    """The module with everything that tiny-guard knows."""
    spec = importlib.util.spec_from_file_location("tiny_guard_data", TINY_GUARD / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class ModelServer:
    """A server process that can be killed and started again."""

    command: Sequence[str]
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.log = tempfile.TemporaryFile(prefix="model-server-")  # noqa: SIM115  # open as long as the server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [part.format(port=self.port) for part in self.command]
        self.process = subprocess.Popen(
            command,
            cwd=TINY_GUARD,
            env={**os.environ, **self.environment},
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_healthy(self) -> None:
        ends_at = monotonic() + _START_WITHIN_S
        while not self.is_healthy():
            assert self.process is not None
            if self.process.poll() is not None or monotonic() > ends_at:
                raise RuntimeError(f"{self.command[0]} did not start:\n{self._end_of_log()}")
            sleep(0.1)

    def _end_of_log(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-3000:]

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @contextlib.contextmanager
    def running(self) -> Iterator[ModelServer]:
        """Started and healthy; stopped afterwards."""
        self.start()
        try:
            self.wait_until_healthy()
            yield self
        finally:
            self.stop()

    def kill(self) -> None:
        """Like a crash: the whole process group at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()
        self.log.close()

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """Ask the server directly, without the service."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def vllm() -> ModelServer:
    script = str(TINY_GUARD / "serve_vllm_cpu.sh")
    return ModelServer(["bash", script, "model", "{port}", "--api-key", KEY], {"VENV": str(venv(".venv-vllm"))})


def stream(checkpoint: Path, *arguments: str, max_rows: int | None = None) -> ModelServer:
    """vLLM with a checkpoint of the shape of Qwen3Guard-Stream, in the numbers that the oracle computes with."""
    bound = ["--hf-overrides", json.dumps({"guard_max_rows": max_rows})] if max_rows else []
    command = ["bash", str(TINY_GUARD / "serve_vllm_cpu.sh"), str(checkpoint), "{port}", "--api-key", KEY]
    options = ["--dtype", "float32", "--block-size", "32", *bound, *arguments]
    # The braces of JSON are no places for a port.
    escaped = [option.replace("{", "{{").replace("}", "}}") for option in options]
    environment = {"VENV": str(venv(".venv-vllm")), "SERVED_NAME": "qwen3guard-stream", "MAX_LEN": "8192"}
    return ModelServer([*command, *escaped], environment)


def llamacpp() -> ModelServer:
    python = str(venv(".venv-llamacpp") / "bin" / "python")
    return ModelServer([python, "serve_llamacpp.py", "model", "{port}", "--api-key", KEY], {})
