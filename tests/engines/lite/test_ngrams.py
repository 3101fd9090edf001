"""The buckets of n-grams, which the weights were trained with: another hash makes noise of them."""

import zlib

import pytest

from moderation_service.engines.lite.ngrams import buckets

BITS = 18


def hashed(*grams, seed=0):
    return {zlib.crc32(gram.encode(), seed) % (1 << BITS) for gram in grams}


def found(text, seed=0):
    return set(buckets(text, BITS, seed=seed))


@pytest.mark.parametrize("seed", [0, 101])
def test_words_pairs_triples_and_letters_are_hashed(seed):
    letters = ["c<pi", "cpin", "cin>", "c<pin", "cpin>", "c<pin>"]
    grams = ["wa", "wpin", "wx", "ba pin", "bpin x", "ta pin x", *letters]
    assert found("A pin x", seed) == hashed(*grams, seed=seed)


def test_han_runs_are_hashed_by_one_to_four_characters_and_end_what_came_before():
    grams = ["z天", "z地", "z人", "z天地", "z地人", "z天地人", "wa", "wb"]
    assert found("a 天地人 b") == hashed(*grams)


def test_digits_are_all_alike_and_other_letters_stand_alone():
    assert found("it 7") == found("it 0")
    assert found("да") == hashed("wд", "wа", "bд а")


def test_of_a_long_word_only_the_first_twenty_letters_are_looked_at():
    assert found("a" * 40) - found("a" * 60) == hashed("w" + "a" * 40)
