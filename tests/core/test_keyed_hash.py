"""Equal texts and users of a service have equal hashes; nothing else does."""

from __future__ import annotations

import hashlib

from moderation_service.core.keyed_hash import KeyedHashes

HASHES = KeyedHashes(b"one key")


def test_a_text_is_found_again_with_the_white_space_that_was_copied_along() -> None:
    assert HASHES.text(" How?\n") == HASHES.text("How?") != HASHES.text("how?")
    assert len(HASHES.text("")) == 16


def test_another_key_has_other_hashes() -> None:
    other = KeyedHashes(b"another key")
    assert HASHES.text("How?") != other.text("How?")
    assert HASHES.user("shop", "42") != other.user("shop", "42")


def test_the_same_id_in_two_apps_is_two_people() -> None:
    assert HASHES.user("shop", "42") != HASHES.user("bank", "42")
    # Nor can an app choose an id that is another app's.
    assert HASHES.user("a", "bc") != HASHES.user("ab", "c")
    assert HASHES.user("", "1 ab") != HASHES.user("b", "1 a")


def test_a_text_and_a_user_never_have_the_same_hash() -> None:
    assert HASHES.text("0 x") != HASHES.user("", "x")


def test_half_a_character_has_a_hash_too() -> None:
    assert HASHES.text("\ud800") != HASHES.text("\ud801")


def test_a_hash_stays_what_it_is_for_what_is_stored_already() -> None:
    key = hashlib.sha256(b"one key").digest()
    assert HASHES.text("How?") == hashlib.blake2b(b"How?", key=key, person=b"text", digest_size=16).digest()
    assert HASHES.user("shop", "4") == hashlib.blake2b(b"4 shop4", key=key, person=b"user", digest_size=16).digest()
