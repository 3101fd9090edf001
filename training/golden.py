"""Writes the golden scores the test suite compares with: `python -m training.golden`, after every new weights file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from moderation_service.engines.lite.model import Judgement, LiteModel

from .data import prompt_rows, response_rows

__all__ = ["GOLDEN", "golden_rows"]

GOLDEN = Path(__file__).parents[1] / "tests" / "engines" / "lite" / "golden.jsonl"
_PROMPTS, _RESPONSES = 140, 60


def golden_rows(model: LiteModel) -> Iterator[dict[str, object]]:
    """Yield some 200 own texts, evenly spread, with what the model finds in them."""
    prompts, responses = prompt_rows(None), response_rows(None)
    for row in prompts[:: len(prompts) // _PROMPTS]:
        yield {"prompt": row["prompt"], **_found(model.judge_prompt(row["prompt"]))}
    for row in responses[:: len(responses) // _RESPONSES]:
        texts = {"prompt": row["prompt"], "response": row["response"]}
        yield {**texts, **_found(model.judge_response(row["prompt"], row["response"]))}


def _found(judgement: Judgement) -> dict[str, object]:
    return {
        "severity": judgement.severity,
        "categories": list(judgement.categories),
        "refusal": judgement.refusal,
        "score": round(judgement.score, 5),
    }


if __name__ == "__main__":
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in golden_rows(LiteModel.load())]
    GOLDEN.write_text("".join(lines), encoding="utf-8")
