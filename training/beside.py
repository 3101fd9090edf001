"""Answers beside harmless ones, and behind refusals: what stands around an answer must say nothing about it.

Whoever hides a harmful answer puts something harmless around it, and what is embedded is all of a window. A part of the
training answers therefore comes a second time, harmful and harmless ones alike, with short harmless answers of other
rows before it, behind it or around it. And a part comes behind the first sentence of a refusal: refusals are harmless
throughout otherwise, and "I can't help with that" would excuse whatever follows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from moderation_service.engines.lite.refusal import declines
from moderation_service.engines.lite.text import clean

from .data import Row
from .embed import TRAINING_CHARS

__all__ = ["behind_refusals", "beside_others", "openings_of"]

_SEEDS = {"beside": 3, "behind": 11}
_BESIDE_SHARE = 0.35
# By label. With harmful ones only, a refusal with anything behind it would be harm; with as many harmless ones, which
# hardly anybody says, fewer of the harmful ones are found.
_BEHIND_SHARES = {"unsafe": 0.15, "safe": 0.05}
# And without the question that they had.
_UNASKED = 0.3
# Chinese says as much in half of the letters, so that more of them fit.
_MOST_CHARS, _PASSAGE_CHARS = 400, {"en": 350, "zh": 250}
_PASSAGES = frozenset(
    {"kdconv_resp", "oasst1_resp", "own9_resp", "own10_resp", "self_instruct_resp", "truthfulqa_resp"}
)
# Dialogue that is unlike an assistant's, and what trains no head.
_LEFT_OUT = frozenset({"diasafety", "gsm8k_resp", "piqa_resp"})
_GLUE = {"en": ("\n\n", " "), "zh": ("\n\n", "")}
_SENTENCE = re.compile("[^.!?。！？\n]*[.!?。！？\n]+")
_OPENING_CHARS = range(12, 161)


def beside_others(rows: Sequence[Row]) -> list[Row]:
    """Return the copies beside harmless answers, the same for the same rows; what the encoder reads holds each."""
    chance = random.Random(_SEEDS["beside"])
    passages = {lang: [row["response"] for row in rows if _is_passage(row, lang)] for lang in _PASSAGE_CHARS}
    found = []
    for row in rows:
        lang = row["lang"]
        if _is_short(row) and chance.random() < _BESIDE_SHARE:
            text = _surrounded(chance, row["response"], passages[lang], _GLUE[lang])
            found += [_copy(chance, row, text)] if text else []
    return found


def behind_refusals(rows: Sequence[Row]) -> list[Row]:
    """Return copies behind the first sentence of a refusal, harmless ones too, the same ones for the same rows."""
    chance = random.Random(_SEEDS["behind"])
    openings = {lang: openings_of(rows, lang) for lang in _PASSAGE_CHARS}
    found = []
    for row in rows:
        lang = row["lang"]
        may_follow = row["refusal"] != "Yes" and _is_short(row) and openings[lang]
        if may_follow and chance.random() < _BEHIND_SHARES.get(row["label"], 0):
            opening = chance.choice(openings[lang])
            found.append(_copy(chance, row, chance.choice(_GLUE[lang]).join((opening, row["response"]))))
    return found


def _is_short(row: Row) -> bool:
    return row["lang"] in _PASSAGE_CHARS and row["source"] not in _LEFT_OUT and len(row["response"]) <= _MOST_CHARS


def _is_passage(row: Row, lang: str) -> bool:
    return (
        row["source"] in _PASSAGES
        and row["lang"] == lang
        and row["label"] == "safe"
        and row["refusal"] != "Yes"
        and len(row["response"]) <= _PASSAGE_CHARS[lang]
    )


def _copy(chance: random.Random, row: Row, text: str) -> Row:
    return row | {"response": text, "prompt": "" if chance.random() < _UNASKED else row["prompt"]}


def _surrounded(chance: random.Random, answer: str, passages: Sequence[str], glue: Sequence[str]) -> str | None:
    """The answer with one or two passages around it, None where none fits."""
    parts = [answer]
    for passage in chance.sample(passages, min(chance.choice((1, 1, 2)), len(passages))):
        if passage not in parts and len("\n\n".join((*parts, passage))) <= TRAINING_CHARS:
            parts.insert(chance.choice((0, len(parts))), passage)
    return chance.choice(glue).join(parts) if len(parts) > 1 else None


def openings_of(rows: Sequence[Row], lang: str) -> list[str]:
    """The distinct first sentences of refusals that decline by themselves."""
    found = set()
    for row in rows:
        if row["lang"] == lang and row["refusal"] == "Yes":
            sentence = _SENTENCE.match(clean(row["response"]))
            opening = sentence.group().strip() if sentence else ""
            if len(opening) in _OPENING_CHARS and declines(opening):
                found.add(opening)
    return sorted(found)
