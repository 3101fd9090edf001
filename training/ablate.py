"""`python -m training ablate --data DIR`: what each lever of the engine is worth, as a table in Markdown.

Each is left out of the weights or the code as they are, with the thresholds as they are: nothing is trained or
calibrated again. Figures are those of the strict reading; only those that a lever touches are measured again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from moderation_service.core.text_views.decoded import Reading, View
from moderation_service.engines.lite import model as engine
from moderation_service.engines.lite import refusal
from moderation_service.engines.lite.assets import WEIGHTS, Arrays, read
from moderation_service.engines.lite.disguise import read_pinyin
from moderation_service.engines.lite.languages import FOREIGN
from moderation_service.engines.lite.model import LiteModel

from .data import Row, eval_rows
from .measure import binary, completions, is_refusal
from .probes.disguise import CHINESE, ENGLISH
from .probes.long_texts import carrier, planted
from .probes.rows import Probe, answer_probes, prompt_probes
from .probes.statistics import area

__all__ = ["main"]

_MIDDLE_CHARS = 2_000
_DISGUISES = ("base64", "look-alikes", "spaced", "leet", "ROT13")
Meta = dict[str, Any]
Cells = dict[str, str]
Measure = Callable[[LiteModel, Mapping[str, list[Row]]], Cells]


@dataclass(frozen=True)
class Lever:
    """`changed` makes other weights of the shipped ones, `patched` are names in the code that are replaced."""

    name: str
    measures: Sequence[Measure]
    changed: Callable[[Arrays, Meta], tuple[Arrays, Meta]] | None = None
    patched: Sequence[tuple[Any, str, Any]] = ()


def prompts(model: LiteModel, sets: Mapping[str, list[Row]]) -> Cells:
    """The three sets of prompts."""
    found = {}
    for name, title in (
        ("openaimod", "OpenAI Mod. F1 / FPR"),
        ("xstest", "XSTest F1 / FPR"),
        ("sst", "SST strict / loose"),
    ):
        rows = sets[name]
        severities = [model.judge_prompt(row["prompt"]).severity for row in rows]
        strict = binary([row["label"] == "unsafe" for row in rows], [one != "safe" for one in severities])
        loose = 100 * sum(one == "unsafe" for one in severities) / len(rows)
        found[title] = f"{strict['recall']:.0f} / {loose:.0f}" if name == "sst" else f"{strict['f1']} / {strict['fpr']}"
    return found


def middle(model: LiteModel, sets: Mapping[str, list[Row]]) -> Cells:
    """Plain requests in the middle of 2,000 harmless characters."""
    return {
        f"middle {lang}": _share(
            model.judge_prompt(text).severity != "safe"
            for text, _ in planted(_harmful(lang), carrier(lang), _MIDDLE_CHARS)
        )
        for lang in ("en", "zh")
    }


def disguise(model: LiteModel, sets: Mapping[str, list[Row]]) -> Cells:
    """Plain requests in five disguises, English and Chinese ones."""
    english = [ENGLISH[name](probe.text) for probe in _harmful("en") for name in _DISGUISES]
    chinese = [CHINESE[name](probe.text) for probe in _harmful("zh") for name in ("traditional", "dots", "base64")]
    return {"disguised": _share(model.judge_prompt(text).severity != "safe" for text in (*english, *chinese))}


def answers(model: LiteModel, sets: Mapping[str, list[Row]]) -> Cells:
    """The probes' answers, and the completions of XSTest."""
    found = {}
    for lang in ("en", "zh"):
        probes = [probe for probe in answer_probes() if probe.language == lang]
        judged = [model.judge_response(probe.prompt or "", probe.text) for probe in probes]
        truth = np.array([probe.unsafe for probe in probes])
        scores = np.array([one.score for one in judged])
        rates = binary(truth.tolist(), [one.severity != "safe" for one in judged])
        found[f"answers {lang} R / FPR, AUC"] = (
            f"{rates['recall']:.0f} / {rates['fpr']:.0f}, {area(scores[truth], scores[~truth]):.3f}"
        )
    rows = sets["xstest_refusal"]
    refused = [model.judge_response(row["prompt"], row["response"]).refusal is True for row in rows]
    found["refusal F1"] = str(binary([is_refusal(row) for row in rows], refused)["f1"])
    found["completions AUC"] = f"{completions(model, rows)['area']:.3f}"
    return found


def languages(model: LiteModel, sets: Mapping[str, list[Row]]) -> Cells:
    """The mean area over the eight languages of partial coverage."""
    areas = []
    for lang in FOREIGN:
        probes = [probe for probe in prompt_probes("languages") if probe.language == lang]
        scores = np.array([model.judge_prompt(probe.text).score for probe in probes])
        truth = np.array([probe.unsafe for probe in probes])
        areas.append(area(scores[truth], scores[~truth]))
    return {"languages AUC": f"{np.mean(areas):.3f}"}


def _harmful(lang: str) -> list[Probe]:
    return [probe for probe in prompt_probes("requests") if probe.language == lang and probe.unsafe]


def _share(found: Iterator[bool]) -> str:
    flagged = list(found)
    return f"{100 * sum(flagged) / len(flagged):.0f}"


def _without_added_pieces(arrays: Arrays, meta: Meta) -> tuple[Arrays, Meta]:
    kept = len(arrays["table"])
    pieces = arrays["pieces"].tobytes().decode().split("\n")[:kept]
    fewer = {name: array for name, array in arrays.items() if name not in ("piece_codes", "piece_codebook")}
    fewer["pieces"] = np.frombuffer("\n".join(pieces).encode(), dtype=np.uint8)
    fewer["piece_scores"] = arrays["piece_scores"][:kept]
    return fewer, meta


def _without_words(arrays: Arrays, meta: Meta) -> tuple[Arrays, Meta]:
    return arrays, {**meta, "response_shares": {**meta["response_shares"], "content_discount": 1e3}}


def _with_all_words(arrays: Arrays, meta: Meta) -> tuple[Arrays, Meta]:
    return arrays, {**meta, "response_shares": {**meta["response_shares"], "words_above": 1e3}}


def _without_prompt(arrays: Arrays, meta: Meta) -> tuple[Arrays, Meta]:
    return arrays, {**meta, "response_shares": {**meta["response_shares"], "prompt": 0.0}}


def _never_alone(arrays: Arrays, meta: Meta) -> tuple[Arrays, Meta]:
    return arrays, {**meta, "response_shares": {**meta["response_shares"], "alone_discount": 1e3}}


def _itself(model: LiteModel, cleaned: str) -> View:
    return View((Reading(cleaned),), ())


_EVERYTHING: Sequence[Measure] = (prompts, middle, disguise, answers, languages)
LEVERS = (
    Lever("everything on", _EVERYTHING),
    Lever("single sentences off", (prompts, middle), patched=[(engine, "units", lambda cleaned: [])]),
    Lever("disguise not undone", (prompts, disguise), patched=[(LiteModel, "readings", _itself)]),
    Lever("pieces of other languages off", (languages,), _without_added_pieces),
    # Next to nothing and not nothing, which is the share in other languages: their nets would judge all texts.
    Lever("n-grams off", _EVERYTHING, patched=[(engine, "_NGRAM_SHARE", 1e-9)]),
    Lever(
        "n-grams of other languages off", (languages,), patched=[(engine, "NGRAM_SHARES", dict.fromkeys(FOREIGN, 0.0))]
    ),
    Lever("nets off", _EVERYTHING, patched=[(engine, "_NET_SHARE", 0.0)]),
    Lever("words of an answer not read as a prompt", (answers,), _without_words),
    Lever("words of an answer count whatever the rest says", (answers,), _with_all_words),
    Lever("score of the question not added to the answer's", (answers,), _without_prompt),
    Lever("answer not read without its question", (answers,), _never_alone),
    Lever(
        "refusal judged as a whole",
        (answers,),
        patched=[(refusal, "complies_after_all", lambda cleaned: False)],
    ),
)


@contextmanager
def _left_out(lever: Lever, arrays: Arrays, meta: Meta) -> Iterator[LiteModel]:
    with ExitStack() as stack:
        for owner, name, value in lever.patched:
            stack.enter_context(patch.object(owner, name, value))
        changed = lever.changed(arrays, meta) if lever.changed else (arrays, meta)
        yield LiteModel(*changed, pinyin=read_pinyin())


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m training ablate")
    parser.add_argument("--data", type=Path, required=True, help="folder with eval/")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="weights to measure; default: the shipped ones")
    options = parser.parse_args()
    sets = eval_rows(options.data)
    arrays, meta = read(options.weights)
    columns: list[str] = []
    for lever in LEVERS:
        with _left_out(lever, arrays, meta) as model:
            cells: Cells = {}
            for measure in lever.measures:
                cells |= measure(model, sets)
        if not columns:
            columns = list(cells)
            print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
        print(f"| {lever.name} | {' | '.join(cells.get(column, '') for column in columns)} |", flush=True)
