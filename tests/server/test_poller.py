"""The thread that owns the connections, with an app and a triage of its own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from moderation_service.server.poller import Poller, PollerOptions
from moderation_service.web.triage import Entry, Place


class FaultyTriage:
    """Fails for one address, as none should."""

    def judge(self, environ: dict[str, Any]) -> Entry:
        if environ["PATH_INFO"] == "/fault":
            raise ZeroDivisionError
        return Entry(Place.HERE)


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def port() -> Iterator[int]:
    """Where a poller serves, until the end of the test."""
    listener = socket.create_server(("127.0.0.1", 0))
    wakeup, writer = os.pipe()
    ends = threading.Event()
    poller = Poller(
        app,
        triage=FaultyTriage(),  # type: ignore[arg-type]  # as much of one as a poller asks for
        listeners=[listener],
        options=PollerOptions(threads=1, keep_alive_s=5, connections=10, body_memory_bytes=1000, shares_port=False),
        wakeup=wakeup,
        grace_s=lambda: 5.0 if ends.is_set() else None,
        heartbeat=lambda: None,
    )
    thread = threading.Thread(target=poller.run)
    number = listener.getsockname()[1]
    thread.start()
    yield number
    ends.set()
    os.write(writer, b"\0")
    thread.join(30)
    os.close(wakeup)
    os.close(writer)
    assert not thread.is_alive()


def ask(connection: socket.socket, path: str) -> bytes:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection.recv(1000)


def test_a_fault_costs_the_connection_that_met_it_and_no_other(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as other:
        assert ask(other, "/").startswith(b"HTTP/1.1 200 ")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as faulty:
            assert ask(faulty, "/fault") == b""
        assert ask(other, "/").startswith(b"HTTP/1.1 200 ")
    assert [record.message for record in caplog.records] == ["connection_failed"]
