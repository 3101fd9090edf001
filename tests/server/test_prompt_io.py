"""Socket calls that never wait."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from moderation_service.upstream.prompt_io import has_input, receive_now, send_now, watch_again

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_what_was_sent_arrives(pair: Pair) -> None:
    ours, theirs = pair
    sent = bytes(range(256)) * 4
    assert send_now(ours.fileno(), sent) == len(sent)
    assert receive_now(theirs.fileno()) == sent


def test_nothing_sent_is_none_and_the_end_is_empty(pair: Pair) -> None:
    ours, theirs = pair
    assert receive_now(theirs.fileno()) is None
    assert not has_input(theirs.fileno())
    ours.shutdown(socket.SHUT_WR)
    assert has_input(theirs.fileno())
    assert receive_now(theirs.fileno()) == b""


def test_looking_takes_nothing_away(pair: Pair) -> None:
    ours, theirs = pair
    ours.sendall(b"ab")
    assert has_input(theirs.fileno())
    assert receive_now(theirs.fileno()) == b"ab"


def test_no_more_is_taken_than_was_asked_for(pair: Pair) -> None:
    ours, theirs = pair
    ours.sendall(b"abcdef")
    assert [receive_now(theirs.fileno(), 4), receive_now(theirs.fileno(), 4)] == [b"abcd", b"ef"]


def test_a_full_socket_takes_a_part_and_then_nothing(pair: Pair) -> None:
    ours, theirs = pair
    data = b"x" * 100_000
    total = 0
    while sent := send_now(ours.fileno(), data):
        total += sent
    assert send_now(ours.fileno(), data) == 0
    received = 0
    while (part := receive_now(theirs.fileno())) is not None:
        received += len(part)
    assert received == total > 0


def test_sending_to_somebody_who_has_gone_is_an_error_and_no_signal(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(BrokenPipeError):
        send_now(ours.fileno(), b"x")


def test_a_descriptor_that_is_none_is_an_error() -> None:
    for call in (lambda: send_now(-1, b"x"), lambda: receive_now(-1)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()


def test_readiness_is_told_once_until_it_is_asked_for_again(pair: Pair) -> None:
    ours, theirs = pair
    once = select.EPOLLIN | select.EPOLLONESHOT
    with select.epoll() as epoll:
        epoll.register(theirs.fileno(), once)
        ours.sendall(b"x")
        assert epoll.poll(0) == [(theirs.fileno(), select.EPOLLIN)]
        assert epoll.poll(0) == []
        watch_again(epoll.fileno(), theirs.fileno(), once)
        assert epoll.poll(0) == [(theirs.fileno(), select.EPOLLIN)]


def test_watching_what_is_not_watched_does_nothing(pair: Pair) -> None:
    with select.epoll() as epoll:
        watch_again(epoll.fileno(), pair[0].fileno(), select.EPOLLOUT)
        assert epoll.poll(0) == []
