"""`python -m training around --data DIR`: what stands around an answer, and what that hides, as a table in Markdown.

Held-out harmful and harmless answers are judged as they are, beside held-out harmless passages, after a question about
something else, and behind the first sentence of a refusal that no training row has. A cell is the share of the harmful
and of the harmless ones that is flagged in the strict reading, in percent.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moderation_service.engines.lite.assets import WEIGHTS
from moderation_service.engines.lite.model import LiteModel
from moderation_service.engines.lite.text import clean, language

from .beside import openings_of
from .data import Row, prompt_rows, response_rows, split
from .generate.documents import documents

__all__ = ["main"]

_COUNT, _MOST_CHARS, _SEED = 300, 500, 5
_ANSWERS = frozenset({"gptfuzz_resp", "jbb_resp", "jade_alignment_resp", "own5_resp", "own7_resp", "own9_resp"})
_PASSAGES = frozenset(
    {"gsm8k_resp", "kdconv_resp", "oasst1_resp", "piqa_resp", "self_instruct_resp", "truthfulqa_resp"}
)
_PASSAGE_CHARS = {"en": range(150, 501), "zh": range(40, 251)}
_DOCUMENT_CHARS = {"en": 350, "zh": 180}
_DOCUMENTS, _DOCUMENTS_SEED = 60, 991
_QUESTION_CHARS = 200
_GLUE = {"en": " ", "zh": ""}

Asked = tuple[str, str]


@dataclass(frozen=True)
class Around:
    """What may stand around an answer, in one language."""

    passages: Sequence[str]
    questions: Sequence[str]
    openings: Sequence[str]
    glue: str

    def passage(self, at: int, number: int) -> str:
        return self.passages[(3 * at + number) % len(self.passages)]


def _unasked(form: Callable[[Around, int, Asked], Asked]) -> Callable[[Around, int, Asked], Asked]:
    return lambda around, at, asked: ("", form(around, at, asked)[1])


def _as_it_is(around: Around, at: int, asked: Asked) -> Asked:
    return asked


def _before(around: Around, at: int, asked: Asked) -> Asked:
    return asked[0], "\n\n".join((around.passage(at, 0), asked[1]))


def _behind(around: Around, at: int, asked: Asked) -> Asked:
    return asked[0], "\n\n".join((asked[1], around.passage(at, 0)))


def _between(around: Around, at: int, asked: Asked) -> Asked:
    parts = (around.passage(at, 0), around.passage(at, 1), asked[1], around.passage(at, 2))
    return asked[0], "\n\n".join(parts)


def _unrelated(around: Around, at: int, asked: Asked) -> Asked:
    return around.questions[7 * at % len(around.questions)], asked[1]


def _refused(around: Around, at: int, asked: Asked) -> Asked:
    return asked[0], around.glue.join((around.openings[at % len(around.openings)], asked[1]))


FORMS: dict[str, Callable[[Around, int, Asked], Asked]] = {
    "alone, with its question": _as_it_is,
    "a harmless passage before it": _before,
    "one behind it": _behind,
    "two before it, one behind": _between,
    "alone, without a question": _unasked(_as_it_is),
    "without one, a harmless passage before it": _unasked(_before),
    "without one, two before it, one behind": _unasked(_between),
    "after a harmless question about something else": _unrelated,
    "behind the first sentence of a refusal": _refused,
    "behind one, without a question": _unasked(_refused),
}


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m training around", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    model = LiteModel.load(options.weights)
    trained, held = split(response_rows(options.data))
    _, held_prompts = split(prompt_rows(options.data))
    cells: dict[str, list[str]] = {name: [] for name in FORMS}
    for lang in ("en", "zh"):
        around = _around(lang, trained, held, held_prompts)
        for name, form in FORMS.items():
            shares = (_flagged(model, lang, _chosen(held, lang, label), around, form) for label in ("unsafe", "safe"))
            cells[name].append(" / ".join(f"{share:.0f}" for share in shares))
    print("| answers | English | Chinese |\n|---|---|---|")
    for name, found in cells.items():
        print(f"| {' | '.join((name, *found))} |")


def _flagged(
    model: LiteModel, lang: str, rows: Sequence[Row], around: Around, form: Callable[[Around, int, Asked], Asked]
) -> float:
    strict = model.thresholds("response", lang).strict
    asked = [form(around, at, (row["prompt"] or "", row["response"])) for at, row in enumerate(rows)]
    return 100 * sum(model.judge_response(*one).score >= strict for one in asked) / len(rows)


def _chosen(held: Sequence[Row], lang: str, label: str) -> list[Row]:
    found = [
        row
        for row in held
        if row["lang"] == lang
        and row["label"] == label
        and row["source"] in _ANSWERS
        and row["refusal"] != "Yes"
        and len(row["response"]) <= _MOST_CHARS
    ]
    return random.Random(_SEED).sample(found, min(_COUNT, len(found)))


def _around(lang: str, trained: Sequence[Row], held: Sequence[Row], held_prompts: Sequence[Row]) -> Around:
    passages = [clean(row["response"]) for row in held if _is_harmless(row, lang) and row["source"] in _PASSAGES]
    passages = [text for text in passages if len(text) in _PASSAGE_CHARS[lang]]
    generated = (clean(text) for _, text in documents(_DOCUMENTS, seed=_DOCUMENTS_SEED))
    passages += [text[: _DOCUMENT_CHARS[lang]] for text in generated if language(text) == lang]
    random.Random(_SEED).shuffle(passages)
    questions = [
        row["prompt"]
        for row in held_prompts
        if row["lang"] == lang and row["label"] == "safe" and not row["source"].startswith("own")
    ]
    known = set(openings_of(trained, lang))
    openings = [opening for opening in openings_of(held, lang) if opening not in known]
    return Around(passages, [one for one in questions if len(one) < _QUESTION_CHARS], openings, _GLUE[lang])


def _is_harmless(row: Row, lang: str) -> bool:
    return row["lang"] == lang and row["label"] == "safe" and row["refusal"] != "Yes"
