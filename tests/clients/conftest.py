"""The service on a free port, for real clients and gateways; only the family that is installed is collected."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from apps import keys, make_service
from werkzeug.serving import make_server

from moderation_service.web import create_app

KEY = "clients-tests-key"
FOLDER = Path(os.environ.get("CLIENTS_FOLDER", "."))
"""The environment of the family: its `bin`, its `node_modules`."""

_HERE = Path(__file__).parent
_FAMILY = os.environ.get("CLIENTS_FAMILY")
collect_ignore = [one.name for one in _HERE.iterdir() if one.is_dir() and one.name != _FAMILY]


@contextlib.contextmanager
def served(**parts: Any) -> Iterator[str]:
    """The address, without a path, of a service around the fake engine with these settings."""
    app = create_app(service=make_service(**{"api_keys": keys(f"client:{KEY}"), "log_level": "error", **parts}))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def started(command: Sequence[str], *, port: int, log: Path, env: dict[str, str] | None = None) -> Iterator[int]:
    """A process of somebody else's that listens on this port."""
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **(env or {})}) as process,
    ):
        try:
            _wait_for(port, process, log)
            yield port
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts services that end with the test."""
    with ExitStack() as stack:

        def start(**parts: Any) -> str:
            context: AbstractContextManager[str] = served(**parts)
            return stack.enter_context(context)

        yield start


@pytest.fixture
def key() -> str:
    """The key that every service here knows."""
    return KEY


@pytest.fixture
def folder() -> Path:
    """The environment of the family."""
    return FOLDER


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Starts processes that end with the test."""
    with ExitStack() as stack:

        def start(command: Sequence[str], *, port: int, env: dict[str, str] | None = None) -> int:
            return stack.enter_context(started(command, port=port, log=tmp_path / f"{port}.log", env=env))

        yield start
