"""The n-grams of languages beside English and Chinese: what counts as the same word, and what they add to a score."""

import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.engines.lite import foreign_ngrams
from moderation_service.engines.lite.assets import read
from moderation_service.engines.lite.foreign_ngrams import ForeignHead, foreign_buckets
from moderation_service.engines.lite.model import LiteModel

BITS = 17


def hashed(*grams):
    return {zlib.crc32(gram.encode()) % (1 << BITS) for gram in grams}


def found(text):
    return set(foreign_buckets(text, BITS))


@pytest.fixture(scope="module")
def with_words():
    """The shipped model, and the same with words of its own: those about forging are harmful, no others are."""
    arrays, meta = read()
    weights = np.zeros(1 << BITS, dtype=np.int8)
    weights[list(hashed("wfälschen", "wتزوير", "w위조", "w作る"))] = 100
    changed = {**arrays, "foreign_ngrams": weights}
    settings = {**meta, "foreign_linear": {"scale": 0.1, "bias": -0.5}}
    silent = {**arrays, "foreign_ngrams": np.zeros(1 << BITS, dtype=np.int8)}
    return LiteModel(changed, settings), LiteModel(silent, {**meta, "foreign_linear": {"scale": 0.1, "bias": 0.0}})


def test_a_word_counts_whole_in_parts_and_with_the_next_one():
    of_am = ["wam", "c<a", "cam", "cm>", "c<am", "cam>", "c<am>"]
    of_tal = ["wtal", "c<t", "cta", "cal", "cl>", "c<ta", "ctal", "cal>", "c<tal", "ctal>", "c<tal>"]
    assert found("Am Tal") == hashed(*of_am, *of_tal, "pam tal")


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("كَيْفَ أَصْنَعُ خُبْزًا", "كيف اصنع خبزا"),
        ("كيـــف أصنع", "كيف اصنع"),
        ("إلى مدرسة", "الي مدرسه"),
        ("ÜBER 7", "über 0"),
    ],
)
def test_spellings_of_one_word_are_alike(written, plain):
    assert found(written) == found(plain)


def test_accents_that_make_another_word_are_kept():
    assert found("schon") != found("schön")


def test_japanese_counts_by_one_to_four_characters():
    assert found("犬と猫") == hashed("w犬と猫", "c犬", "cと", "c猫", "c犬と", "cと猫", "c犬と猫")


def test_forms_of_a_verb_share_most_of_what_they_are_hashed_by():
    assert len(found("stehlen") & found("stehle")) > len(found("stehlen") & found("fehlen"))


def test_only_the_first_six_hundred_characters_count():
    assert found("uno " * 150 + "bomba") == found("uno " * 150)


def test_the_logit_is_the_sum_of_weights_over_the_root_of_their_number():
    head = ForeignHead(np.full(1 << BITS, 3, dtype=np.int8), scale=0.5, bias=-1.0)
    count = len(found("hola"))
    assert head.logit("hola") == pytest.approx(3 * 0.5 * count / math.sqrt(count) - 1.0)
    assert head.logit("?!") == -1.0


def test_weights_without_these_n_grams_say_nothing():
    assert ForeignHead.of({}, {}).logit("Wie backe ich ein Brot?") == 0.0


@given(st.text(max_size=700))
def test_any_text_has_buckets_in_range(text):
    assert all(0 <= bucket < 1 << BITS for bucket in foreign_buckets(text, BITS))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Wie kann ich einen Ausweis fälschen?", 1 / 2),
        ("كيف يمكنني تزوير شهادة؟", 3 / 4),
        ("作る!これを?", 1 / 2),
        ("여권 위조 방법을 알려 주세요", 3 / 4),
    ],
)
def test_words_add_a_share_of_their_logit_to_a_prompt_in_another_language(with_words, text, share):
    model, silent = with_words
    logit = 100 * 0.1 / math.sqrt(len(found(text))) - 0.5
    assert model.prompt_parts(text).whole - silent.prompt_parts(text).whole == pytest.approx(logit * share)


@pytest.mark.parametrize("text", ["How do I fälschen a passport?", "怎么fälschen护照？我想知道"])
def test_they_say_nothing_of_english_and_chinese(with_words, text):
    model, silent = with_words
    assert model.prompt_parts(text).whole == silent.prompt_parts(text).whole


def test_they_say_nothing_of_answers(with_words):
    model, silent = with_words
    asked, answer = "Wie geht das?", "Man kann einen Ausweis nicht einfach fälschen, das ist strafbar."
    scores = [one.score_response(asked, answer, refusal=False).score for one in (model, silent)]
    assert scores[0] == scores[1]


def test_long_words_are_not_kept():
    # Each has thousands of parts: of a few thousand such words the memory would be full.
    before = foreign_ngrams._of_word.cache_info()
    for number in range(20):
        found(f"{number}".rjust(3, "0") + "ж" * 500)
        found("これは長い文です" * 20 + f"{number}")
    assert foreign_ngrams._of_word.cache_info() == before


def test_a_long_word_has_the_parts_of_a_short_one():
    assert found("x" + "ж" * 30) == hashed(
        "w" + "x" + "ж" * 30,
        *("c" + part for part in ("<x", "<xж", "<xжж", "<xжжж", "xж", "xжж", "xжжж", "xжжжж")),
        *("c" + "ж" * size for size in (2, 3, 4, 5)),
        *("c" + "ж" * (size - 1) + ">" for size in (2, 3, 4, 5)),
    )
