"""HTTP replies, in whatever pieces the bytes come, and those that are none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.upstream.http_reply import GarbledReply, HttpReply

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def read(data: bytes, *cuts: int, closes: bool = False) -> tuple[HttpReply, bytes]:
    reply = HttpReply()
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    body = b"".join([reply.feed(data[start:end]) for start, end in itertools.pairwise(edges)])
    if closes:
        reply.end()
    return reply, body


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (HEAD + b"content-length: 5\r\n\r\nhello and more", b"hello"),
        (HEAD + b"Content-Length: 0\r\n\r\n", b""),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (CHUNKED + b"5;ext=1\r\nhello\r\n00c\r\n and \r\n more\r\n0\r\nTrailer: x\r\n\r\n", b"hello and \r\n more"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.0 204 No Content\r\n\r\n", b""),
    ],
)
def test_a_reply_is_read(data: bytes, body: bytes) -> None:
    for cuts in ((), range(len(data))):
        reply, found = read(data, *cuts)
        assert (reply.is_complete, found) == (True, body)


def test_status_and_headers_are_read() -> None:
    reply, _ = read(b"HTTP/1.1 429 Too Many\r\nRetry-After:  7\r\nX: a\r\nx: b\r\nContent-Length: 0\r\n\r\n")
    assert (reply.status, reply.headers["retry-after"], reply.headers["x"]) == (429, "7", "a")


def test_a_reply_without_a_length_ends_with_the_connection() -> None:
    reply, body = read(HEAD + b"\r\nhello", closes=True)
    assert (reply.is_complete, body) == (True, b"hello")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        HEAD + b"Content-Length: 5\r\n\r\nhell",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
    ],
)
def test_a_reply_that_breaks_off_is_not_taken_for_a_whole_one(data: bytes) -> None:
    with pytest.raises(GarbledReply):
        read(data, closes=True)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 5_0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"0x5\r\n",
        CHUNKED + b"1\r\nab\r\n",
        CHUNKED + b"1\r\na\rb",
        CHUNKED + b"1" * 5000,
        b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000,
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    for cuts in ((), range(0, len(data), 7)):
        with pytest.raises(GarbledReply):
            read(data, *cuts)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(0, 400)))
def test_it_makes_no_difference_in_which_pieces_the_bytes_come(parts: list[bytes], cuts: list[int]) -> None:
    data = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    reply, body = read(data, *cuts)
    assert (reply.is_complete, body) == (True, b"".join(parts))
