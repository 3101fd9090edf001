"""The trainable parts: linear n-gram heads (scikit-learn) and small nets over embeddings (torch), all on one thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression

from moderation_service.engines.lite.foreign_ngrams import foreign_buckets
from moderation_service.engines.lite.ngrams import buckets

__all__ = ["Net", "Quantised", "fit_linear", "fit_nets", "hashed", "hashed_foreign", "joined", "quantise"]

CONTROVERSIAL_TARGET = 0.6


@dataclass(frozen=True)
class Quantised:
    """A linear head as it ships."""

    weights: NDArray[np.int8]
    scale: float
    bias: float


@dataclass(frozen=True)
class Net:
    """One two-layer net: inputs @ first + first_bias, GELU (tanh form), @ second + second_bias."""

    first: NDArray[np.float16]
    first_bias: NDArray[np.float32]
    second: NDArray[np.float16]
    second_bias: NDArray[np.float32]


def hashed(cleaned: Sequence[str], bits: int, *, seed: int = 0) -> csr_matrix:
    """Return one row per text: 1 / sqrt(number of buckets) in each of its buckets."""
    return _matrix((buckets(text, bits, seed=seed) for text in cleaned), bits)


def hashed_foreign(cleaned: Sequence[str], bits: int) -> csr_matrix:
    """The same of the buckets for other languages than English and Chinese."""
    return _matrix((foreign_buckets(text, bits) for text in cleaned), bits)


def _matrix(rows: Iterable[Sequence[int]], bits: int) -> csr_matrix:
    columns: list[int] = []
    values: list[NDArray[np.float32]] = []
    ends = [0]
    for found in rows:
        columns += found
        values.append(np.full(len(found), 1 / np.sqrt(max(len(found), 1)), dtype=np.float32))
        ends.append(len(columns))
    data = np.concatenate(values) if values else np.empty(0, dtype=np.float32)
    return csr_matrix((data, np.array(columns, dtype=np.int32), np.array(ends)), shape=(len(ends) - 1, 1 << bits))


def joined(parts: Sequence[csr_matrix]) -> csr_matrix:
    """Put the columns of several matrices side by side."""
    return hstack(parts, format="csr")


def fit_linear(
    features: csr_matrix,
    targets: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    balanced: bool = False,
    freedom: float = 10,
) -> tuple[NDArray[np.float64], float]:
    """Logistic regression, C = `freedom`. A target between 0 and 1 becomes two rows that share the row's weight."""
    soft = np.flatnonzero((targets > 0) & (targets < 1))
    rows = np.concatenate((np.arange(len(targets)), soft))
    labels = np.concatenate(((targets > 0).astype(int), np.zeros(len(soft), dtype=int)))
    shares = np.where(targets > 0, targets, 1.0) * weights
    shares = np.concatenate((shares, (1 - targets[soft]) * weights[soft]))
    model = LogisticRegression(
        C=freedom,
        solver="liblinear",
        tol=1e-3,
        max_iter=200,
        random_state=0,
        class_weight="balanced" if balanced else None,
    )
    model.fit(features[rows], labels, sample_weight=shares)
    return model.coef_[0], float(model.intercept_[0])


def quantise(weights: NDArray[np.float64], bias: float) -> Quantised:
    """Round to int8, the largest weight at 127."""
    scale = float(np.abs(weights).max()) / 127 or 1.0
    return Quantised(np.round(weights / scale).astype(np.int8), scale, bias)


def fit_nets(
    inputs: NDArray[np.float32],
    targets: NDArray[np.float32],
    masks: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    seeds: Sequence[int],
    epochs: int,
    noise: float = 0.0,
) -> list[Net]:
    """Train one net per seed.

    Column 0 of `targets` is the severity logit, weighted by `weights`; further columns are categories, counted where
    `masks` (same shape) is not zero and weighted twice. A 512-256-n net with dropout .3, AdamW, learning rate 1.5e-3
    falling linearly to zero. `noise`: of so much normal noise each input gets another at every step, which keeps a
    net from knowing its rows by heart.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tensors = [torch.from_numpy(array) for array in (inputs, targets, masks, weights)]
    return [_fit_net(*tensors, seed=seed, epochs=epochs, noise=noise) for seed in seeds]


def _fit_net(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    masks: torch.Tensor,
    weights: torch.Tensor,
    *,
    seed: int,
    epochs: int,
    noise: float,
    batch: int = 256,
) -> Net:
    torch.manual_seed(seed)
    first = torch.nn.Linear(inputs.shape[1], 256)
    second = torch.nn.Linear(256, targets.shape[1])
    net = torch.nn.Sequential(first, torch.nn.GELU(approximate="tanh"), torch.nn.Dropout(0.3), second)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1.5e-3, weight_decay=1e-2)
    steps = epochs * -(-len(inputs) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
    loss_of = torch.nn.BCEWithLogitsLoss(reduction="none")
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(batch):
            seen = inputs[rows]
            if noise:
                seen = seen + noise * torch.randn_like(seen)
            losses = loss_of(net(seen), targets[rows])
            loss = (losses[:, 0] * weights[rows]).mean()
            if targets.shape[1] > 1:
                mask = masks[rows, 1:]
                loss = loss + 2 * (losses[:, 1:] * mask).sum() / mask.sum().clamp(min=1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return Net(
        _numpy(first.weight.T).astype(np.float16),
        _numpy(first.bias),
        _numpy(second.weight.T).astype(np.float16),
        _numpy(second.bias),
    )


def _numpy(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float32)
