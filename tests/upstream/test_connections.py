"""The connections under the verdict call: what of HTTP they understand, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from time import monotonic

import pytest
from fake_guard_server import FakeServer, Hang, Send, reply

from moderation_service.upstream.connections import BrokenConnection, ConnectionPool, Stage

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LIMIT = 100_000


@pytest.fixture
def pool(upstream: FakeServer) -> Iterator[ConnectionPool]:
    made = ConnectionPool(upstream.url, size=4, connect_timeout_s=2.0)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"{}"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\ntrailer: 1\r\n\r\n",
            b"{}",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_replies_are_read_and_the_connection_is_used_again(upstream, pool, sent: bytes, body: bytes) -> None:
    upstream.behave = lambda request: Send(sent)
    for _ in range(3):
        assert pool.exchange(GET, timeout_s=5, max_body_bytes=LIMIT)[2] == body
    assert upstream.connections == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nconnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
def test_a_connection_that_the_server_will_close_is_not_used_again(upstream, pool, head: bytes) -> None:
    upstream.behave = lambda request: Send(head + b"content-length: 2\r\n\r\n{}")
    for _ in range(3):
        assert pool.exchange(GET, timeout_s=5, max_body_bytes=LIMIT)[2] == b"{}"
    assert upstream.connections == 3


def test_bytes_that_nobody_asked_for_spoil_the_connection(upstream, pool) -> None:
    upstream.behave = lambda request: Send(reply(200, {}).data + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nSafe!")
    for _ in range(3):
        assert pool.exchange(GET, timeout_s=5, max_body_bytes=LIMIT)[2] == b"{}"


def test_the_deadline_counts_for_the_whole_reply(upstream, pool) -> None:
    upstream.behave = lambda request: Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")
    started = monotonic()
    with pytest.raises(BrokenConnection) as caught:
        pool.exchange(GET, timeout_s=0.2, max_body_bytes=LIMIT)
    assert caught.value.stage is Stage.TIMEOUT
    assert monotonic() - started < 5


def test_an_address_that_cannot_be_is_one_that_cannot_be_reached() -> None:
    pool = ConnectionPool("http://a..b:80", size=1, connect_timeout_s=1.0)
    with pytest.raises(BrokenConnection) as caught:
        pool.exchange(GET, timeout_s=1, max_body_bytes=LIMIT)
    assert caught.value.stage is Stage.CONNECT


def test_a_connection_that_is_taken_the_moment_it_is_given_back_mixes_no_replies(upstream) -> None:
    class Contested(ConnectionPool):
        """Another caller takes the connection before the first one can do anything else."""

        others: list[bytes] = []

        def _give_back(self, connection, **options) -> None:
            super()._give_back(connection, **options)
            if not self.others:
                self.others.append(b"")
                self.others[0] = self.exchange(asking("other"), timeout_s=5, max_body_bytes=LIMIT)[2]

    def asking(name: str) -> bytes:
        return f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    upstream.behave = lambda request: reply(200, {"path": request.path})
    pool = Contested(upstream.url, size=4, connect_timeout_s=2.0)
    try:
        status, headers, body = pool.exchange(asking("first"), timeout_s=5, max_body_bytes=LIMIT)
    finally:
        pool.close()
    assert (status, json.loads(body), json.loads(pool.others[0])) == (200, {"path": "/first"}, {"path": "/other"})
    assert headers[b"content-length"] == b"18"
    assert upstream.connections == 1
