"""Making a connection: whatever hangs on the way to a server costs no more than the time that was given for it."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from fake_guard_server import FakeServer, reply, wait_until

from moderation_service.config.setting import Secret
from moderation_service.upstream.connecting import connected
from moderation_service.upstream.connections import BrokenConnection, ConnectionPool, Stage

SHORT_S = 0.3
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LOOKED_UP = socket.getaddrinfo


class NameServer:
    """Stands for the system's lookup of names; numbers are looked up as ever."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.answers = threading.Event()
        self.asked = 0

    def __call__(self, host: str, port: int, *, type: int = 0, flags: int = 0) -> Any:  # noqa: A002
        if flags & socket.AI_NUMERICHOST:
            return LOOKED_UP(host, port, type=type, flags=flags)
        self.asked += 1
        assert self.answers.wait(20)
        return [entry for one in self.addresses for entry in LOOKED_UP(one, port, type=type)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer("127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.answers.set()


def url_of(upstream: FakeServer, name: str) -> str:
    return f"http://{name}:{upstream.url.rpartition(':')[2]}"


def test_a_name_server_that_hangs_holds_a_call_no_longer_than_its_time(upstream, names) -> None:
    pool = ConnectionPool(url_of(upstream, "hangs.test"), size=1, connect_timeout_s=SHORT_S)
    started = monotonic()
    for _ in range(2):
        with pytest.raises(BrokenConnection) as caught:
            pool.exchange(GET, timeout_s=5, max_body_bytes=100)
        assert caught.value.stage is Stage.CONNECT
    assert monotonic() - started < 10 * SHORT_S
    # Both wait for the same lookup: calls leave no crowd of threads behind.
    assert names.asked == 1


def test_while_the_name_server_hangs_the_addresses_found_before_are_used(upstream, names) -> None:
    upstream.behave = lambda request: reply(200, {}, headers="connection: close\r\n")
    pool = ConnectionPool(url_of(upstream, "hangs-later.test"), size=1, connect_timeout_s=SHORT_S)
    names.answers.set()
    assert pool.exchange(GET, timeout_s=5, max_body_bytes=100)[0] == 200
    names.answers.clear()
    assert pool.exchange(GET, timeout_s=5, max_body_bytes=100)[0] == 200
    assert names.asked == 2


def test_a_name_without_an_address_is_a_server_that_can_not_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, port: int, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="unknown"):
        connected("nowhere.test", 80, timeout_s=5)


def test_redis_is_looked_up_within_its_time_too(names) -> None:
    pytest.importorskip("redis")
    from redis.exceptions import RedisError

    from moderation_service.web.cluster_limits import connect

    started = monotonic()
    for scheme in ("redis", "rediss", "valkey"):
        with pytest.raises((RedisError, OSError)):
            connect(f"{scheme}://hangs-{scheme}.test:6379/0").ping()
    assert monotonic() - started < 10 * SHORT_S


def test_a_cluster_memory_whose_name_hangs_is_away_and_can_be_closed(names) -> None:
    pytest.importorskip("redis")
    from cluster_events import Told

    from moderation_service.cluster.memory import ClusterMemory

    told = Told()
    secret = Secret("redis://hangs-memory.test:6379/0")
    memory = ClusterMemory(secret, Secret("a-key-of-16-chars"), prefix="p", version="1", events=told)
    started = monotonic()
    assert memory.get(b"name") is None
    assert wait_until(lambda: "timeout" in told.failures)
    memory.close()
    assert monotonic() - started < 10 * SHORT_S


@pytest.fixture
def full() -> Iterator[str]:
    """An address whose connections are never accepted: its queue is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.2", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield f"127.0.0.2:{listening.getsockname()[1]}"
        for one in waiting:
            one.close()


def test_an_address_that_does_not_answer_leaves_time_for_the_next(full: str, names: NameServer) -> None:
    host, _, port = full.partition(":")
    names.addresses = (host, host, "127.0.0.1")
    names.answers.set()
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(port)))
        other.listen()
        started = monotonic()
        connected("several.test", int(port), timeout_s=3 * SHORT_S).close()
        assert monotonic() - started < 3 * SHORT_S
    names.addresses = (host,) * 8
    started = monotonic()
    with pytest.raises(OSError, match="the time was over"):
        connected("several.test", int(port), timeout_s=SHORT_S)
    assert monotonic() - started < 4 * SHORT_S


@pytest.mark.parametrize("drips", [False, True])
def test_a_handshake_that_never_ends_is_broken_off(drips: bool) -> None:
    is_over = threading.Event()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve() -> None:
            peer, _ = listening.accept()
            # A record of 16 kB, of which a byte comes now and then.
            for byte in b"\x16\x03\x03\x40\x00\x02" + bytes(1000):
                if is_over.wait(SHORT_S / 10):
                    break
                if drips:
                    peer.sendall(bytes([byte]))
            peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        started = monotonic()
        with pytest.raises(OSError, match="the time was over"):
            connected(
                "127.0.0.1",
                listening.getsockname()[1],
                timeout_s=SHORT_S,
                tls=ssl.create_default_context(),
                name="x.test",
            )
        is_over.set()
        thread.join()
    assert monotonic() - started < 10 * SHORT_S


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
def test_a_connection_with_tls_is_for_the_name_and_never_blocks(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
         str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=x.test",
         "-addext", "subjectAltName=DNS:x.test"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(certificate))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]

        def serve() -> None:
            for _ in range(2):
                peer, _ = listening.accept()
                try:
                    server.wrap_socket(peer, server_side=True).close()
                except OSError:
                    peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        sock = connected("127.0.0.1", port, timeout_s=10, tls=client, name="x.test")
        assert sock.gettimeout() == 0
        sock.close()
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            connected("127.0.0.1", port, timeout_s=10, tls=client, name="other.test")
        thread.join()
