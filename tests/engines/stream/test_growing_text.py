"""Whatever the script and wherever it is cut, a growing text has the tokens of the whole text."""

from __future__ import annotations

import json
import random
import unicodedata
from itertools import pairwise

import pytest
from fake_stream_server import MODEL_DIR
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from moderation_service.core.normal_form import JOINING
from moderation_service.engines.stream.growing_text import GrowingText, Token
from moderation_service.engines.stream.tokenizer import Tokenizer

SOURCE = json.loads((MODEL_DIR / "tokenizer.json").read_text(encoding="utf-8"))
# Hugging Face's own, without control tokens: those are not text.
REFERENCE = HuggingFaceTokenizer.from_str(json.dumps({**SOURCE, "added_tokens": []}))

TEXTS = [
    "Hello world! How's it going?\n\n  \n  x = 5;  y\t\n",
    "今天天气很好，我们去公园吧。你好世界",
    "👩‍👩‍👧‍👦🇩🇪 👍🏽 e\u0301\u0323 né ñ",
    "한국어 \u1112\u1161\u11ab\u1100\u1161",
    "مرحبا بالعالم كيف حالك",
    "สวัสดีครับผมชื่อสมชายยินดีที่ได้รู้จัก",
    "हिन्दी में नमस्ते क्\u200dष",
    "ᄀ가각 \u0915\u093c a\u030a\u0325\u0301",
    "'s 'rest can't  CAN'T we'll'd",
    "…!!! ((( ))) \n\n\n   \n",
    "def f(x):\n\treturn x ** 2  # α→β\r\n\r\n",
    "<|im_start|>assistant\n<think>\n\n</think>\n\n<|im_end|>",
    "a" * 60 + "-" * 70 + " " * 80 + "\n" * 9,
    "\u0301\u0302 leading marks",
    "\x00\x1c\x85\u2028\u00a0\u200b",
]


def grown(tokenizer: Tokenizer, text: str, cuts: list[int]) -> list[Token]:
    """The tokens of the text, given in pieces; at every step those of the whole text so far."""
    whole = REFERENCE.encode(text).ids
    growing, found = GrowingText(tokenizer), []
    bounds = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    for begin, end in pairwise(bounds):
        found += growing.append(text[begin:end])
        assert [token.id for token in found] == whole[: len(found)], "a token was given out that changed later"
        assert not found or found[-1].end <= end
    found += growing.finish()
    assert [token.id for token in found] == whole
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_comes_by_the_character_has_the_tokens_of_the_whole(tokenizer: Tokenizer, text: str) -> None:
    grown(tokenizer, text, list(range(len(text))))


@given(text=st.sampled_from(TEXTS), cuts=st.lists(st.integers(0, 500), max_size=12))
def test_a_text_may_be_cut_anywhere(tokenizer: Tokenizer, text: str, cuts: list[int]) -> None:
    grown(tokenizer, text, cuts)


@given(text=st.text(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=12))
def test_any_text_may_be_cut_anywhere(tokenizer: Tokenizer, text: str, cuts: list[int]) -> None:
    grown(tokenizer, text, cuts)


@given(pieces=st.lists(st.sampled_from([*" \n\t'sreléة한ᆨ가가字👩\u200d\u0301\u0323-!<|5", "'ll", " the", "\r\n"])))
def test_texts_of_what_is_hard_to_cut(tokenizer: Tokenizer, pieces: list[str]) -> None:
    text = "".join(pieces)
    ends = [sum(map(len, pieces[:at])) for at in range(len(pieces))]
    grown(tokenizer, text, ends)


@given(seed=st.integers(0, 10_000), letters=st.text("abc", max_size=40))
def test_merges_of_any_rank_are_foreseen(seed: int, letters: str) -> None:
    """Vocabularies made at random, nastier than any that was trained."""
    rng = random.Random(seed)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces, merges = list("abc"), []
    for _ in range(25):
        pair = rng.choice(pieces), rng.choice(pieces)
        if "".join(pair) not in pieces and len("".join(pair)) <= 8:
            merges.append(pair)
            pieces.append("".join(pair))
    spellings = [*alphabet, *pieces[3:]]
    made = HuggingFaceTokenizer(models.BPE(vocab={one: at for at, one in enumerate(spellings)}, merges=merges))
    made.normalizer, made.pre_tokenizer = REFERENCE.normalizer, REFERENCE.pre_tokenizer
    whole = made.encode(letters).ids
    made.add_tokens([AddedToken(name) for name in ("<|im_start|>", "<|im_end|>", "<think>", "</think>")])
    growing, found = GrowingText(Tokenizer(made)), []
    for letter in letters:
        found += [token.id for token in growing.append(letter)]
        assert found == whole[: len(found)]
    assert found + [token.id for token in growing.finish()] == whole


@pytest.mark.parametrize("text", TEXTS)
def test_every_character_is_under_exactly_one_stretch_of_tokens(tokenizer: Tokenizer, text: str) -> None:
    tokens = grown(tokenizer, text, [3, 7])
    assert tokens[0].begin == 0
    assert tokens[-1].end == len(text)
    assert all(one.end == other.begin for one, other in pairwise(tokens))


def test_a_character_of_several_tokens_belongs_to_the_last_of_them(tokenizer: Tokenizer) -> None:
    tokens = grown(tokenizer, "a👩b", [])
    assert [(token.begin, token.end) for token in tokens] == [(0, 1), (1, 1), (1, 1), (1, 1), (1, 2), (2, 3)]


def test_offsets_count_the_characters_that_were_sent_not_those_of_the_normal_form(tokenizer: Tokenizer) -> None:
    tokens = grown(tokenizer, "cafe\u0301s", [])
    assert tokens[-1].end == 6
    assert {token.end for token in tokens} <= {1, 2, 3, 5, 6}, "the letter and its accent are shown together"


def test_little_waits_even_in_a_script_without_spaces(tokenizer: Tokenizer) -> None:
    text = "今天天气很好我们去公园吃饭看电影然后回家" * 5
    growing, shown = GrowingText(tokenizer), 0
    for at, char in enumerate(text, start=1):
        for token in growing.append(char):
            shown = token.end
        assert at - shown <= 4


def test_an_endless_word_is_given_out_as_it_comes(tokenizer: Tokenizer) -> None:
    growing = GrowingText(tokenizer)
    tokens = growing.append("=" * 50_000)
    assert tokens[-1].end > 48_000
    tokens += growing.finish()
    assert tokens[-1].end == 50_000


def test_a_flushed_text_goes_on_with_a_new_token_and_no_byte_is_lost(tokenizer: Tokenizer) -> None:
    growing = GrowingText(tokenizer)
    found = growing.append("Some bread and but") + growing.flush()
    assert found[-1].end == len("Some bread and but")
    found += growing.append("ter 🎉") + growing.finish()
    assert [token.id for token in found] == [
        *REFERENCE.encode("Some bread and but").ids,
        *REFERENCE.encode("ter 🎉").ids,
    ]
    assert found[-1].end == len("Some bread and butter 🎉")


def test_a_finished_text_takes_no_more(tokenizer: Tokenizer) -> None:
    growing = GrowingText(tokenizer)
    assert growing.append("") == growing.finish() == []
    with pytest.raises(ValueError, match="finished"):
        growing.append("more")


def test_every_character_that_can_join_the_one_before_it_is_waited_for() -> None:
    """All second halves of Unicode's compositions are marks, or in the list of those that are none."""
    second = set()
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            second.add(int(parts[1], 16))
    second |= {0x1161, 0x1175, 0x11A8, 0x11C2}
    marks = {code for code in second if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me")}
    joining = {code for code in second if any(low <= code <= high for low, high in JOINING)}
    assert second <= marks | joining
