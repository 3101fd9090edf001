"""What lies in the cluster memory: unreadable and not to be made up without the key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moderation_service.cluster.seal import Seal

KEY = b"a-key-for-all-gateways"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(name=st.binary(max_size=40), value=st.binary(max_size=400))
def test_what_was_sealed_is_opened_by_every_gateway_with_the_key(name: bytes, value: bytes) -> None:
    kept = Seal(KEY).sealed(name, value, ttl_s=10)
    assert Seal(KEY).opened(name, kept) == value
    assert len(value) < 8 or value not in kept


@given(value=st.binary(max_size=60), place=st.integers(0, 200), bit=st.integers(0, 7))
def test_a_value_with_one_bit_changed_is_none(value: bytes, place: int, bit: int) -> None:
    seal = Seal(KEY)
    kept = bytearray(seal.sealed(b"name", value, ttl_s=10))
    kept[place % len(kept)] ^= 1 << bit
    assert seal.opened(b"name", bytes(kept)) is None


@given(st.binary(max_size=100))
def test_what_somebody_else_wrote_is_none(kept: bytes) -> None:
    assert Seal(KEY).opened(b"name", kept) is None


def test_a_value_is_none_under_another_name_with_another_key_and_when_it_is_old() -> None:
    clock = Clock()
    seal = Seal(KEY, clock=clock)
    kept = seal.sealed(b"name", b"value", ttl_s=10)
    assert seal.opened(b"other", kept) is None
    assert Seal(b"another key").opened(b"name", kept) is None
    clock.now += 100
    assert seal.opened(b"name", kept) is None


def test_names_and_derived_keys_tell_nothing_without_the_key() -> None:
    one, other = Seal(KEY), Seal(b"another key")
    assert one.name(b"question") == Seal(KEY).name(b"question") != other.name(b"question")
    assert one.derived("a") == Seal(KEY).derived("a") != one.derived("b")
    assert one.derived("a") != other.derived("a")
