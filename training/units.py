"""Rows for the head that scores single sentences: short requests, and sentences cut from harmless text of many kinds.

A sentence head that saw only requests takes every statement for half a request. Half of its harmless rows are therefore
sentences: of safe training answers, of longer safe training prompts, of generated documents, and of real text (the
Python library, this project's pages and code, licences), which is in `units/` with its origins in the manifest.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from moderation_service.engines.lite.text import clean, language
from moderation_service.engines.lite.units import units

from .data import HERE, Row, read_jsonl
from .generate.documents import documents
from .generate.legal import legal_texts

__all__ = ["REAL_UNITS", "UnitRow", "harmless_sentences", "real_units", "unit_rows"]

_Item = TypeVar("_Item")

REAL_UNITS = HERE / "units" / "real_units.jsonl.gz"
_REQUEST_CHARS = 400
_SEED = 5
# How many rows of each kind and language.
_REQUESTS = {"en": 9000, "zh": 7000}
_ANSWERS = {"en": 8000, "zh": 6000}
_PASSAGES = {"en": 4000, "zh": 3000}
_DOCUMENTS, _GENERATED_SENTENCES = 900, {"en": 3500, "zh": 3500}
# Answers that warn and report name whole harmful steps: cut out, their sentences are not harmless.
_NOT_CUT = frozenset({"own7_resp", "own9_resp", "own10_resp"})
# With these pairs more is found in the middle of texts, and more real minutes, manuals and pages are flagged.
_NO_REQUESTS = frozenset({"own10"})
# Sources of the safe prompts whose sentences are statements, not requests.
_PROSE = frozenset(
    {"apisix_docs", "gutenberg", "pubmedqa", "bbh", "mmlu_med", "complexbench", "oasst1_replies", "safetybench_zh"}
)
# English, but taken for Portuguese for its address when the sentences of the shipped weights were drawn: with one more
# to draw from, all others would be drawn otherwise.
_NOT_DRAWN = "Start a [sample upstream WebSocket server]"


@dataclass(frozen=True)
class UnitRow:
    """One sentence, as `clean` leaves it; `label` is that of a prompt."""

    text: str
    label: str
    weight: float = 1.0


def real_units() -> list[Row]:
    """Sentences and lines of real harmless text, with where each is from."""
    return read_jsonl(REAL_UNITS)


def harmless_sentences() -> list[Row]:
    """The sentences that are in no other training row, real ones and those of generated documents, as prompts."""
    real = [{"id": row["id"], "prompt": row["text"]} for row in real_units()]
    return real + [
        {"id": f"documents-{number}", "prompt": text} for number, text in enumerate(_sentences(_generated()))
    ]


def unit_rows(prompts: Sequence[Row], responses: Sequence[Row]) -> list[UnitRow]:
    """All rows, in an order that depends on the rows given and on nothing else."""
    pick = random.Random(_SEED)
    rows = []
    short = [row for row in prompts if len(row["prompt"]) <= _REQUEST_CHARS and row["source"] not in _NO_REQUESTS]
    for tongue, count in _REQUESTS.items():
        mine = [row for row in short if row["lang"] == tongue]
        for is_safe in (False, True):
            chosen = _sample(pick, [row for row in mine if (row["label"] == "safe") is is_safe], count)
            rows += [UnitRow(clean(row["prompt"]), row["label"], row["weight"]) for row in chosen]
    harmless = (row for row in responses if row["label"] == "safe" and row["source"] not in _NOT_CUT)
    answers = [row["response"] for row in harmless if row["refusal"] != "Yes"]
    passages = [row["prompt"] for row in prompts if row["source"] in _PROSE]
    for texts, counts in ((answers, _ANSWERS), (passages, _PASSAGES), (_generated(), _GENERATED_SENTENCES)):
        cut = _sentences(texts)
        for tongue, count in counts.items():
            pool = [text for text in cut if language(text) == tongue and not text.startswith(_NOT_DRAWN)]
            rows += [UnitRow(text, "safe") for text in _sample(pick, pool, count)]
    return rows + [UnitRow(row["text"], "safe") for row in real_units()]


def _generated() -> list[str]:
    legal = [text for _, text in legal_texts(random.Random(_SEED))]
    return [text for _, text in documents(_DOCUMENTS, seed=_SEED)] + legal


def _sentences(texts: Iterable[str]) -> list[str]:
    """The distinct sentences of some texts; a text too short to be cut is one."""
    found: dict[str, None] = {}
    for text in texts:
        cleaned = clean(text)
        for unit in units(cleaned, by_width=False):
            found.setdefault(unit.text, None)
        if 0 < len(cleaned) <= _REQUEST_CHARS:
            found.setdefault(cleaned, None)
    return list(found)


def _sample(pick: random.Random, items: Sequence[_Item], count: int) -> list[_Item]:
    return pick.sample(items, count) if len(items) > count else list(items)
