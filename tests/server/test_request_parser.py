"""HTTP requests out of bytes: what is read, what is refused, and that it does not matter where the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.server.request_parser import RequestParser

GET = b"GET /a?b=%20 HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /moderate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;note=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: dropped\r\n\r\n"
)
UPGRADE = b"POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n%s\r\n\r\n%s"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADES = (
    UPGRADE % (b"Content-Length: %d" % len(SMUGGLED), SMUGGLED),
    UPGRADE % (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    UPGRADE % (b"X: no body", b""),
)
LAST = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
OLD = b"GET /old HTTP/1.0\r\n\r\n"
KEPT = b"GET /kept HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
GOOD = (GET, BODY, CHUNKED, *UPGRADES, LAST, OLD, KEPT)

REFUSED = {
    b"hello\r\n\r\n": 400,
    b"GET\r\n\r\n": 400,
    b"GET /\r\n\r\n": 400,
    b"GET / HTTP/0.9\r\n\r\n": 400,
    b"GET / HTTP/2.0\r\nHost: x\r\n\r\n": 400,
    b"GET / HTTP/9.9\r\n\r\n": 400,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": 400,
    b"OPTIONS / RTSP/1.0\r\n\r\n": 400,
    b"DESCRIBE rtsp://x/ RTSP/1.0\r\n\r\n": 400,
    b"SOURCE /mount ICE/1.0\r\n\r\n": 400,
    b"CONNECT model:443 HTTP/1.1\r\nHost: model\r\n\r\n": 405,
    b"PROPFIND / HTTP/1.1\r\nHost: x\r\n\r\n": 400,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": 400,
    b"G\x00T / HTTP/1.1\r\n\r\n": 400,
    b"GET /\xff HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/1.1\nHost: x\n\n": 400,
    b"GET / HTTP/1.1\r\nbad header\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nA B: c\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nA : c\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nA: c\r\n folded\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nContent-Length: abc\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nContent-Length: 0x3\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n": 501,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n": 501,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n": 400,
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n": 400,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n": 400,
    b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n": 414,
    b"GET / HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n": 431,
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n": 431,
}


def parsed(*pieces: bytes) -> RequestParser:
    parser = RequestParser()
    for piece in pieces:
        parser.feed(piece)
    return parser


def seen(parser: RequestParser) -> object:
    """All that can be told of what was read."""
    requests = [
        (one.method, one.target, one.version, one.fields, one.keeps_alive, one.announced, b"".join(one.body), one.size)
        for one in parser.whole
    ]
    return requests, parser.is_over, parser.fault and parser.fault.status


def test_a_request_is_read_as_it_was_sent() -> None:
    (request,) = parsed(BODY).whole
    assert (request.method, request.target, request.version) == (b"POST", b"/moderate", "1.1")
    assert request.fields[1] == (b"content-type", b"application/json")
    assert (b"".join(request.body), request.size, request.announced, request.is_whole) == (b"hello", 5, 5, True)
    assert request.keeps_alive


def test_a_chunked_body_loses_its_chunks_and_its_trailers() -> None:
    (request,) = parsed(CHUNKED).whole
    assert (b"".join(request.body), request.announced) == (b"hello", None)
    assert [name for name, _ in request.fields] == [b"host", b"transfer-encoding"]


def test_a_head_is_known_before_its_body() -> None:
    parser = parsed(BODY[:-1])
    assert not parser.whole
    assert parser.begun is not None
    assert (parser.begun.target, parser.begun.size, parser.begun.is_whole) == (b"/moderate", 4, False)


@pytest.mark.parametrize("sent", UPGRADES, ids=["length", "chunked", "none"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_body_of_a_request_that_asks_for_another_protocol_is_not_the_next_request(sent: bytes, size: int) -> None:
    whole = sent + GET
    parser = parsed(*(whole[at : at + size] for at in range(0, len(whole), size)))
    assert [one.target for one in parser.whole] == [b"/a", b"/a?b=%20"]
    assert b"".join(parser.whole[0].body) in (SMUGGLED, b"")
    assert parser.fault is None


@pytest.mark.parametrize(("sent", "status"), REFUSED.items(), ids=lambda one: repr(one)[:50])
def test_what_is_not_a_request_of_ours_is_refused(sent: bytes, status: int) -> None:
    parser = parsed(sent)
    assert not parser.whole
    assert parser.fault is not None
    assert parser.fault.status == status


def test_a_good_request_stays_good_whatever_is_behind_it() -> None:
    parser = parsed(GET + b"nonsense\r\n\r\n")
    assert [one.target for one in parser.whole] == [b"/a?b=%20"]
    assert parser.fault is not None


def test_nothing_is_read_behind_the_last_request_of_a_connection() -> None:
    for sent in (LAST + GET, LAST + b"nonsense", OLD + GET, UPGRADES[0].replace(b"Upgrade,", b"close, Upgrade,") + GET):
        parser = parsed(sent)
        assert (len(parser.whole), parser.is_over, parser.fault) == (1, True, None), sent


def test_a_body_that_is_cut_off_is_a_fault_and_half_a_head_is_none() -> None:
    cut = parsed(BODY[:-1])
    cut.end()
    assert cut.fault is not None
    assert cut.fault.status == 400
    half = parsed(GET[:20])
    half.end()
    assert half.fault is None
    assert not half.is_idle


@pytest.mark.parametrize(
    "drip",
    [
        (b"GET / HTTP/1.1\r\nA: ", b"x"),
        (b"GET / HTTP/1.1\r\n", b"A: b\r\n"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"A: b\r\n"),
    ],
    ids=["field", "fields", "chunk extension", "trailers"],
)
def test_nothing_besides_a_body_grows_without_an_end(drip: tuple[bytes, bytes]) -> None:
    begin, more = drip
    parser = parsed(begin)
    for _ in range(200):
        parser.feed(more * 500)
        if parser.fault is not None:
            break
    assert parser.fault is not None


def test_a_body_may_come_in_many_small_chunks() -> None:
    parser = parsed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(300):
        parser.feed(b"1\r\nx\r\n" * 100)
    parser.feed(b"0\r\n\r\n")
    assert (parser.fault, len(parser.whole), parser.whole[0].size) == (None, 1, 30_000)


@given(
    requests=st.lists(st.sampled_from([*GOOD, *(one for one in REFUSED if len(one) < 500)]), min_size=1, max_size=4),
    data=st.data(),
)
def test_it_does_not_matter_where_the_bytes_are_cut(requests: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(requests)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)), max_size=12)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert seen(parsed(*pieces)) == seen(parsed(sent))
    assert seen(parsed(*(bytes([one]) for one in sent))) == seen(parsed(sent))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    parser = parsed(data, GET, data)
    parser.end()
    assert all(one.is_whole for one in parser.whole)
