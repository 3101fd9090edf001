"""What needs no thread is answered whatever the threads do, and strangers get nothing else."""

from __future__ import annotations

import contextlib
import json
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlencode

import pytest
from fake_guard_server import wait_until
from processes import Reply, Running, running

pytestmark = pytest.mark.slow

KEY = "door-0123456789"
PROMPT = b'{"prompt": "%s"}'


def request(path: str, body: bytes = b"", *fields: str, key: str | None = KEY, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields]
    if key is not None:
        lines.append(f"X-API-Key: {key}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def head_of(received: bytes) -> tuple[int, dict[str, str]]:
    lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), fields


@contextlib.contextmanager
def connected(service: Running, *sent: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        for piece in sent:
            connection.sendall(piece)
        yield connection


def answered(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One reply with a body of known length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    status, fields = head_of(received)
    body = received.partition(b"\r\n\r\n")[2]
    while len(body) < int(fields["content-length"]):
        body += _some(connection)
    return status, fields, body


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    assert received, "the connection was closed in the middle of a reply"
    return received


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running("--workers", "1", "--threads", "2", MODERATION_API_KEYS=f"app:{KEY}") as started:
        yield started


@pytest.fixture(scope="module")
def busy() -> Iterator[Running]:
    """Both threads wait for an engine that takes a minute, and the queue in front of them has its eight."""
    with (
        running(
            *("--workers", "1", "--threads", "2", "--graceful-timeout-s", "1"), MODERATION_API_KEYS=f"app:{KEY}"
        ) as started,
        ExitStack() as stack,
    ):
        assert started.request("GET", "/healthz").status == 200
        for _ in range(2):
            stack.enter_context(connected(started, request("/moderate", PROMPT % b"stuck")))
        # Refused: so the two before it are with the threads.
        while started.request("POST", "/moderate", {"prompt": "bread"}, X_API_Key=KEY).status != 429:
            pass
        yield started


# While all threads are busy


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/healthz", method="GET", key=None), 200),
        (request("/readyz", method="GET", key=None), 200),
        (request("/metrics", method="GET"), 200),
        (request("/metrics", method="GET", key=None), 401),
        (request("/moderate", PROMPT % b"bread", key=None), 401),
        (request("/policies", method="GET", key="unknown-key"), 401),
        (request("/nowhere", method="GET"), 404),
        (request("/moderate", method="GET"), 405),
        (request("/moderate", b"x" * 100)[:-100].replace(b"100", b"99999999"), 413),
        (request("/", method="GET", key=None), 200),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"nonsense\r\n\r\n", 400),
    ],
    ids=lambda one: repr(one[:32]) if isinstance(one, bytes) else str(one),
)
def test_what_needs_no_thread_is_answered_while_all_are_busy(busy: Running, sent: bytes, status: int) -> None:
    with connected(busy, sent) as connection:
        assert head_of(connection.recv(65536))[0] == status


def overloaded(busy: Running, path: str, body: object) -> Reply:
    return busy.request("POST", path, body, X_API_Key=KEY)


def test_what_finds_no_thread_is_told_to_come_again(busy: Running) -> None:
    reply = overloaded(busy, "/moderate", {"prompt": "bread"})
    assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
    assert reply.json["error"]["type"] == "overloaded"
    assert reply.headers["X-Request-Id"]


def test_every_door_says_so_in_a_way_that_its_callers_take_for_no_pass(busy: Running) -> None:
    openai = overloaded(busy, "/v1/moderations", {"input": "bread"})
    assert (openai.status, openai.json["error"]["type"]) == (429, "rate_limit_error")
    assert openai.headers["Retry-After"] == "1"
    lakera = overloaded(busy, "/v2/guard", {"messages": [{"role": "user", "content": "bread"}]})
    assert (lakera.status, lakera.headers["Retry-After"]) == (429, "1")
    # LiteLLM knows an engine that is away by 502, 503 and 504 only.
    litellm = overloaded(busy, "/beta/litellm_basic_guardrail_api", {"texts": ["bread"], "input_type": "request"})
    assert (litellm.status, litellm.headers["Retry-After"]) == (503, "1")
    # Dify takes every error for a pass.
    call = {"point": "app.moderation.output", "params": {"app_id": "a", "text": "bread"}}
    dify = overloaded(busy, "/dify/moderation", call)
    assert (dify.status, dify.json["flagged"]) == (200, True)


def form(key: str, content: str) -> dict[str, str]:
    service = {"Action": "TextModerationPlus", "Service": "llm_query_moderation", "AccessKeyId": key}
    return {**service, "ServiceParameters": json.dumps({"content": content})}


def send_form(service: Running, fields: dict[str, str]) -> tuple[int, str]:
    body = urlencode(fields).encode()
    sent = request("/", key=None)[:-2] + b"Content-Type: application/x-www-form-urlencoded\r\n"
    with connected(service, sent + b"Content-Length: %d\r\n\r\n" % len(body) + body) as connection:
        status, _, reply = answered(connection)
    return status, json.loads(reply)["Data"]["RiskLevel"]


def test_gateways_that_take_an_error_for_a_pass_are_answered_with_a_block(busy: Running) -> None:
    hook = {"eventType": "beforeRequestHook", "request": {"text": "bread"}, "response": {}}
    portkey = overloaded(busy, "/portkey", hook)
    assert (portkey.status, portkey.json["verdict"]) == (200, False)
    assert send_form(busy, form(KEY, "bread")) == (200, "high")
    assert send_form(busy, form("another-key-000", "bread")) == (200, "high")


def test_a_key_in_the_body_is_found_before_a_thread_has_the_request(service: Running) -> None:
    assert send_form(service, form(KEY, "How do I bake bread?")) == (200, "none")
    assert send_form(service, form("another-key-000", "How do I bake bread?")) == (200, "high")
    assert send_form(service, form("another-key-000", "bread" * 100_000)) == (200, "high")


def test_open_webui_does_not_show_an_answer_that_was_not_judged(busy: Running) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "unjudged"}]}
    outlet = overloaded(busy, "/owui/moderation-guard/filter/outlet", {"user": {}, "body": body})
    assert outlet.status == 200
    assert b"unjudged" not in outlet.body
    inlet = overloaded(busy, "/owui/moderation-guard/filter/inlet", {"user": {}, "body": body})
    assert inlet.status == 429


# Bodies


def test_the_body_of_a_stranger_is_not_waited_for(service: Running) -> None:
    head = request("/moderate", b"x" * 1_000_000, key=None)[:-1_000_000]
    with connected(service, head) as connection:
        status, fields, _ = answered(connection)
        assert (status, fields["connection"]) == (401, "close")
        assert connection.recv(1) == b""


def test_a_stranger_whose_request_is_there_keeps_the_connection(service: Running) -> None:
    with connected(service) as connection:
        for _ in range(3):
            connection.sendall(request("/moderate", PROMPT % b"bread", key=None))
            status, fields, _ = answered(connection)
            assert (status, fields["connection"]) == (401, "keep-alive")
        connection.sendall(request("/moderate", PROMPT % b"bread"))
        assert answered(connection)[0] == 200


def test_difys_wrong_key_shows_when_the_extension_is_saved(service: Running) -> None:
    """Its HTTP client sends head and body apart; what a wrong key is answered depends on the body."""
    ping, output = b'{"point": "ping"}', b'{"point": "app.moderation.output", "params": {"app_id": "a", "text": "x"}}'
    for body, status in ((ping, 401), (output, 200)):
        whole = request("/dify/moderation", body, key="unknown-key")
        with connected(service, whole[: -len(body)]) as connection:
            connection.sendall(body)
            assert answered(connection)[0] == status


@pytest.mark.parametrize(
    ("path", "size", "status"), [("/moderate", 3_000_000, 413), ("/nowhere", 100_000, 404), ("/healthz", 100_000, 405)]
)
def test_a_reply_before_the_end_of_a_body_ends_the_connection(
    service: Running, path: str, size: int, status: int
) -> None:
    with connected(service, request(path, b"x" * size)[:-size]) as connection:
        found, fields, _ = answered(connection)
        assert (found, fields["connection"]) == (status, "close")


def test_a_body_that_is_cut_off_is_not_judged(service: Running) -> None:
    with connected(service, request("/moderate", PROMPT % b"bomb")[:-1]) as connection:
        connection.shutdown(socket.SHUT_WR)
        status, _, body = answered(connection)
    assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request")


def test_a_body_in_another_coding_is_refused(service: Running) -> None:
    sent = request("/moderate", b"", "Content-Type: application/json", "Transfer-Encoding: gzip, chunked")
    with connected(service, sent, b"0\r\n\r\n") as connection:
        assert answered(connection)[0] == 501


def test_bodies_under_way_have_a_budget() -> None:
    flags = ("--workers", "1", "--body-memory-bytes", "1048576")
    body = PROMPT % (b"x" * 900_000)
    with running(*flags) as started:
        whole = request("/moderate", body)
        with connected(started, whole[:800_000]) as first, connected(started, whole[:800_000]) as second:
            (refused,), _, _ = select.select([first, second], [], [], 20)
            assert head_of(refused.recv(65536))[0] == 429
            assert started.moderate("bread")["action"] == "allow"
            kept = second if refused is first else first
            kept.sendall(whole[800_000:])
            assert answered(kept)[0] == 200
        with connected(started, whole[:800_000]) as again:
            again.sendall(whole[800_000:])
            assert answered(again)[0] == 200


# Heads


def test_a_name_with_an_underscore_is_no_variable_of_ours(service: Running) -> None:
    sent = request("/policies", b"", f"X_API_Key: {KEY}", key=None, method="GET")
    with connected(service, sent) as connection:
        assert answered(connection)[0] == 401
    with connected(service, request("/healthz", b"", "SCRIPT_NAME: /healthz", method="GET")) as connection:
        assert answered(connection)[0] == 200


def test_a_client_that_would_rather_speak_http2_is_answered_and_its_body_read(service: Running) -> None:
    body = PROMPT % b"bomb"
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    sent = request("/moderate", body, *upgrade)
    with connected(service, sent[:-4]) as connection:
        connection.sendall(sent[-4:])
        status, _, decision = answered(connection)
        assert (status, json.loads(decision)["action"]) == (200, "block")
        connection.sendall(request("/nowhere", method="GET"))
        assert answered(connection)[0] == 404


def test_a_good_request_is_answered_although_nonsense_follows_it(service: Running) -> None:
    received = service.raw(request("/moderate", PROMPT % b"bomb") + b"nonsense\r\n\r\n")
    status, fields = head_of(received)
    assert (status, fields["connection"]) == (200, "close")
    assert received.count(b"HTTP/1.1 ") == 1


def test_tls_on_this_port_is_refused_at_once_with_one_line_in_the_log(service: Running) -> None:
    before = len(service.log)
    with connected(service, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") as connection:
        status, _, body = answered(connection)
    assert status == 400
    assert "TLS" in json.loads(body)["error"]["message"]

    def lines() -> list[str]:
        return [line["reason"] for line in service.log[before:] if line["event"] == "bad_http"]

    wait_until(lambda: bool(lines()))
    assert lines() == ["it begins like TLS, and this port speaks plain HTTP"]


# Slow readers


def test_a_client_that_does_not_read_its_reply_holds_no_thread() -> None:
    items = 8000
    body = json.dumps({"inputs": [{"prompt": "bread"}] * items}).encode()
    flags = ("--workers", "1", "--threads", "1", "--max-batch-items", str(items))
    with running(*flags) as started, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(20)
        lazy.connect(("127.0.0.1", started.port))
        lazy.sendall(request("/moderate", body))
        lazy.recv(1, socket.MSG_PEEK)
        assert started.moderate("bomb")["action"] == "block"
        status, fields, reply = answered(lazy)
        assert (status, fields["connection"], len(json.loads(reply)["results"])) == (200, "keep-alive", items)
        lazy.sendall(request("/moderate", PROMPT % b"bomb"))
        assert json.loads(answered(lazy)[2])["action"] == "block"


def test_an_address_with_a_slash_too_many_is_judged_by_a_thread_too(busy: Running) -> None:
    """What the app takes for an address, triage has to take for one; or the judging would be the reader's."""
    for path in ("/moderate/", "//moderate"):
        assert overloaded(busy, path, {"prompt": "stuck"}).status == 429
