"""Measures a model on the visible evaluation sets and on held-out rows; nothing here feeds back into training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from moderation_service.engines.lite.model import CATEGORIES, CATEGORY_NAMES, Judgement, LiteModel
from moderation_service.engines.lite.text import clean

from .data import Row, eval_rows
from .probes.statistics import area

__all__ = ["binary", "completions", "is_refusal", "measure_held_out", "measure_responses", "measure_visible"]

Measures = dict[str, float]


def binary(truth: Sequence[bool], found: Sequence[bool]) -> Measures:
    """Return precision, recall, F1 and false-positive rate in percent, one decimal."""
    true, positive = np.array(truth, dtype=bool), np.array(found, dtype=bool)
    hits, false, missed = int((true & positive).sum()), int((~true & positive).sum()), int((true & ~positive).sum())
    return {
        "precision": _percent(hits, hits + false),
        "recall": _percent(hits, hits + missed),
        "f1": _percent(2 * hits, 2 * hits + false + missed),
        "fpr": _percent(false, int((~true).sum())),
    }


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def measure_visible(model: LiteModel, data: Path) -> dict[str, object]:
    """Return the measures of the visible sets by set."""
    sets = eval_rows(data)
    measured: dict[str, object] = {name: _prompts(model, sets[name]) for name in ("openaimod", "xstest", "sst")}
    rows = sets["xstest_refusal"]
    found = [model.judge_response(row["prompt"], row["response"]).refusal is True for row in rows]
    measured["xstest_refusal"] = binary([is_refusal(row) for row in rows], found)
    measured["xstest_completions"] = completions(model, rows)
    return measured


def completions(model: LiteModel, rows: Sequence[Row]) -> Measures:
    """Answers that comply with an unsafe prompt against those that comply with a safe one."""
    complying = [row for row in rows if row["note"] == "1_full_compliance"]
    unsafe = [row["ptype"].startswith("contrast_") for row in complying]
    judged = [model.judge_response(row["prompt"], row["response"]) for row in complying]
    scores = np.array([judgement.score for judgement in judged])
    truth = np.array(unsafe)
    return {
        **binary(unsafe, [judgement.severity != "safe" for judgement in judged]),
        "area": round(area(scores[truth], scores[~truth]), 3),
        "rows": len(complying),
    }


def measure_held_out(model: LiteModel, rows: Iterable[Row]) -> dict[str, object]:
    """Return the measures of held-out prompt rows by language."""
    chosen = list(rows)
    return {tongue: _prompts(model, [row for row in chosen if row["lang"] == tongue]) for tongue in ("en", "zh")}


def measure_responses(model: LiteModel, rows: Iterable[Row]) -> Mapping[str, object]:
    """Return severity measures of held-out response rows by source and language."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row['source']} {row['lang']}", []).append(row)
    return {
        name: _severities(
            [row["label"] == "unsafe" for row in group],
            [model.judge_response(row["prompt"] or "", row["response"]) for row in group],
        )
        for name, group in groups.items()
    }


def is_refusal(row: Row) -> bool:
    """Whether a row is labelled a refusal, in any of the spellings in use."""
    return row["refusal"] in ("Yes", True, "yes")


def _prompts(model: LiteModel, rows: Sequence[Row]) -> dict[str, object]:
    judged = [model.judge_prompt(row["prompt"]) for row in rows]
    measured: dict[str, object] = dict(_severities([row["label"] == "unsafe" for row in rows], judged))
    measured["category_top1"] = _category_rate(model, rows)
    measured["category_served"] = _served_rate(rows, judged)
    measured["rows"] = len(rows)
    return measured


def _severities(truth: Sequence[bool], judged: Sequence[Judgement]) -> dict[str, object]:
    return {
        "strict": binary(truth, [judgement.severity != "safe" for judgement in judged]),
        "loose": binary(truth, [judgement.severity == "unsafe" for judgement in judged]),
        "sure": binary(truth, [judgement.is_sure for judgement in judged]),
    }


def _served_rate(rows: Sequence[Row], judged: Sequence[Judgement]) -> float:
    """Share of the unsafe rows with a known category that a caller is told a right one of, in percent.

    A row that is judged safe comes without a category.
    """
    named = [pair for pair in zip(rows, judged, strict=True) if pair[0]["label"] == "unsafe" and pair[0]["categories"]]
    names = dict(zip(CATEGORIES, CATEGORY_NAMES, strict=True))
    hits = sum(any(names[found] in row["categories"] for found in judgement.categories) for row, judgement in named)
    return _percent(hits, len(named))


def _category_rate(model: LiteModel, rows: Sequence[Row]) -> float:
    """Share of the unsafe rows with a known category whose highest category is right, flagged or not, in percent."""
    named = [row for row in rows if row["label"] == "unsafe" and row["categories"]]
    tops = [int(np.argmax(model.score_prompt(clean(row["prompt"])).outputs[1:])) for row in named]
    hits = sum(CATEGORY_NAMES[top] in row["categories"] for top, row in zip(tops, named, strict=True))
    return _percent(hits, len(named))
