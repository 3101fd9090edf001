"""The real service in a process of its own: start, load, end, and what is not HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from processes import SERVE_LITE, Running, free_port, run_command, running, send
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.slow

MARKER = "marker-7261"


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    """Two workers with the fake engine, for tests that leave it as it is."""
    with running("--workers", "2", "--threads", "4", "--log-level", "debug") as started:
        yield started


@pytest.fixture(scope="module")
def one_worker() -> Iterator[Running]:
    with running("--workers", "1", "--threads", "2") as started:
        yield started


# Start


def test_it_starts_with_the_embedded_engine_and_answers_the_first_request() -> None:
    with running(command=SERVE_LITE) as started:
        ready = "\n".join(line for line in started.lines if not line.startswith("{"))
        assert f"is ready: {started.url}" in ready
        assert "engine lite · policy balanced · 2 workers · no API key" in ready
        assert started.request("GET", "/readyz").json == {
            "status": "ready",
            "engine": "lite",
            "model": started.moderate("How do I bake bread?")["model"],
        }
        decision = started.moderate("How can I make a bomb?")
        assert (decision["engine"], decision["action"], decision["degraded"]) == ("lite", "block", False)


def refused(*flags: str, **variables: str) -> str:
    """What a start that fails says; it must be one line and end with exit code 1."""
    done = run_command("serve", *flags, **variables)
    message = done.stderr.decode()
    assert (done.returncode, done.stdout, message.count("\n")) == (1, b"", 1), message
    return message.removeprefix("moderation-service: ").rstrip("\n")


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused("--port", str(port)) == (f"port: {port} is in use on 127.0.0.1; choose another with --port.")


def test_a_host_that_is_not_here_is_named() -> None:
    message = refused("--host", "203.0.113.7", "--allow-open", "--port", str(free_port()))
    assert message.startswith("host: can't listen on 203.0.113.7:")


def test_it_refuses_to_be_open_where_other_machines_can_reach_it() -> None:
    assert refused("--host", "0.0.0.0", "--port", str(free_port())).startswith(
        "host: 0.0.0.0 can be reached from other machines and no API key is set. "
    )


def test_a_bad_policy_file_stops_the_start_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies:\n  own:\n    actions: {unsafe: deny}\n", encoding="utf-8")
    assert refused("--policies-file", str(file), "--port", str(free_port())) == (
        f"{file}:3: `actions.unsafe` must be one of allow, flag, block, not 'deny'."
    )


def test_an_audit_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "none" / "audit.jsonl"
    message = refused("--audit-file", str(path), "--port", str(free_port()))
    assert message == f"audit_file: {path} can't be written: No such file or directory."


def test_a_metrics_folder_that_was_given_is_used_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "keep.txt").write_text("the operator's")
    (folder / "counter_1.db").write_bytes(b"of an earlier start")
    with running("--workers", "1", PROMETHEUS_MULTIPROC_DIR=str(folder)) as started:
        started.moderate("bread")
        assert not (folder / "counter_1.db").exists()
        assert list(folder.glob("*.db"))
        assert started.stop() == 0
    assert (folder / "keep.txt").read_text() == "the operator's"


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path) -> None:
    with running("--workers", "1", TMPDIR=str(tmp_path)) as started:
        started.moderate("bread")
        assert list(tmp_path.iterdir())
        assert started.stop() == 0
    assert list(tmp_path.iterdir()) == []
    assert refused("--policies-file", "/nowhere.yaml", "--port", str(free_port()), TMPDIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


# Requests over a socket


def test_a_request_and_its_headers_come_back(service: Running) -> None:
    reply = service.request("POST", "/moderate", {"prompt": "bomb"}, X_Request_Id="r-1")
    assert (reply.status, reply.json["action"]) == (200, "block")
    assert reply.headers["X-Request-Id"] == "r-1"
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["X-Moderation-Degraded"] == "false"
    assert int(reply.headers["Content-Length"]) == len(reply.body)


def chunked(*chunks: bytes) -> bytes:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def parsed(raw: bytes) -> tuple[int, Any]:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower(), raw
    return int(head.split()[1]), json.loads(body)


def test_a_body_may_come_in_chunks(service: Running) -> None:
    status, decision = parsed(service.raw(chunked(b'{"prompt":', b' "bomb"', b"}")))
    assert (status, decision["action"]) == (200, "block")


def test_a_chunked_body_over_the_limit_is_413(service: Running) -> None:
    status, body = parsed(service.raw(chunked(b'{"prompt": "', b"x" * 1_048_576, b'"}')))
    assert (status, body["error"]["type"]) == (413, "too_large")


def test_a_body_over_the_limit_is_413_and_the_reply_arrives(service: Running) -> None:
    reply = service.request(
        "POST", "/moderate", b'{"prompt": "%s"}' % (b"x" * 3_000_000), Content_Type="application/json"
    )
    assert (reply.status, reply.json["error"]["type"]) == (413, "too_large")


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(service: Running) -> None:
    head = b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(head + b"Content-Length: 99999999999\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_several_requests_may_be_sent_at_once_on_one_connection(service: Running) -> None:
    one = (
        b"POST /moderate HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
    )
    bodies = [b'{"prompt": "bomb"}', b'{"prompt": "bread"}', b'{"prompt": "election"}']
    sent = b"".join(one % (len(body), b"Connection: close\r\n" if body is bodies[-1] else b"", body) for body in bodies)
    received = service.raw(sent)
    actions = [part.split(b'"', 1)[0] for part in received.split(b'"action":"')[1:]]
    assert actions == [b"block", b"allow", b"flag"], received


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"G\x00T / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA B: c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: c\r\n folded\r\n\r\n", 400),
        (b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n", 400),
        (b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
    ids=lambda one: repr(one[:40]) if isinstance(one, bytes) else str(one),
)
def test_what_is_not_http_is_answered_in_json(service: Running, sent: bytes, status: int) -> None:
    found, body = parsed(service.raw(sent))
    assert found == status
    assert body["error"]["type"] == "invalid_request"
    assert body["error"]["message"].startswith("This is not an HTTP request we can read (")


def test_a_broken_chunk_is_the_callers_mistake(service: Running) -> None:
    head = (
        b"POST /moderate HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    status, body = parsed(service.raw(head + b'zz\r\n{"prompt": "x"}\r\n0\r\n\r\n'))
    assert (status, body["error"]["type"]) == (400, "invalid_request")


def test_the_service_lives_on_after_clients_that_go_away(service: Running) -> None:
    head = (
        b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    for sent in (b"", b"POST", head, head + b'{"prompt": "' + MARKER.encode()):
        for how in (socket.SHUT_RDWR, None):
            with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
                connection.sendall(sent)
                if how is not None:
                    connection.shutdown(how)
    assert service.moderate("bread")["action"] == "allow"


def test_no_text_reaches_the_log_even_at_its_loudest(service: Running) -> None:
    service.moderate(f"bread {MARKER}")
    service.request("POST", "/moderate", {"prompt": f"bug {MARKER}"})
    service.request("GET", f"/{MARKER}?{MARKER}", User_Agent=MARKER)
    service.raw(f"{MARKER} / HTTP/1.1\r\n{MARKER}\r\n\r\n".encode())
    service.raw(f"GET /{MARKER} HTTP/1.1\r\nHost: localhost\r\n{MARKER} {MARKER}: 1\r\n\r\n".encode())
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(f"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{MARKER}".encode())
    service.moderate("bread")
    assert MARKER not in "\n".join(service.lines).lower()
    assert all(json.loads(line)["event"] for line in service.lines if line.startswith("{"))


# Connections


def test_a_connection_is_kept_for_the_next_request(service: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        connection.connect()
        own = connection.sock.getsockname()
        for text in ("bread", "bomb", "bread") * 20:
            assert send(connection, "POST", "/moderate", {"prompt": text}).status == 200
            assert connection.sock.getsockname() == own
    finally:
        connection.close()


def test_more_connections_than_threads_are_all_answered(one_worker: Running) -> None:
    connections = [http.client.HTTPConnection("127.0.0.1", one_worker.port, timeout=30) for _ in range(12)]
    try:
        for _ in range(3):
            for connection in connections:
                assert send(connection, "POST", "/moderate", {"prompt": "bread"}).status == 200
    finally:
        for connection in connections:
            connection.close()


def test_busy_connections_do_not_starve_another(one_worker: Running) -> None:
    """Six connections ask without a pause for two threads; a seventh still gets its answers."""
    is_over = threading.Event()
    counts: list[int] = []

    def ask_without_pause() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", one_worker.port, timeout=30)
        count = 0
        while not is_over.is_set():
            assert send(connection, "POST", "/moderate", {"prompt": "bread"}).status == 200
            count += 1
        connection.close()
        counts.append(count)

    threads = [threading.Thread(target=ask_without_pause) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert one_worker.moderate("bomb")["action"] == "block"
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert len(counts) == 6
    assert min(counts) > 0


def test_connections_that_send_nothing_do_not_keep_others_waiting(one_worker: Running) -> None:
    """Browsers and load balancers open connections in advance; there are more of them here than threads."""
    idle = [socket.create_connection(("127.0.0.1", one_worker.port), timeout=30) for _ in range(10)]
    try:
        connection = http.client.HTTPConnection("127.0.0.1", one_worker.port, timeout=4)
        assert send(connection, "POST", "/moderate", {"prompt": "bread"}).status == 200
        connection.close()
    finally:
        for one in idle:
            one.close()


def test_a_client_that_stalls_within_a_request_does_not_hold_a_thread_for_ever() -> None:
    head = b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    with running("--workers", "1", "--threads", "2", "--keep-alive-s", "1") as started:
        stalled = [socket.create_connection(("127.0.0.1", started.port), timeout=30) for _ in range(4)]
        try:
            for connection, sent in zip(stalled, (b"POST", head, head + b'{"prompt": "', head[:60]), strict=True):
                connection.sendall(sent)
            assert started.moderate("bread")["action"] == "allow"
            status, body = parsed(stalled[1].recv(65536))
            assert (status, body["error"]["type"]) == (400, "invalid_request")
            assert stalled[0].recv(1) == b""
        finally:
            for connection in stalled:
                connection.close()
        assert started.stop() == 0


def test_a_client_that_sends_a_byte_now_and_then_does_not_hold_a_thread_for_ever() -> None:
    with running("--workers", "1", "--threads", "2", "--keep-alive-s", "1") as started:
        slow = [socket.create_connection(("127.0.0.1", started.port), timeout=30) for _ in range(2)]
        is_over = threading.Event()

        def send_slowly() -> None:
            for connection in slow:
                connection.sendall(b"POST /moderate HTTP/1.1\r\nX-Long: ")
            with contextlib.suppress(OSError):
                while not is_over.wait(0.2):
                    for connection in slow:
                        connection.sendall(b"a")

        sender = threading.Thread(target=send_slowly)
        sender.start()
        try:
            for connection in slow:
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
            assert started.moderate("bread")["action"] == "allow"
        finally:
            is_over.set()
            sender.join()
            for connection in slow:
                connection.close()


def test_requests_at_the_same_time_do_not_wait_for_a_slow_one(service: Running) -> None:
    with ThreadPoolExecutor(9) as pool:
        slow = pool.submit(service.moderate, "slow bomb")
        quick = list(pool.map(service.moderate, ["bread"] * 8))
        assert {one["action"] for one in quick} == {"allow"}
        assert slow.result()["action"] == "block"


def test_requests_that_take_long_do_not_keep_others_waiting() -> None:
    """Six requests wait for a minute each without saying so; there are threads left, and one of them answers."""
    body = b'{"prompt": "stuck"}'
    head = b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with running("--workers", "1", "--threads", "8", "--graceful-timeout-s", "1") as started:
        stuck = [socket.create_connection(("127.0.0.1", started.port), timeout=30) for _ in range(6)]
        try:
            for connection in stuck:
                connection.sendall(head % len(body) + body)
            for _ in range(4):
                assert started.moderate("bread")["action"] == "allow"
        finally:
            for connection in stuck:
                connection.close()


def test_a_reply_without_a_body_has_none(service: Running) -> None:
    received = service.raw(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"\r\n\r\n")


def test_a_client_that_waits_to_be_told_may_send_its_body(service: Running) -> None:
    body = b'{"prompt": "bomb"}'
    head = b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert connection.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"


def test_the_last_reply_arrives_although_the_client_goes_on_sending(service: Running) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert service.raw(request + b"x" * 30_000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_idle_connection_is_closed_after_a_while() -> None:
    with running("--workers", "1", "--keep-alive-s", "1") as started:
        connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=30)
        assert send(connection, "GET", "/healthz").status == 200
        assert connection.sock.recv(1) == b""
        connection.close()


def test_new_connections_are_shared_out_among_the_workers(tmp_path: Path) -> None:
    with running("--workers", "2", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as started:
        while len(list(tmp_path.glob("counter_*.db"))) < 3:
            assert started.request("GET", "/healthz").status == 200

        def open_files() -> list[int]:
            return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in started.workers()]

        before = open_files()
        connections = [http.client.HTTPConnection("127.0.0.1", started.port, timeout=30) for _ in range(40)]
        for connection in connections:
            assert send(connection, "GET", "/healthz").status == 200
        gained = [after - start for after, start in zip(open_files(), before, strict=True)]
        for connection in connections:
            connection.close()
    assert min(gained) >= 5, gained


# Workers


def samples(started: Running) -> dict[str, float]:
    text = started.request("GET", "/metrics").body.decode()
    return {
        ",".join((sample.name, *sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_the_sum_of_all_workers(tmp_path: Path) -> None:
    with running("--workers", "2", "--cache-size", "0", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as started:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(started.moderate, ["bread"] * 60))
        answering = {path.name.split("_")[1] for path in tmp_path.glob("counter_*.db")}
        found = samples(started)
        assert found["moderation_requests_total,/moderate,200"] == 60
        assert found["moderation_cache_misses_total"] == 60
        assert found["moderation_request_seconds_count,/moderate"] == 60
        assert found["moderation_build_info,0.1.0"] == 1
        assert answering


def test_processes_are_told_of_together_and_their_cpu_time_never_falls() -> None:
    with running("--workers", "2") as started:
        while len(started.workers()) < 2:
            assert started.request("GET", "/healthz").status == 200
        for _ in range(300):
            started.moderate("bread")
        before = samples(started)
        assert before["moderation_workers"] == 2
        assert before["process_resident_memory_bytes"] > 10e6
        first = started.workers()[0]
        os.kill(first, signal.SIGKILL)
        while first in started.workers() or len(started.workers()) < 2:
            assert started.request("GET", "/healthz").status == 200
        after = samples(started)
        assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"] > 0
        assert after["process_start_time_seconds"] == before["process_start_time_seconds"]


def test_a_worker_that_dies_is_replaced_and_its_counts_stay() -> None:
    with running("--workers", "2") as started:
        started.moderate("bread")
        while len(started.workers()) < 2:
            assert started.request("GET", "/healthz").status == 200
        first, second = started.workers()
        os.kill(first, signal.SIGKILL)
        while first in started.workers() or len(started.workers()) < 2:
            assert started.request("GET", "/healthz").status == 200
        assert second in started.workers()
        started.moderate("bread")
        assert samples(started)["moderation_requests_total,/moderate,200"] == 2


def test_all_workers_agree_on_the_hash_of_a_text(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    with running("--workers", "2", "--audit-file", str(file)) as started, ThreadPoolExecutor(4) as pool:
        list(pool.map(started.moderate, ["bread"] * 40))
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(records) == 40
    assert len({record["text_hash"] for record in records}) == 1


# End


def test_ctrl_c_ends_it_without_a_traceback() -> None:
    with running("--workers", "1") as started:
        started.moderate("bread")
        assert started.stop(signal.SIGINT) == 0
        assert "Traceback" not in "\n".join(started.lines)


def test_ctrl_c_in_a_terminal_reaches_all_processes_and_ends_it() -> None:
    with running("--workers", "1", new_session=True) as started:
        started.moderate("bread")
        os.killpg(started.process.pid, signal.SIGINT)
        assert started.wait() == 0
        assert "Traceback" not in "\n".join(started.lines)


def test_sigterm_under_load_answers_every_request_that_was_read(tmp_path: Path) -> None:
    """Eight clients ask without a pause until nobody answers any more; what was logged as answered has arrived."""
    with running("--workers", "2", "--threads", "8", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as started:
        answered: list[int] = []

        def ask(number: int) -> None:
            text = f"slow bread {number}" if number % 2 else "bread"
            while True:
                connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=30)
                try:
                    answered.append(send(connection, "POST", "/moderate", {"prompt": text}).status)
                except OSError:
                    return  # refused, or reset because nobody had accepted it yet
                finally:
                    connection.close()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        # The process that loads the app and both workers have a file of counters each.
        while len(list(tmp_path.glob("counter_*.db"))) < 3:
            assert started.request("GET", "/readyz").status == 200
        code = started.stop()
        for thread in threads:
            thread.join()
        logged = [line["status"] for line in started.log if line.get("route") == "/moderate"]
    assert code == 0
    assert set(answered) == {200}
    assert logged == [200] * len(answered)


def asked(service: Running, text: str) -> http.client.HTTPConnection:
    """A connection on which a prompt was sent, and whose reply is still to be read."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    connection.request("POST", "/moderate", json.dumps({"prompt": text}), {"Content-Type": "application/json"})
    return connection


def test_a_client_that_comes_while_it_ends_is_answered_or_refused_and_never_left_hanging() -> None:
    with running("--workers", "1") as started:
        started.moderate("bread")
        slow = asked(started, "slow bomb")
        assert started.moderate("bread")["action"] == "allow"
        started.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                assert started.moderate("bread")["action"] == "allow"
        assert json.load(slow.getresponse())["action"] == "block"
        slow.close()
        assert started.wait() == 0


def test_sigterm_waits_for_a_request_in_flight() -> None:
    with running("--workers", "1") as started:
        slow = asked(started, "slow bomb")
        started.moderate("bread")
        assert started.stop() == 0
        assert json.load(slow.getresponse())["action"] == "block"
        slow.close()


def test_a_request_that_hangs_does_not_keep_it_from_ending() -> None:
    with running("--workers", "1", "--graceful-timeout-s", "1") as started:
        connection = socket.create_connection(("127.0.0.1", started.port), timeout=30)
        body = b'{"prompt": "stuck"}'
        head = (
            b"POST /moderate HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        connection.sendall(head % len(body) + body)
        started.moderate("bread")
        started.stop()  # well before the minute that the engine takes
        connection.close()
