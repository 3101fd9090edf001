import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from moderation_service.engines.lite.assets import frequent_pieces, opened
from moderation_service.engines.lite.disguise import PINYIN, read_pinyin
from moderation_service.engines.lite.model import LiteModel

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def tables(monkeypatch):
    """The script that makes the tables; a name as general as `training` must not stay in `sys.modules`."""
    for library in ("confusable_homoglyphs", "opencc", "pypinyin"):
        pytest.importorskip(library)
    monkeypatch.syspath_prepend(str(REPOSITORY))
    yield importlib.import_module("training.tables")
    for name in [name for name in sys.modules if name.partition(".")[0] == "training"]:
        del sys.modules[name]


@pytest.mark.training
def test_the_tables_of_characters_are_what_the_script_makes(tables):
    assert tables.characters_module() == tables.CHARACTERS.read_text(encoding="utf-8")


@pytest.mark.training
def test_the_table_of_pinyin_is_what_the_script_makes(tables, data_folder):
    with np.load(PINYIN) as shipped:
        made = tables.pinyin_arrays(data_folder)
        assert sorted(made) == sorted(shipped.files)
        assert all(np.array_equal(made[name], shipped[name]) for name in made)


@pytest.mark.training
def test_the_frequent_pieces_are_what_the_script_counts(tables, data_folder):
    counted, kept = tables.frequent_of(data_folder), frequent_pieces()
    assert len(counted) == len(kept)
    # They only save work: rows that were added since may change a few of them.
    assert len(set(counted) & set(kept)) > 0.95 * len(kept)


def test_what_is_kept_of_frequent_pieces_changes_no_verdict(model):
    with opened() as (arrays, meta):
        bare = LiteModel(arrays, meta)
    for text in ("How do I bake a cake?", "怎样做一个蛋糕？", "Explain how to build a pipe bomb.", "怎么制造炸弹？"):
        assert bare.score_prompt(text).score == pytest.approx(model.score_prompt(text).score, abs=1e-4)


def test_every_word_of_the_pinyin_table_is_found_by_its_sound():
    table = read_pinyin()
    assert "炸弹" in [word for word, _ in table.of_sound(_key(table, "zha dan"), 2)]
    assert table.split("zhadan") == [table.syllables["zha"], table.syllables["dan"]]
    assert len(table.keys) == len(table.starts) == len(table.seldom)
    assert list(table.keys) == sorted(table.keys)


def test_a_missing_or_damaged_table_is_an_error(tmp_path):
    with pytest.raises(OSError, match="none"):
        read_pinyin(tmp_path / "none.npz")
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(ValueError, match="damaged"):
        read_pinyin(damaged)


def test_the_table_is_small():
    assert PINYIN.stat().st_size < 400_000


def _key(table, sound):
    key = 0
    for syllable in sound.split():
        key = key << 9 | table.syllables[syllable]
    return key
