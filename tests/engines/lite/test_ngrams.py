"""The buckets of n-grams, which the weights were trained with: another hash makes noise of them."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.engines.lite.ngrams import LinearHead, buckets

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


# Words, long words, Chinese characters of three and of four bytes, other scripts, marks, digits.
PIECES = ["a pin ", "x" * 25, "it's ", "天地人", "字", "\U00020000典", "да ", "?! ", "42", "\n", "é", "豈"]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=12).map("".join)


@given(st.lists(TEXTS, max_size=6), st.sampled_from([16, 18]), st.sampled_from([0, 101]))
def test_many_texts_are_scored_as_each_is_by_its_buckets(texts, bits, seed):
    weights = np.random.RandomState(bits).randint(-127, 128, size=1 << bits).astype(np.int8)
    head = LinearHead(weights, 0.01, -0.5, seed=seed)
    own = [buckets(text, bits, seed=seed) for text in texts]
    by_bucket = [weights[one].sum(dtype=int) * 0.01 / max(1, len(one)) ** 0.5 - 0.5 for one in own]
    assert head.logits(texts, lambda: None) == pytest.approx(by_bucket, abs=1e-5)
    assert [head.logit(text) for text in texts] == pytest.approx(by_bucket)


@pytest.mark.parametrize("text", ["to pin or not to pin, " * 90, "天地人和，" * 400, "\U00020000天" * 900])
def test_a_long_text_is_scored_by_its_buckets_too(text):
    weights = np.random.RandomState(1).randint(-127, 128, size=1 << BITS).astype(np.int8)
    own = buckets(text, BITS)
    logit = LinearHead(weights, 0.01, -0.5).logit(text)
    assert logit == pytest.approx(weights[own].sum(dtype=int) * 0.01 / len(own) ** 0.5 - 0.5)
