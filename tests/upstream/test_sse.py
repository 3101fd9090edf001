"""Server-sent events, in whatever pieces the bytes come."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.upstream.sse import DONE, Event, EventReader, EventTooLarge, write_event


def read(data: bytes, *cuts: int, max_bytes: int = 10_000) -> list[Event]:
    reader = EventReader(max_bytes=max_bytes)
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [event for start, end in itertools.pairwise(edges) for event in reader.feed(data[start:end])]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: a\n\n", [Event("a")]),
        (b"data:a\n\ndata:  b\n\n", [Event("a"), Event(" b")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [Event("a"), Event("b"), Event("c")]),
        (b"data: a\ndata: b\n\n", [Event("a\nb")]),
        (b": a comment\n\n:\n\ndata: a\n\n", [Event("a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [Event("a", "error"), Event("b")]),
        (b"id: 1\nretry: 10\nother: x\ndata: a\n\n", [Event("a")]),
        (b"data\n\n", [Event("")]),
        (b"event: ping\n\n", []),
        ("data: 你好 🍞\n\n".encode(), [Event("你好 🍞")]),
        (b"data: \xff\n\n", [Event("\ufffd")]),
        (b"data: [DONE]\n\n", [Event(DONE)]),
        (b"data: not ended", []),
        (b"data: not ended\n", []),
    ],
)
def test_events_are_read(data: bytes, expected: list[Event]) -> None:
    assert read(data) == expected
    assert read(data, *range(len(data))) == expected


@given(st.text("ab\n\r:data 你\ufeff").map(str.encode), st.lists(st.integers(0, 200)))
def test_it_makes_no_difference_in_which_pieces_the_bytes_come(data: bytes, cuts: list[int]) -> None:
    assert read(data, *cuts) == read(data)


def test_what_was_begun_and_not_ended_can_be_asked_for() -> None:
    reader = EventReader(max_bytes=100)
    assert reader.feed(b"data: [DONE]") == []
    assert reader.end() == Event(DONE)
    assert reader.end() is None


@pytest.mark.parametrize("data", [b"data: " + b"x" * 200, b"data: x\n" * 200, b"x" * 200])
def test_an_event_has_a_largest_size(data: bytes) -> None:
    with pytest.raises(EventTooLarge):
        read(data, max_bytes=100)


@given(st.lists(st.text(max_size=20) | st.floats(allow_nan=False) | st.integers() | st.none(), max_size=5))
def test_what_is_written_can_be_read(value: object) -> None:
    (event,) = read(write_event(value))
    assert json.loads(event.data) == value


def test_half_of_a_surrogate_pair_goes_on_as_it_came() -> None:
    assert write_event({"content": "\ud83c"}) == b'data: {"content":"\\ud83c"}\n\n'
