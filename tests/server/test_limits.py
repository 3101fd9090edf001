"""File descriptors: the limit is raised, clients do not get those that calls to models need, strangers make room."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from processes import SERVE_FAKE, Running, running, send

from moderation_service.server.body_memory import BodyMemory
from moderation_service.server.descriptors import connections_within

KEY = "limit-0123456789"


def under_limit(limit: str) -> tuple[str, ...]:
    """The service's command, started by a shell that lowers its limit first."""
    return ("sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *SERVE_FAKE)


def test_the_soft_limit_is_raised_as_far_as_it_may() -> None:
    with running("--workers", "1", command=under_limit("-S -n 256")) as started:
        assert started.request("GET", "/healthz").status == 200
        (worker,) = started.workers()
        found = re.search(r"Max open files\s+(\d+)\s+(\d+)", Path(f"/proc/{worker}/limits").read_text())
        assert found is not None
        soft, hard = map(int, found.groups())
        assert soft == min(hard, 65536)


@pytest.fixture(scope="module")
def narrow() -> Iterator[Running]:
    """A worker that may have 160 descriptors at most, and so a few dozen connections."""
    flags = ("--workers", "1", "--threads", "8")
    with running(*flags, command=under_limit("-n 160"), MODERATION_API_KEYS=f"app:{KEY}") as started:
        yield started


def connection_to(service: Running) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)


def ask(connection: http.client.HTTPConnection) -> int:
    return send(connection, "POST", "/moderate", {"prompt": "bread"}, X_API_Key=KEY).status


def test_idle_strangers_make_room_for_callers_old_and_new(narrow: Running) -> None:
    with ExitStack() as stack:
        kept = [connection_to(narrow) for _ in range(6)]
        for connection in kept:
            stack.callback(connection.close)
            assert ask(connection) == 200
        for number in range(300):
            stranger = stack.enter_context(socket.create_connection(("127.0.0.1", narrow.port), timeout=20))
            stranger.sendall((b"", b"GET / HT", b"POST /moderate HTTP/1.1\r\nContent-Length: 9\r\n")[number % 3])
        for connection in kept * 2:
            own = connection.sock.getsockname()
            assert ask(connection) == 200
            assert connection.sock.getsockname() == own
        for _ in range(12):
            new = connection_to(narrow)
            stack.callback(new.close)
            assert ask(new) == 200
        assert narrow.request("GET", "/healthz").status == 200
    assert not [line for line in narrow.log if line["event"] == "cannot_accept"]


def test_callers_beyond_the_limit_take_turns(narrow: Running) -> None:
    """More connections than there is room for, all of callers with a key: the one that was idle longest goes."""
    connections = [connection_to(narrow) for _ in range(150)]
    try:
        assert [ask(connection) for connection in connections] == [200] * 150
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    ("limit", "calls", "connections"),
    [(65_536, 64, 16_384), (1024, 64, 896), (256, 64, 128), (256, 400, 64), (40, 64, 16)],
)
def test_calls_to_models_have_their_descriptors_before_clients_have_theirs(
    limit: int, calls: int, connections: int
) -> None:
    assert connections_within(limit, calls=calls) == connections


def test_a_budget_gives_what_there_is_and_no_more() -> None:
    memory = BodyMemory(100)
    assert memory.take(60)
    assert not memory.take(41)
    assert memory.take(40)
    memory.give_back(60)
    assert memory.take(60)
    assert not memory.take(1)
