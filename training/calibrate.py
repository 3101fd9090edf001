"""Thresholds: quantiles of the scores of harmless texts, per target and language. No evaluation data comes near."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from moderation_service.engines.lite.model import LiteModel
from moderation_service.engines.lite.text import clean, language

from .data import Row

__all__ = [
    "FLAGGED_SHARES",
    "UNIT_SHARES",
    "UNSET",
    "prompt_thresholds",
    "response_thresholds",
    "unit_thresholds",
]

# Share of harmless rows above each threshold. The English calibration prompts are harder than ordinary traffic: there,
# about half as many are flagged.
FLAGGED_SHARES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "prompt": {"en": (0.15, 0.05), "zh": (0.06, 0.02)},
    "response": {"en": (0.05, 0.015), "zh": (0.05, 0.015)},
}
# A step of the score that the probabilities take to rise from .27 to .73 around a threshold, as a share of the band.
_WIDTH_SHARE = 0.3
# Response scores are blended log-odds: below 0 they favour safe, whatever the quantile says. The held-out answers are
# easier than what a chat assistant says about a delicate question, and their quantile alone would flag much of it.
_RESPONSE_FLOOR, _MIN_BAND = 0.0, 0.8
# Of the harmless texts with a middle that nothing else flags: which share their worst sentence may flag.
UNIT_SHARES: Mapping[str, tuple[float, float]] = {"en": (0.02, 0.005), "zh": (0.04, 0.01)}
UNSET = {
    f"{target}_{tongue}": {"strict": 0.0, "loose": 1.0, "width": 0.3}
    for target in (*FLAGGED_SHARES, "unit")
    for tongue in ("en", "zh")
}
# Held-out harmless answers that read like an assistant's; the dialogue corpora would set the thresholds too low.
_ASSISTANT_SOURCES = frozenset(
    {
        "oasst1_resp",
        "self_instruct_resp",
        "truthfulqa_resp",
        "piqa_resp",
        "gsm8k_resp",
        "cvalues_mc",
        "own3_resp",
        "own4_resp",
        "jade_alignment_resp",
        "kdconv_resp",
        "gptfuzz_resp",
        "jbb_resp",
    }
)


def prompt_thresholds(model: LiteModel, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the thresholds of prompts, from calibration rows; single sentences have their own."""
    return _thresholds("prompt", [(row["prompt"], model.prompt_parts(clean(row["prompt"])).whole) for row in rows])


def response_thresholds(model: LiteModel, held_out: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the thresholds of responses, from safe held-out answers that are not refusals.

    Refusals score far below every threshold: counting them would lower it.
    """
    scores = []
    for row in held_out:
        answer = clean(row["response"])
        if row["label"] == "safe" and row["source"] in _ASSISTANT_SOURCES and not model.refuses(answer):
            score = model.score_response(clean(row["prompt"] or ""), answer, refusal=False).score
            scores.append((row["response"], score))
    return _thresholds("response", scores)


def unit_thresholds(model: LiteModel, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the thresholds of single sentences, from calibration rows that have a middle and are not flagged already.

    Generated documents alone would set them far too low: they are easier than what people write.
    """
    scores: dict[str, list[float]] = {"en": [], "zh": []}
    for row in rows:
        cleaned = clean(row["prompt"])
        tongue = language(cleaned)
        parts = model.prompt_parts(cleaned)
        if parts.unit is not None and parts.whole < model.thresholds("prompt", tongue).strict:
            scores[tongue].append(parts.unit_score)
    found = {}
    for tongue, shares in UNIT_SHARES.items():
        strict, loose = (round(float(np.quantile(scores[tongue], 1 - share)), 4) for share in shares)
        found[f"unit_{tongue}"] = {"strict": strict, "loose": loose, "width": round(_WIDTH_SHARE * (loose - strict), 4)}
        print(f"unit_{tongue}: {len(scores[tongue])} calibration rows have a middle")
    return found


def _thresholds(target: str, scored: Sequence[tuple[str, float]]) -> dict[str, dict[str, float]]:
    found = {}
    for tongue, shares in FLAGGED_SHARES[target].items():
        scores = [score for text, score in scored if language(clean(text)) == tongue]
        strict, loose = (round(float(np.quantile(scores, 1 - share)), 4) for share in shares)
        if target == "response":
            strict = max(strict, _RESPONSE_FLOOR)
            loose = max(loose, strict + _MIN_BAND)
        found[f"{target}_{tongue}"] = {
            "strict": strict,
            "loose": round(loose, 4),
            "width": round(_WIDTH_SHARE * (loose - strict), 4),
        }
    return found
