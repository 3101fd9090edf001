"""Embeddings of the training texts with the pruned encoder, cached on disk by text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moderation_service.engines.lite.encoder import DIMENSIONS, Encoder
from moderation_service.engines.lite.text import clean
from moderation_service.engines.lite.tokenizer import Tokenizer

__all__ = ["TRAINING_CHARS", "EmbeddingCache"]

TRAINING_CHARS = 600
_BATCH = 64


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

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text."""
        cut = [clean(text)[:TRAINING_CHARS] for text in texts]
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in cut]
        missing = {key: text for key, text in zip(keys, cut, strict=True) if key not in self._row}
        if missing:
            self._add(missing)
        return self._vectors[[self._row[key] for key in keys]]

    def _add(self, missing: dict[bytes, str]) -> None:
        # By length, so that a batch holds texts alike; a text's result depends on its batch by rounding only.
        keys = sorted(missing, key=lambda key: (len(missing[key]), key))
        fresh = np.empty((len(keys), DIMENSIONS), dtype=np.float32)
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            fresh[start : start + len(part)] = self._encoder.encode(
                [self._tokenizer.encode(missing[key]) for key in part]
            )
        for index, key in enumerate(keys):
            self._row[key] = len(self._vectors) + index
        self._vectors = np.concatenate((self._vectors, fresh))
        stored_keys = np.frombuffer(b"".join(self._row), dtype=np.uint8).reshape(-1, 32)
        np.savez(self._path, keys=stored_keys, vectors=self._vectors)
