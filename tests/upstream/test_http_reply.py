"""HTTP replies, in whatever pieces the bytes come, and those that are none."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.upstream.http_reply import BodyTooLarge, GarbledReply, ReplyReader

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT = 200_000


def read(
    data: bytes,
    cuts: Iterable[int] = (),
    *,
    closes: bool = False,
    until_close: bool = False,
    limit: int = LIMIT,
    reader: ReplyReader | None = None,
) -> ReplyReader:
    """A reader that has got these bytes in pieces."""
    reader = reader or ReplyReader()
    reader.begin(max_body_bytes=limit, until_close=until_close)
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    for start, end in itertools.pairwise(edges):
        reader.feed(data[start:end])
    if closes:
        reader.end()
    return reader


def outcome(data: bytes, cuts: Iterable[int] = ()) -> object:
    """Everything that is known of a reply, or that it is refused."""
    try:
        reader = read(data, cuts, until_close=True)
    except GarbledReply as error:
        return type(error)
    return reader.status, dict(reader.headers), reader.is_complete, reader.keeps_alive, reader.take()


WHOLE = [
    (HEAD + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    (HEAD + b"Content-Length: 0\r\n\r\n", b""),
    (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b""),
    (b"HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", b""),
    (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (
        CHUNKED + b"5;ext=1\r\nhello\r\n00c\r\n and \r\n more\r\n0\r\nTrailer: x\r\nX: y\r\n\r\n",
        b"hello and \r\n more",
    ),
    (HEAD + b"TRANSFER-ENCODING: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi", b"hi"),
    (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\nX: 1\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi", b"hi"),
    (b"HTTP/1.1 100 A\r\n\r\nHTTP/1.1 102 B\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi", b"hi"),
    (HEAD + b"Content-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
]


@pytest.mark.parametrize(("data", "body"), WHOLE)
def test_a_reply_is_read_and_another_can_follow(data: bytes, body: bytes) -> None:
    reader = ReplyReader()
    for cuts in ((), range(len(data))):
        read(data, cuts, reader=reader)
        assert (reader.is_complete, reader.keeps_alive, reader.take()) == (True, True, body)


def test_status_and_headers_are_read() -> None:
    data = b"HTTP/1.1 429 Too Many\r\nRetry-After:  7 \r\nX: a\r\nx: b\r\nContent-Length: 0\r\n\r\n"
    reader = read(data)
    assert (reader.status, reader.headers[b"retry-after"], reader.headers[b"x"]) == (429, b"7", b"a")


def test_the_fields_of_an_interim_reply_are_forgotten() -> None:
    reader = read(b"HTTP/1.1 103 X\r\nRetry-After: 7\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert dict(reader.headers) == {b"content-length": b"0"}


def test_the_body_can_be_taken_as_it_comes() -> None:
    reader = read(CHUNKED + b"2\r\nab\r\n")
    assert (reader.status, reader.take(), reader.is_complete) == (200, b"ab", False)
    reader.feed(b"1\r\nc\r\n0\r\n\r\n")
    assert (reader.take(), reader.is_complete) == (b"c", True)


def test_a_reply_without_a_length_ends_with_the_connection_where_that_is_allowed() -> None:
    for head in (HEAD, b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"):
        reader = read(head + b"\r\nhello", until_close=True)
        assert not reader.is_complete
        reader.end()
        assert (reader.is_complete, reader.keeps_alive, reader.take()) == (True, False, b"hello")
        with pytest.raises(GarbledReply):
            read(head + b"\r\nhello")


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi",
        HEAD + b"Connection: a, Close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        HEAD + b"Content-Length: 2\r\n\r\nhi and more",
        HEAD + b"Content-Length: 2\r\n\r\nhi" + HEAD + b"Content-Length: 5\r\n\r\nSafe!",
        CHUNKED + b"2\r\nhi\r\n0\r\n\r\n!",
        b"HTTP/1.1 204 No Content\r\n\r\nhi",
    ],
)
def test_the_reply_counts_but_nothing_more_is_read_from_that_connection(data: bytes) -> None:
    for cuts in ((), range(len(data))):
        reader = read(data, cuts)
        assert (reader.is_complete, reader.keeps_alive) == (True, False)
        assert reader.take() == (b"" if reader.status == 204 else b"hi")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        HEAD + b"Content-Length: 5\r\n\r\nhell",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nTrailer: x\r\n",
    ],
)
def test_a_reply_that_breaks_off_is_not_taken_for_a_whole_one(data: bytes) -> None:
    for until_close in (False, True):
        with pytest.raises(GarbledReply):
            read(data, closes=True, until_close=until_close)


NO_REPLIES = [
    # No HTTP, or another one.
    b"<html>\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"ICE/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nRTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"\r\n" + HEAD + b"Content-Length: 0\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 199 Odd\r\nContent-Length: 2\r\n\r\nhi" + HEAD + b"Content-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    # Odd fields.
    HEAD + b"no colon\r\n\r\n",
    HEAD + b"A : b\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"A: b\x00\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"A: b\rc\r\nContent-Length: 0\r\n\r\n",
    # Where does it end?
    HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    *(HEAD + b"Content-Length: " + one + b"\r\n\r\n12345"
      for one in (b"-5", b"+5", b"5_0", b"0x5", b"5, 5", b"5 5", b"")),
    HEAD + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # What is it?
    HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    HEAD + b"Content-Encoding: identity, gzip\r\nContent-Length: 1\r\n\r\nx",
    HEAD + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    HEAD + b"Content-Type: text/plain\r\nContent-Type: text/event-stream\r\nContent-Length: 1\r\n\r\nx",
    HEAD + b"Connection: keep-alive\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    # Chunks.
    *(CHUNKED + size + b"\r\nhi\r\n0\r\n\r\n" for size in (b"x", b"-2", b"", b"0x2", b"2 ", b" 2", b"+2", b"1" * 5000)),
    CHUNKED + b"1\r\nab\r\n",
    CHUNKED + b"1\r\na\rb",
    CHUNKED + b"2\nhi\n0\n\n",
    # Too much of it.
    HEAD + b"x" * 70_000,
    HEAD + b"X: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"X: " + b" " * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"".join(b"X%d: 1\r\n" % number for number in range(256)) + b"Content-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3000 + HEAD + b"Content-Length: 0\r\n\r\n",
    CHUNKED + b"1;" + b"x" * 300_000 + b"\r\na\r\n0\r\n\r\n",
    CHUNKED + b"".join(b"1;%s\r\na\r\n" % (b"x" * 100) for _ in range(5000)) + b"0\r\n\r\n",
    CHUNKED + b"0\r\n" + b"Trailer: x\r\n" * 20_000 + b"\r\n",
    HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1),
    CHUNKED + b"%x\r\n%s" % (LIMIT + 1, b"x" * (LIMIT + 1)),
]  # fmt: skip


@pytest.mark.parametrize("data", NO_REPLIES)
def test_what_is_no_reply_is_refused_however_it_comes(data: bytes) -> None:
    every = range(0, len(data), max(1, len(data) // 700))
    for cuts in ((), every):
        with pytest.raises(GarbledReply):
            read(data, cuts, closes=True)


def test_a_body_over_the_limit_is_told_from_nonsense() -> None:
    for data in (HEAD + b"Content-Length: 6\r\n\r\n", CHUNKED + b"6\r\n123456", HEAD + b"\r\n123456"):
        with pytest.raises(BodyTooLarge):
            read(data, limit=5, until_close=True)
    assert read(HEAD + b"Content-Length: 5\r\n\r\n12345", limit=5).is_complete


def test_a_long_stream_of_small_chunks_is_within_the_bounds() -> None:
    data = CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    assert read(data).take() == b"x" * 100_000


def test_the_head_may_be_as_long_as_the_limit() -> None:
    def of(size: int) -> bytes:
        head = HEAD + b"Content-Length: 1\r\nX: \r\n\r\n"
        return head.replace(b"X: ", b"X: " + b"x" * (size - len(head))) + b"y"

    assert read(of(65_536)).take() == b"y"
    with pytest.raises(GarbledReply):
        read(of(65_537))


REPLIES = st.one_of(
    st.sampled_from([data for data, _ in WHOLE] + [data for data in NO_REPLIES if len(data) < 1000]),
    st.binary(max_size=100),
    st.lists(st.binary(min_size=1, max_size=40), max_size=6).map(
        lambda parts: CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    ),
    st.lists(
        st.sampled_from([HEAD, b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
                         b"X: y\r\n", b"\r\n", b"3\r\n", b"abc", b"0\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"\n", b" "]),
        max_size=12,
    ).map(b"".join),
)  # fmt: skip


@given(REPLIES, st.binary(max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_it_makes_no_difference_in_which_pieces_the_bytes_come(data: bytes, more: bytes, cuts: list[int]) -> None:
    for sent in (data, data + more):
        assert outcome(sent, cuts) == outcome(sent) == outcome(sent, range(len(sent)))


@pytest.mark.parametrize("blank", [b"", b" " * 40_000])
@given(cuts=st.lists(st.integers(0, 300_000), max_size=6), size=st.integers(0, 200_000), framing=st.integers(1, 200))
def test_nor_does_it_for_what_is_near_the_bounds(blank: bytes, cuts: list[int], size: int, framing: int) -> None:
    extension = b";" + b"x" * framing
    data = HEAD + b"X: " + blank + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    data += b"".join(b"4%s\r\nabcd\r\n" % extension for _ in range(size // (framing + 10))) + b"0\r\n\r\n"
    assert outcome(data, cuts) == outcome(data)


def test_what_is_taken_for_granted_of_llhttp_still_holds() -> None:
    """When this fails with a newer `httptools`, look at the reader before the bound in pyproject.toml is raised."""

    class Notes:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def on_message_begin(self) -> None:
            self.calls.append("begin")

        def on_header(self, name: bytes, value: bytes) -> None:
            self.calls.append(name.decode())

        def on_headers_complete(self) -> None:
            self.calls.append("headers")

        def on_body(self, part: bytes) -> None:
            self.calls.append("body")

        def on_message_complete(self) -> None:
            self.calls.append("complete")

    def calls(data: bytes) -> list[str]:
        notes = Notes()
        parser = httptools.HttpResponseParser(notes)
        parser.feed_data(data)
        return notes.calls

    # An interim reply is a message of its own, an undelimited one never ends, trailers come as headers.
    assert calls(b"HTTP/1.1 100 C\r\n\r\n" + HEAD + b"\r\nx") == [
        "begin",
        "headers",
        "complete",
        "begin",
        "headers",
        "body",
    ]
    assert calls(CHUNKED + b"0\r\nT: 1\r\n\r\n") == ["begin", "Transfer-Encoding", "headers", "T", "complete"]

    class Raising(Notes):
        def on_headers_complete(self) -> None:
            raise KeyError

    # What a callback raises is the context of what comes out.
    with pytest.raises(httptools.HttpParserCallbackError) as caught:
        httptools.HttpResponseParser(Raising()).feed_data(HEAD + b"\r\n")
    assert isinstance(caught.value.__context__, KeyError)
    with pytest.raises(httptools.HttpParserUpgrade):
        httptools.HttpResponseParser(Notes()).feed_data(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
