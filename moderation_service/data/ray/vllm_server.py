"""A vLLM beside an actor, on the GPUs that Ray gave to the actor, reached by that actor only.

It is a server and not a part of the actor's process: what breaks it does not break the actor, and it is asked as every
other server is, so the labels are the same. It ends with the actor, also when that is killed.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...config.settings import Secret
from ...errors import EngineError, EngineUnavailable

__all__ = ["OwnVllm", "VllmServer"]

_HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_TICK_S = 0.5
_TAIL_LINES = 12
# Kubernetes sets the first to an address if there is a Service called "vllm".
_WITHHELD = frozenset({"VLLM_PORT", "PROMETHEUS_MULTIPROC_DIR"})
# Looked up here and not in the child, where between fork and exec nothing may be loaded.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnVllm:
    """What is started: `vllm serve MODEL ...`. The model is a folder that every node has, or a name on the hub."""

    model: str = "Qwen/Qwen3Guard-Gen-4B"
    arguments: tuple[str, ...] = ("--max-model-len", "8192", "--enable-prefix-caching")
    program: str = "vllm"
    start_timeout_s: float = 900.0


class VllmServer:
    """One run of it, on a port of its own. It is asked only after `wait_until_ready`."""

    def __init__(self, own: OwnVllm) -> None:
        self._own = own
        self.api_key = Secret(secrets.token_urlsafe(32))
        port = _free_port()
        self.url = f"http://{_HOST}:{port}"
        self._log = Path(tempfile.mkdtemp(prefix="vllm-")) / "vllm.log"
        words = [own.program, "serve", own.model, "--host", _HOST, "--port", str(port), *own.arguments]
        self._ended = threading.Event()
        self._started = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # The system ends the child with the thread that has begun it: this one lives as long as the process does.
        threading.Thread(target=self._run, args=(words,), name="vllm", daemon=True).start()
        self._started.wait()
        atexit.register(self.stop)

    def wait_until_ready(self, check_ready: Callable[[], object]) -> None:
        """Return when it judges. Raises EngineUnavailable with the end of its log, if it ends or takes too long."""
        ends_at = time.monotonic() + self._own.start_timeout_s
        while not self._ended.wait(_TICK_S):
            try:
                check_ready()
            except EngineError:
                if time.monotonic() > ends_at:
                    break
            else:
                return
        tail = self._tail()
        self.stop()
        raise EngineUnavailable(f"vLLM did not start; its log ends: {tail}")

    def stop(self) -> None:
        """End it with all that it has started."""
        if self._process is not None and not self._ended.is_set():
            try:
                os.killpg(self._process.pid, signal.SIGTERM)
                if not self._ended.wait(10):
                    os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self._log.parent, ignore_errors=True)

    def _run(self, words: list[str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
        quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        environment = {**inherited, **quiet, "VLLM_API_KEY": self.api_key.value}
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603
                    words,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
        except OSError as error:
            self._log.write_text(f"{words[0]}: {error.strerror}")
        finally:
            self._started.set()
        if self._process is not None:
            self._process.wait()
        self._ended.set()

    def _tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-_TAIL_LINES:] if line.strip())


def _end_with_parent() -> None:
    """Runs in the child before the program does."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
