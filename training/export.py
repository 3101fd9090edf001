"""Put encoder, heads and thresholds together as the arrays and settings the service loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moderation_service.engines.lite.assets import Arrays
from moderation_service.engines.lite.languages import FOREIGN
from moderation_service.engines.lite.model import RESPONSE_SEEDS

from .encoder_source import EncoderSource
from .heads import Net, Quantised
from .train import ForeignHeads, PromptHeads, ResponseHeads, UnitHeads

__all__ = ["VERSION", "assemble"]

VERSION = "lite-2"

# How the response score is put together; see LiteModel.score_response. Chosen by held-out answers, alone, padded, and
# beside refusals and other questions, and by the same with the heads trained without the source that is looked at.
# `ngrams`: how much more they weigh than in prompts. With four times harmful answers are told better still, and half of
# those found no more behind one harmless sentence.
# Words alone raise an answer by no more than `words_above`, counted without the prompt's score: without a bound they
# found one in a hundred of the held-out harmful answers, and flagged a fifth of the harmless ones to attacks. By these
# 2 and 2.5 are alike; 2.5 was taken with the visible completions in sight.
# `alone_discount`: what an answer counts less without its question. Without it a harmless question that had nothing to
# do with the answer hid more than half of the harmful ones; with less of it more harmless how-to answers are flagged.
RESPONSE_SHARES = {
    "prompt": 0.35,
    "refusal": 1.0,
    "content_discount": 2.2,
    "words_above": 2.5,
    "ngrams": 1.6,
    "alone_discount": 1.0,
}
# Partial: the encoder's vocabulary, heads and thresholds of their own, from few rows; single sentences don't count.
COVERAGE = {"en": "full", "zh": "full"} | dict.fromkeys(FOREIGN, "partial")


def assemble(
    source: EncoderSource,
    prompt: PromptHeads,
    response: ResponseHeads,
    unit: UnitHeads,
    foreign: ForeignHeads,
    thresholds: Mapping[str, Mapping[str, float]],
    refusal_threshold: float = 0.0,
) -> tuple[Arrays, dict[str, Any]]:
    """Return what `LiteModel(arrays, meta)` takes."""
    arrays: Arrays = dict(source.arrays)
    arrays["pieces"] = np.frombuffer("\n".join(source.pieces).encode(), dtype=np.uint8)
    arrays["piece_scores"] = source.scores
    nets = {"prompt": prompt.nets, "response": response.nets, "unit": unit.nets, "foreign": foreign.nets}
    for name, trained in nets.items():
        arrays |= _nets(name, trained)
    heads = {
        "prompt": (prompt.linear, 0),
        "response": (response.linear_response, RESPONSE_SEEDS[0]),
        "context": (response.linear_prompt, RESPONSE_SEEDS[1]),
        "refusal": (response.refusal, 0),
    }
    arrays |= {f"{name}_ngrams": head.weights for name, (head, _) in heads.items()}
    arrays["unit_ngrams"] = unit.linear.weights
    arrays["foreign_ngrams"] = foreign.linear.weights
    meta = {
        "version": VERSION,
        "linear": {name: _settings(head, seed) for name, (head, seed) in heads.items()},
        "unit_linear": {"scale": unit.linear.scale, "bias": unit.linear.bias},
        "foreign_linear": {"scale": foreign.linear.scale, "bias": foreign.linear.bias},
        "response_shares": RESPONSE_SHARES | {"refusal_linear": response.linear_refusal_weight},
        "refusal_threshold": refusal_threshold,
        "coverage": COVERAGE,
        "common_pieces": source.common,
        "thresholds": {key: dict(values) for key, values in thresholds.items()},
    }
    return arrays, meta


def _settings(head: Quantised, seed: int) -> dict[str, float | int]:
    return {"scale": head.scale, "bias": head.bias, "seed": seed}


def _nets(name: str, nets: Sequence[Net]) -> Arrays:
    """The first layers side by side, the second ones below each other and divided by their number: one matrix each."""
    count = len(nets)
    second = np.concatenate([net.second.astype(np.float32) for net in nets]) / count
    return {
        f"{name}_first": np.concatenate([net.first for net in nets], axis=1),
        f"{name}_first_bias": np.concatenate([net.first_bias for net in nets]),
        f"{name}_second": second.astype(np.float16),
        f"{name}_second_bias": np.mean([net.second_bias for net in nets], axis=0, dtype=np.float32),
    }
