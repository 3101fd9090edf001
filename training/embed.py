"""Embeddings of the training texts with the pruned encoder, cached on disk by text.

Each text goes through the encoder alone. In a batch the last bits of a vector depend on the texts beside it, and
weights trained with a full cache would differ from those of a first build.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moderation_service.engines.lite.encoder import DIMENSIONS, Encoder
from moderation_service.engines.lite.text import clean
from moderation_service.engines.lite.tokenizer import Tokenizer

__all__ = ["TRAINING_CHARS", "EmbeddingCache"]

TRAINING_CHARS = 600
_MOST_PROCESSES = 2
_CHUNK, _WORTH_PROCESSES = 200, 2000
_FOREIGN_MARK = b"other languages\0"
_Embedder = Callable[[str], NDArray[np.float32]]


class EmbeddingCache:
    """Embeds the first 600 characters of cleaned texts; each distinct text costs one pass, ever."""

    def __init__(self, tokenizer: Tokenizer, encoder: Encoder, path: Path) -> None:
        self._tokenizer, self._encoder, self._path = tokenizer, encoder, path
        self._row: dict[bytes, int] = {}
        self._vectors = np.empty((0, DIMENSIONS), dtype=np.float32)
        if path.exists():
            with np.load(path, allow_pickle=False) as stored:
                self._vectors = stored["vectors"]
                self._row = {bytes(key): index for index, key in enumerate(stored["keys"])}

    def embed(self, texts: Sequence[str], *, is_foreign: bool = False) -> NDArray[np.float32]:
        """Return one row per text; in other languages than English and Chinese the further pieces are used."""
        cut = [clean(text)[:TRAINING_CHARS] for text in texts]
        mark = _FOREIGN_MARK if is_foreign else b""
        keys = [hashlib.sha256(mark + text.encode("utf-8", "surrogatepass")).digest() for text in cut]
        missing = {key: text for key, text in zip(keys, cut, strict=True) if key not in self._row}
        if missing:
            self._add(missing, is_foreign=is_foreign)
        return self._vectors[[self._row[key] for key in keys]]

    def _add(self, missing: dict[bytes, str], *, is_foreign: bool) -> None:
        texts = list(missing.values())
        one = partial(self.embed_one, is_foreign=is_foreign)
        if len(texts) < _WORTH_PROCESSES or (processes := min(_MOST_PROCESSES, os.cpu_count() or 1)) == 1:
            fresh = list(map(one, texts))
        else:
            # Forked: the encoder is shared and not pickled.
            forked = multiprocessing.get_context("fork")
            with forked.Pool(processes, initializer=_remember, initargs=(one,)) as pool:
                fresh = pool.map(_embed_one, texts, chunksize=_CHUNK)
        for index, key in enumerate(missing):
            self._row[key] = len(self._vectors) + index
        self._vectors = np.concatenate((self._vectors, np.stack(fresh)))
        stored_keys = np.frombuffer(b"".join(self._row), dtype=np.uint8).reshape(-1, 32)
        np.savez(self._path, keys=stored_keys, vectors=self._vectors)

    def embed_one(self, cut: str, *, is_foreign: bool = False) -> NDArray[np.float32]:
        """Embed one text that is cleaned and cut already, past the cache."""
        return self._encoder.encode([self._tokenizer.encode(cut, is_foreign=is_foreign)])[0]


_embedders: list[_Embedder] = []


def _remember(embedder: _Embedder) -> None:
    """Run in a forked process: what `_embed_one` uses there."""
    _embedders[:] = [embedder]


def _embed_one(cut: str) -> NDArray[np.float32]:
    return _embedders[0](cut)
