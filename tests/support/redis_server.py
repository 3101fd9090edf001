"""A real Redis or Valkey on a loopback port, without a disk, that can be killed, frozen and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep

PASSWORD = "for-tests-only"


def program() -> str | None:
    return shutil.which("valkey-server") or shutil.which("redis-server")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class RedisServer:
    def __init__(self) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        path = program()
        assert path is not None
        words = [path, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]
        words += ["--dir", self._folder.name, "--appendonly", "no"]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ends_at = monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert monotonic() < ends_at, "the server does not listen"
                sleep(0.01)

    def signal(self, how: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, how)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()
        assert not Path(self._folder.name).exists()


class Told:
    """What a cluster memory told of itself."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.away: list[bool] = []

    def cluster_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def cluster_away(self, is_away: bool) -> None:
        self.away.append(is_away)
