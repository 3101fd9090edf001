"""JSON by orjson means what JSON by Python's module means."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.json_text import is_too_deep, read_json, write_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(("deep", "is_too"), [(10, False), (99, False), (100, True), (5000, True)])
def test_a_value_is_nested_a_hundred_times_at_most(deep: int, is_too: bool) -> None:
    value: object = []
    for number in range(deep):
        value = [1, value] if number % 2 else {"a": value, "b": 1}
    # Brackets in texts are none.
    content = b"[" * (2 * deep)
    assert is_too_deep(value, content) is is_too
    assert not is_too_deep([1, [2]], b"[" * 1000)


@given(VALUES)
def test_what_is_written_reads_back_the_same_with_pythons_module(value: object) -> None:
    assert json.loads(write_json(value)) == value


@given(VALUES)
def test_what_pythons_module_wrote_is_read_the_same(value: object) -> None:
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", [b'"\\ud83d"', b"NaN", b"[1e999]"])
def test_what_orjson_refuses_is_read_by_pythons_module(text: bytes) -> None:
    # Compared as text: NaN is not equal to itself.
    assert repr(read_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize("value", [{1: "a"}, 2**70, {"b": (1, 2)}])
def test_what_orjson_refuses_is_written_by_pythons_module(value: object) -> None:
    assert json.loads(write_json(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"a": }'])
def test_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_json(text)


def test_nesting_without_end_is_a_recursion_error() -> None:
    with pytest.raises(RecursionError):
        read_json(b"[" * 100_000)


def test_text_is_written_as_compact_utf8() -> None:
    assert write_json({"message": "抱歉", "n": 1}) == '{"message":"抱歉","n":1}'.encode()


def test_half_a_character_is_written_as_it_was_spelled() -> None:
    assert write_json({"model": "\ud800", "message": "\u62b1"}) == b'{"model":"\\ud800","message":"\\u62b1"}'
