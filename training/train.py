"""Train every head on cached embeddings and hashed n-grams; fixed seeds, one thread, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moderation_service.engines.lite.encoder import DIMENSIONS
from moderation_service.engines.lite.languages import FOREIGN
from moderation_service.engines.lite.model import (
    CATEGORY_NAMES,
    CONTEXT_CHARS,
    PROMPT_BITS,
    RESPONSE_CHARS,
    RESPONSE_SEEDS,
)
from moderation_service.engines.lite.nets import net_inputs, response_inputs
from moderation_service.engines.lite.refusal import HEAD_CHARS, REFUSAL_BITS, declines
from moderation_service.engines.lite.text import clean

from .beside import behind_refusals, beside_others
from .data import Row
from .embed import EmbeddingCache
from .heads import (
    CONTROVERSIAL_TARGET,
    Net,
    Quantised,
    fit_linear,
    fit_nets,
    hashed,
    hashed_foreign,
    joined,
    quantise,
)
from .units import UnitRow

__all__ = [
    "FOREIGN_ONLY",
    "ForeignHeads",
    "PromptHeads",
    "ResponseHeads",
    "UnitHeads",
    "train_foreign_heads",
    "train_prompt_heads",
    "train_response_heads",
    "train_unit_heads",
]

SEEDS = (0, 1, 2)
EPOCHS = 8
RESPONSE_PROMPT_SHARE = 0.7
# To the inputs of the response nets, most of which are within .5 of 0. With it answers of held-out topics and sources
# are told better; with twice as much fewer harmful ones are found among harmless text.
RESPONSE_NOISE = 0.1
_TARGETS = {"safe": 0.0, "controversial": CONTROVERSIAL_TARGET, "unsafe": 1.0}
_SAFE_CATEGORY_MASK = 0.3
# How much more a row in another language weighs for the nets of these.
_FOREIGN_WEIGHT = 2.0
FOREIGN_ONLY = frozenset({"own6", "own8", "own10"})
"""Sources that train the heads for other languages and nothing else. `own10` is in English and Chinese, for their nets:
in the heads for these two it moved what they say of statements and debates too much."""
FOREIGN_BITS = 17
# Most rows in these languages are of a few frames each: what tells harm is in rarer words, which must be free to weigh.
_FOREIGN_FREEDOM = 30
# Pairs that differ in a word or two: with more weight other pairs count for too little.
_PAIRS = {"own10": 0.1}
# Dialogue from public forums is unlike what an assistant writes. How-to sources are harmless throughout: with them
# every procedure is harmless. They keep their place among the rows that set thresholds. Many of ours are of one style.
_RESPONSE_WEIGHTS = {"diasafety": 0.5, "piqa_resp": 0.0, "gsm8k_resp": 0.0, "own5_resp": 0.5, "own7_resp": 0.5}
# Sources that do not train the refusal model: their refusals are many and of few wordings.
_NO_REFUSALS = frozenset({"own7_resp", "own9_resp", "own10_resp"})


@dataclass(frozen=True)
class PromptHeads:
    """What judges prompts and, without its Jailbreak output, names categories of responses."""

    linear: Quantised
    nets: Sequence[Net]


@dataclass(frozen=True)
class ResponseHeads:
    """What judges responses: one linear model over two hash spaces, nets over both embeddings, and refusal."""

    linear_response: Quantised
    linear_prompt: Quantised
    linear_refusal_weight: float
    nets: Sequence[Net]
    refusal: Quantised


@dataclass(frozen=True)
class UnitHeads:
    """What judges a sentence or line of a long prompt; severity only."""

    linear: Quantised
    nets: Sequence[Net]


@dataclass(frozen=True)
class ForeignHeads:
    """What judges prompts in languages beside English and Chinese; severity only."""

    linear: Quantised
    nets: Sequence[Net]


def train_foreign_heads(rows: Sequence[Row], cache: EmbeddingCache) -> ForeignHeads:
    """Fit the nets on all given rows, those in other languages with more weight: else the few count for little.

    The n-gram head is fitted on rows in these languages only: what English words say is nothing to them.
    """
    targets = np.array([[_TARGETS[row["label"]]] for row in rows], dtype=np.float32)
    is_foreign = np.array([row["lang"] in FOREIGN for row in rows])
    weights = [
        row["weight"] * (_FOREIGN_WEIGHT if other else _PAIRS.get(row["source"], 1.0))
        for row, other in zip(rows, is_foreign, strict=True)
    ]
    vectors = np.empty((len(rows), DIMENSIONS), dtype=np.float32)
    for other in (False, True):
        chosen = np.flatnonzero(is_foreign == other)
        vectors[chosen] = cache.embed([rows[index]["prompt"] for index in chosen], is_foreign=other)
    nets = fit_nets(
        net_inputs(vectors),
        targets,
        np.zeros_like(targets),
        np.array(weights, dtype=np.float32),
        seeds=SEEDS,
        epochs=EPOCHS,
    )
    own = [row for row, other in zip(rows, is_foreign, strict=True) if other]
    linear = fit_linear(
        hashed_foreign([clean(row["prompt"]) for row in own], FOREIGN_BITS),
        targets[is_foreign, 0].astype(np.float64),
        np.array([row["weight"] for row in own], dtype=np.float64),
        freedom=_FOREIGN_FREEDOM,
    )
    return ForeignHeads(quantise(*linear), nets)


def train_unit_heads(rows: Sequence[UnitRow], cache: EmbeddingCache, bits: int = PROMPT_BITS) -> UnitHeads:
    """Fit the n-gram head and the nets on single sentences."""
    targets = np.array([_TARGETS[row.label] for row in rows])
    weights = np.array([row.weight for row in rows], dtype=np.float64)
    texts = [row.text for row in rows]
    linear = quantise(*fit_linear(hashed(texts, bits), targets, weights))
    nets = fit_nets(
        net_inputs(cache.embed(texts)),
        targets[:, None].astype(np.float32),
        np.zeros((len(rows), 1), dtype=np.float32),
        weights.astype(np.float32),
        seeds=SEEDS,
        epochs=EPOCHS,
    )
    return UnitHeads(linear, nets)


def train_prompt_heads(rows: Sequence[Row], cache: EmbeddingCache, bits: int = PROMPT_BITS) -> PromptHeads:
    """Fit the n-gram head and the nets on all given rows."""
    texts = [clean(row["prompt"]) for row in rows]
    targets = np.array([_TARGETS[row["label"]] for row in rows])
    weights = np.array([row["weight"] for row in rows], dtype=np.float64)
    linear = quantise(*fit_linear(hashed(texts, bits), targets, weights))
    inputs = net_inputs(cache.embed([row["prompt"] for row in rows]))
    categories, masks = _category_targets(rows)
    nets = fit_nets(
        inputs,
        np.concatenate((targets[:, None], categories), axis=1).astype(np.float32),
        masks,
        weights.astype(np.float32),
        seeds=SEEDS,
        epochs=EPOCHS,
    )
    return PromptHeads(linear, nets)


def _category_targets(rows: Sequence[Row]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    targets = np.zeros((len(rows), len(CATEGORY_NAMES)), dtype=np.float32)
    masks = np.zeros((len(rows), len(CATEGORY_NAMES) + 1), dtype=np.float32)
    for index, row in enumerate(rows):
        for name in row["categories"]:
            targets[index, CATEGORY_NAMES.index(name)] = 1
        masks[index] = _SAFE_CATEGORY_MASK if row["label"] == "safe" else float(bool(row["categories"]))
    return targets, masks


def train_response_heads(rows: Sequence[Row], cache: EmbeddingCache, bits: int = PROMPT_BITS) -> ResponseHeads:
    """Fit the refusal model, then the response heads with the refusal flag as a feature."""
    refusal = _train_refusal([row for row in rows if row["source"] not in _NO_REFUSALS])
    rows = [*rows, *beside_others(rows), *behind_refusals(rows)]
    rows = [row for row in rows if _RESPONSE_WEIGHTS.get(row["source"], 1.0) > 0]
    responses = [clean(row["response"]) for row in rows]
    prompts = [clean(row["prompt"] or "") for row in rows]
    flags = np.array([declines(text) for text in responses], dtype=np.float32)
    targets = np.array([_TARGETS[row["label"]] for row in rows])
    weights = np.array([row["weight"] * _RESPONSE_WEIGHTS.get(row["source"], 1.0) for row in rows])
    features = joined(
        (
            hashed([text[:RESPONSE_CHARS] for text in responses], bits, seed=RESPONSE_SEEDS[0]),
            RESPONSE_PROMPT_SHARE * hashed([text[:CONTEXT_CHARS] for text in prompts], bits, seed=RESPONSE_SEEDS[1]),
            flags[:, None],
        )
    )
    coefficients, bias = fit_linear(features, targets, weights)
    size = 1 << bits
    inputs = response_inputs(
        net_inputs(cache.embed([row["prompt"] or "" for row in rows])),
        net_inputs(cache.embed([row["response"] for row in rows])),
        flags,
    )
    nets = fit_nets(
        inputs,
        targets[:, None].astype(np.float32),
        np.zeros((len(rows), 1), dtype=np.float32),
        weights.astype(np.float32),
        seeds=SEEDS,
        epochs=EPOCHS,
        noise=RESPONSE_NOISE,
    )
    assert inputs.shape[1] == 3 * DIMENSIONS + 1
    return ResponseHeads(
        quantise(coefficients[:size], bias),
        quantise(RESPONSE_PROMPT_SHARE * coefficients[size : 2 * size], 0.0),
        float(coefficients[-1]),
        nets,
        refusal,
    )


def _train_refusal(rows: Sequence[Row]) -> Quantised:
    known = [row for row in rows if row["refusal"] in ("Yes", "No")]
    targets = np.array([float(row["refusal"] == "Yes") for row in known])
    features = hashed([clean(row["response"])[:HEAD_CHARS] for row in known], REFUSAL_BITS)
    return quantise(*fit_linear(features, targets, np.ones(len(known)), balanced=True))
