"""Pieces for other languages: texts in those fall into them, English and Chinese ones do not."""

import numpy as np
import pytest

from moderation_service.engines.lite.assets import Unpacked, pack, read, unpack
from moderation_service.engines.lite.tokenizer import Tokenizer

PIECES = ("<unk>", "<s>", "</s>", "\u2581ve", "cino", "\u2581", "v", "e", "c", "i", "n", "o", "\u2581vecino")
SCORES = np.array([0, 0, 0, -5, -6, -3, -7, -7, -7, -7, -7, -7, -8], dtype=np.float32)


def test_only_other_languages_fall_into_the_further_pieces():
    tokenizer = Tokenizer(PIECES, SCORES, common=12)
    assert tokenizer.encode("vecino") == [1, 3, 4, 2]
    assert tokenizer.encode("vecino", is_foreign=True) == [1, 12, 2]


def test_without_further_pieces_all_are_common():
    tokenizer = Tokenizer(PIECES, SCORES)
    assert tokenizer.encode("vecino") == tokenizer.encode("vecino", is_foreign=True) == [1, 12, 2]


def test_further_pieces_change_nothing_in_english_and_chinese():
    arrays, meta = read()
    pieces, common = arrays["pieces"].tobytes().decode().split("\n"), meta["common_pieces"]
    assert common < len(pieces)
    shipped = Tokenizer(pieces, arrays["piece_scores"], common=common)
    fewer = Tokenizer(pieces[:common], arrays["piece_scores"][:common])
    for text in ("My vecino owes me fabricated cinquante euros.", "我的邻居 vecino 今天来了", "x" * 60):
        assert shipped.encode(text) == fewer.encode(text)
        assert shipped.word_score("vecino") == fewer.word_score("vecino")


def test_a_spanish_word_is_one_piece_in_a_spanish_text(model):
    (alone,) = {len(model._tokenizer.encode(word, is_foreign=True)) for word in ("vecino", "llave", "cumpleaños")}
    assert alone == 3  # between the marks of beginning and end


def test_the_stored_vectors_of_pieces_are_the_same():
    pick = np.random.RandomState(0)
    arrays = {
        "table": pick.randint(0, 256, size=(40, 512)).astype(np.uint8),
        "chunk": pick.randint(0, 17, size=40).astype(np.uint8),
    }
    packed = pack(arrays, {})
    assert "table" not in packed
    found, _ = unpack(packed)
    assert found["table"].dtype == np.uint8
    assert np.array_equal(found["table"], arrays["table"])


def test_arrays_are_unpacked_when_they_are_asked_for_and_changes_take_their_place():
    packed = pack({"matrix": np.arange(4096, dtype=np.float32) % 7, "numbers": np.arange(3)}, {})
    arrays = Unpacked(packed, {"numbers": np.zeros(3)})
    assert sorted(arrays) == ["matrix", "numbers"]
    assert "matrix.codes" not in arrays
    assert np.array_equal(arrays["matrix"], np.arange(4096) % 7)
    assert not arrays["numbers"].any()
    with pytest.raises(KeyError):
        arrays["matrix.codes"]
