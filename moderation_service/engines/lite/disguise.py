"""What the model takes a disguised text for: the decoders, with its own vocabulary as their dictionary."""

import zipfile
from array import array
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.text_views.decoded import Decoders
from ...core.text_views.pinyin import PinyinTable
from .assets import WEIGHTS
from .text import clean
from .tokenizer import Tokenizer

__all__ = ["PINYIN", "decoders", "read_pinyin"]

PINYIN = WEIGHTS.parent / "pinyin.npz"


def decoders(tokenizer: Tokenizer, pinyin: PinyinTable | None) -> Decoders:
    """Decoders that know the words of the encoder's vocabulary; pinyin is left alone without a table."""
    return Decoders(words=tokenizer.word_score, table=pinyin, fold=clean)


def read_pinyin(path: Path = PINYIN) -> PinyinTable:
    """Read the shipped table; OSError when it is missing, ValueError or KeyError when it is damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return _table({name: stored[name] for name in stored.files})
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path.name} is damaged") from error


def _table(arrays: Mapping[str, NDArray[np.generic]]) -> PinyinTable:
    keys = array("Q", np.cumsum(arrays["keys"], dtype=np.uint64).tobytes())
    words = arrays["words"].tobytes().decode("utf-16-le")
    return PinyinTable.of(arrays["syllables"].tobytes().decode(), keys, words, arrays["seldom"].tobytes())
