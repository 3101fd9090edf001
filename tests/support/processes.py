"""The real command in processes of its own, and HTTP as plain bytes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = [
    "SERVE_FAKE",
    "SERVE_LITE",
    "Reply",
    "Running",
    "environment",
    "free_port",
    "is_running",
    "run_command",
    "running",
    "until",
]

SERVE_LITE = (sys.executable, "-m", "moderation_service", "serve")
"""The service as a user starts it."""
SERVE_FAKE = (sys.executable, str(Path(__file__).with_name("serve_fake.py")), "serve")
"""The same with the fake engine, in which the word `slow` takes half a second."""
_START_S = 60
_END_S = 30


def environment(**variables: str | None) -> dict[str, str]:
    """A small, known environment for a process; without a database of records, unless a test asks for one.

    A variable that is None is left out.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "VIRTUAL_ENV") if name in os.environ}
    named = {**kept, "LANG": "C.UTF-8", "MODERATION_STORE": "off", **variables}
    return {name: value for name, value in named.items() if value is not None}


def run_command(*arguments: str, **variables: str | None) -> subprocess.CompletedProcess[bytes]:
    """`moderation-service` with these arguments, to its end."""
    command = [sys.executable, "-m", "moderation_service", *arguments]
    return subprocess.run(command, capture_output=True, env=environment(**variables), timeout=_START_S, check=False)


def free_port() -> int:
    """A port on which nobody listens, and that nobody is given by chance before it is used.

    The system hands out ports from 32768 on, for outgoing connections too; two processes of a test run, or two runs,
    that looked in order would find the same one.
    """
    while True:
        port = random.randint(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def is_running(pid: int) -> bool:
    """Whether a process has not ended; one that has may still have its number, until somebody asks how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], object], *, within_s: float = 30) -> None:
    """Wait until it is so; for what happens in other processes."""
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, "it did not come so far"
        time.sleep(0.01)


class Reply:
    """A reply as it came over the wire."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A service in a process; what it writes to standard error is kept, up to more than any test wants."""

    most_bytes = 200_000_000

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, name="stderr-reader")
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        left = self.most_bytes
        for raw in self.process.stderr:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.lines.append(line)
            left -= sys.getsizeof(line)
            if left < 0:
                self.lines.append("It wrote without end, and was killed.")
                self.process.kill()
                break
            if " is ready: http" in line:
                self._ready.set()
        self._ready.set()

    def wait_until_ready(self) -> None:
        assert self._ready.wait(_START_S), self.lines
        assert self.process.poll() is None, self.lines

    def request(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """One request on a connection of its own; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            return send(connection, method, path, body, **headers)
        finally:
            connection.close()

    def moderate(self, text: str) -> Any:
        reply = self.request("POST", "/moderate", {"prompt": text})
        assert reply.status == 200, reply.body
        return reply.json

    def raw(self, sent: bytes) -> bytes:
        """All that comes back on a connection on which these bytes were sent, until the service closes it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(sent)
            received = bytearray()
            while chunk := connection.recv(65536):
                received += chunk
        return bytes(received)

    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, wait for the end, and return its exit code."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(_END_S)
        self._reader.join(_END_S)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            # Workers notice within a second that their parent is gone.
            for pid in self.workers_or_none():
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(_END_S)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def workers_or_none(self) -> list[int]:
        try:
            return self.workers()
        except OSError:
            return []

    @property
    def log(self) -> list[dict[str, Any]]:
        """The JSON lines that were logged."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]


def send(connection: http.client.HTTPConnection, method: str, path: str, body: object = None, **headers: str) -> Reply:
    sent = {re.sub("_", "-", name): value for name, value in headers.items()}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **sent}
    connection.request(method, path, body=body, headers=sent)
    reply = connection.getresponse()
    return Reply(reply.status, dict(reply.getheaders()), reply.read())


@contextmanager
def running(
    *flags: str,
    command: Sequence[str] = SERVE_FAKE,
    new_session: bool = False,
    stdin: IO[str] | None = None,
    preexec_fn: Callable[[], None] | None = None,
    **variables: str | None,
) -> Iterator[Running]:
    """A service that is ready, on a port of its own, and that has ended afterwards."""
    port = free_port()
    process = subprocess.Popen(
        [*command, "--port", str(port), *flags],
        stdin=stdin,
        stderr=subprocess.PIPE,
        env=environment(**variables),
        start_new_session=new_session,
        preexec_fn=preexec_fn,
    )
    service = Running(process, port)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.close()
