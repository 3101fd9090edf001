"""The memory that workers share: what it keeps, what it forgets, and that a damaged value is none."""

from __future__ import annotations

import mmap
import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.streaming.shared_store import SharedStore

KILOBYTE = 1024


@pytest.fixture
def store() -> Iterator[SharedStore]:
    one = SharedStore(size_bytes=256 * KILOBYTE, ttl_s=60)
    yield one
    one.close()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_value_is_found_under_its_name(store: SharedStore) -> None:
    assert store.put(b"name", b"value")
    assert (store.get(b"name"), store.get(b"other")) == (b"value", None)


def test_the_last_value_counts(store: SharedStore) -> None:
    for value in (b"x" * 5000, b"short", b"", b"y" * 3000):
        store.put(b"name", value)
        assert store.get(b"name") == value


@given(st.dictionaries(st.binary(max_size=40), st.binary(max_size=4000), max_size=12))
def test_whatever_is_put_comes_back_as_it_was(values: dict[bytes, bytes]) -> None:
    store = SharedStore(size_bytes=1024 * KILOBYTE, ttl_s=60)
    for name, value in values.items():
        store.put(name, value)
    assert {name: store.get(name) for name in values} == values
    store.close()


def test_a_value_is_forgotten_after_its_time() -> None:
    clock = Clock()
    store = SharedStore(size_bytes=64 * KILOBYTE, ttl_s=10, clock=clock)
    store.put(b"name", b"value" * 1000)
    clock.now += 9.9
    assert store.get(b"name") == b"value" * 1000
    clock.now += 0.2
    assert store.get(b"name") is None


def test_memory_is_bounded_and_older_values_make_room() -> None:
    clock = Clock()
    store = SharedStore(size_bytes=64 * KILOBYTE, ttl_s=1000, clock=clock)
    for number in range(1000):
        clock.now += 1
        store.put(b"%d" % number, b"v" * 700)
    kept = [number for number in range(1000) if store.get(b"%d" % number) is not None]
    assert 16 <= len(kept) <= 64
    assert kept[-1] == 999
    assert min(kept) > 800


def test_a_value_that_is_too_long_is_not_kept(store: SharedStore) -> None:
    longest = b"x" * SharedStore.MAX_VALUE_BYTES
    assert not store.put(b"name", longest + b"x")
    assert store.get(b"name") is None
    assert store.put(b"name", longest)
    assert store.get(b"name") == longest


def test_a_store_of_no_size_forgets_everything() -> None:
    store = SharedStore(size_bytes=0, ttl_s=60)
    assert not store.is_on
    assert not store.put(b"name", b"value")
    assert store.get(b"name") is None


def test_a_part_that_is_gone_makes_the_whole_value_gone() -> None:
    """A long value lies in several places; some of them may be overwritten by others."""
    store = SharedStore(size_bytes=16 * KILOBYTE, ttl_s=60)
    store.put(b"long", b"x" * 5000)
    found = []
    for number in range(50):
        store.put(b"%d" % number, bytes([number]) * 700)
        found.append(store.get(b"long"))
    still_there = found.index(None)
    assert found == [b"x" * 5000] * still_there + [None] * (50 - still_there)


def test_a_damaged_value_is_forgotten_rather_than_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What two processes write at once, or one that is killed while it writes, leaves behind."""
    maps: list[mmap.mmap] = []
    make = mmap.mmap

    def kept(*arguments: int) -> mmap.mmap:
        maps.append(make(*arguments))
        return maps[-1]

    monkeypatch.setattr(mmap, "mmap", kept)
    store = SharedStore(size_bytes=8 * KILOBYTE, ttl_s=60)
    value = b"value" * 300
    store.put(b"name", value)
    (memory,) = maps
    whole = memory[:]
    chance = random.Random(7)
    for _ in range(2000):
        at = chance.randrange(len(whole))
        memory[at] ^= 1 << chance.randrange(8)
        assert store.get(b"name") in (value, None)
        memory[:] = whole
    assert store.get(b"name") == value


def in_child(work: object) -> None:
    """Run this in a forked process and wait for its end."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()  # type: ignore[operator]
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_forked_processes_see_each_others_values(store: SharedStore) -> None:
    def child() -> None:
        assert store.get(b"parent") == b"of the parent"
        store.put(b"child", b"of the child" * 200)

    store.put(b"parent", b"of the parent")
    in_child(child)
    assert store.get(b"child") == b"of the child" * 200


def test_processes_that_write_at_once_never_see_a_mixture(store: SharedStore) -> None:
    values = [bytes([65 + number]) * 3500 for number in range(4)]

    def hammer(own: bytes) -> None:
        for _ in range(300):
            store.put(b"same", own)
            assert store.get(b"same") in (*values, None)

    children = []
    for value in values:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                hammer(value)
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0, 0]
    store.put(b"same", b"last")
    assert store.get(b"same") == b"last"
