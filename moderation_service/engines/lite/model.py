"""The lite model: a linear n-gram model and small nets over sentence embeddings, added, with thresholds per language.

Score of a text: n-gram logit / 4 + net logit / 2. In another language than English and Chinese a prompt has heads of
its own, and n-grams count a half or more, a response the nets alone. A prompt is scored by its beginning, by its edge
sentences at a discount, and by its sentences and lines, with a head and thresholds of their own (`units`); the worst
counts. A response is scored in windows, a Chinese one in parts of these, too (docs/lite-model-card.md).
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ...core.text_views.decoded import HEAD_CHARS, Reading, View
from ...core.text_views.pinyin import PinyinTable
from ...core.verdict import Coverage
from .assets import WEIGHTS, Meta, Stored, frequent_pieces, opened
from .categories import CATEGORIES, CATEGORY_NAMES
from .coverage import coverage
from .disguise import decoders, read_pinyin
from .encoder import Encoder
from .foreign_ngrams import NGRAM_SHARES, ForeignHead
from .languages import FOREIGN
from .nets import Nets, net_inputs, response_inputs
from .ngrams import TEXT_CHARS, LinearHead
from .personal_data import PersonalData, moved, personal_data, worse
from .refusal import RefusalHead, declines
from .severity import SeverityName, Thresholds
from .spans import Blocks, Span, answer_parts, beginning_and_edges, prompt_logits, window_spans
from .text import WINDOW_CHARS, clean, language, windows
from .tokenizer import Pieces, Tokenizer
from .units import Unit, UnitTongue, most_read, stands_alone, unit_discount, unit_tongue, units

__all__ = [
    "CATEGORIES",
    "CATEGORY_NAMES",
    "PROMPT_BITS",
    "RESPONSE_SEEDS",
    "Judgement",
    "LiteModel",
    "PromptParts",
    "Scored",
]

Floats = NDArray[np.float32]
Checkpoint = Callable[[], None]
TargetName = Literal["prompt", "response"]

PROMPT_BITS = 18
RESPONSE_SEEDS = (101, 202)
"""Hash seeds of a response's n-grams and of its prompt's."""
RESPONSE_CHARS, CONTEXT_CHARS = 2000, 800
"""Characters of a response, and of the prompt before it, that one set of n-grams covers."""

_NGRAM_SHARE, _NET_SHARE = 1 / 4, 1 / 2
# What the words of a response must reach, as the heads of prompts read them and discounted. Those heads know nothing of
# how high the heads of responses score, so what they say is moved onto that scale.
_WORDS = Thresholds(strict=0.0, loose=0.8, width=0.24, sure=1.6)
# What a guessed reading is worth less, as one character in five of pinyin is a wrong one and wrong ones look odd; and
# a text as it stands that most probably stands backwards.
_DOUBT, _DOUBT_FORWARDS = {"pinyin": 0.6}, 0.8
# Windows of a response that go through the encoder, and parts of a Chinese one.
_MOST_WINDOWS, _MOST_PARTS = 10, 24
# A response's windows per pass through the encoder: bounds the memory it takes and how late a deadline is noticed.
_BATCH_SPANS = 32


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model found in one text.

    `probabilities` are of safe, controversial and unsafe, in this order; `score` is the raw score they come from.
    `place` is where in the cleaned text the worst was found, None for all of it and for a safe one. `coverage` is how
    well the languages of the text are known, `is_sure` whether the score reaches the threshold for that. `personal` is
    what was found by rule, which the others do not hold. `decoded` names the kinds of disguise that were undone first.
    """

    target: TargetName
    severity: SeverityName
    categories: tuple[str, ...]
    refusal: bool | None
    probabilities: tuple[float, float, float]
    score: float
    language: str
    windows: int
    place: tuple[int, int] | None = None
    coverage: Coverage = Coverage.FULL
    is_sure: bool = False
    personal: PersonalData | None = None
    decoded: tuple[str, ...] = ()

    @property
    def badness(self) -> tuple[int, float, float]:
        """What readings of one text are compared by; raw scores of different languages are not to be compared."""
        safe, _, unsafe = self.probabilities
        return ("safe", "controversial", "unsafe").index(self.severity), unsafe - safe, self.score


class Scored(NamedTuple):
    """A raw score, the net's ten outputs where it was highest, and the number of windows that the text fills.

    `place` is where in the cleaned text that was; None: no single place.
    """

    score: float
    outputs: Floats
    windows: int
    place: tuple[int, int] | None = None


class PromptParts(NamedTuple):
    """The two scores of a prompt, with the net's outputs at each: of the whole, and of its worst sentence or line.

    They come from different heads with different thresholds. `place` is where the whole's is from; `unit` is None for
    a text without a middle, `unit_tongue` says whose thresholds count, `unit_discount` by what it must be worse.
    """

    whole: float
    outputs: Floats
    place: tuple[int, int] | None
    unit: Unit | None
    unit_score: float
    unit_outputs: Floats
    unit_tongue: UnitTongue = "en"
    unit_discount: float = 0.0


def _no_check() -> None:
    pass


class LiteModel:
    """Judges prompts and responses. Read-only after construction, so threads may share it."""

    def __init__(self, arrays: Stored, meta: Meta, *, pinyin: PinyinTable | None = None, frequent: Pieces = ()) -> None:
        self.version: str = meta["version"]
        pieces, scores = arrays["pieces"].tobytes().decode(), arrays["piece_scores"]
        self._tokenizer = Tokenizer.of_lines(pieces, scores, common=meta.get("common_pieces"))
        self._decoders = decoders(self._tokenizer, pinyin)
        self._encoder = Encoder(arrays, frequent=self._tokenizer.numbers_of(frequent))
        self._prompt_nets = Nets(arrays, "prompt")
        self._response_nets = Nets(arrays, "response")
        self._unit_nets = Nets(arrays, "unit")
        # Weights without nets of their own for other languages leave these to the prompt's.
        self._foreign_nets = Nets(arrays, "foreign") if "foreign_first" in arrays else self._prompt_nets
        self._foreign_linear = ForeignHead.of(arrays, meta)
        self._unit_linear = LinearHead(arrays["unit_ngrams"], **meta["unit_linear"])
        heads = {name: LinearHead(arrays[f"{name}_ngrams"], **values) for name, values in meta["linear"].items()}
        self._linear, self._response_linear, self._context_linear = heads["prompt"], heads["response"], heads["context"]
        self._refusal = RefusalHead(heads["refusal"], meta["refusal_threshold"])
        self._shares: dict[str, float] = meta["response_shares"]
        self._unasked = self._embed([""], foreign=0)
        self._thresholds = {key: Thresholds(**values) for key, values in meta["thresholds"].items()}
        known = meta.get("coverage", {"en": Coverage.FULL.value, "zh": Coverage.FULL.value})
        self._known = {name: Coverage(value) for name, value in known.items()}

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Self:
        """Read the shipped weights. OSError when the file is missing, ValueError or KeyError when it is damaged."""
        with opened(path) as (arrays, meta):
            return cls(arrays, meta, pinyin=read_pinyin(), frequent=frequent_pieces())

    def judge_prompt(self, text: str, *, checkpoint: Checkpoint = _no_check) -> Judgement:
        """Judge a user message. `checkpoint` is called between parts of the work and may raise to stop it."""
        checkpoint()
        cleaned = clean(text)

        def judge(reading: str, doubt: float) -> Judgement:
            scored = self.score_prompt(reading, checkpoint=checkpoint)
            doubted = scored._replace(score=scored.score - doubt)
            return self._judgement("prompt", reading, doubted, refusal=None, named=CATEGORIES)

        return self._worst(cleaned, judge)

    def judge_response(self, prompt: str, response: str, *, checkpoint: Checkpoint = _no_check) -> Judgement:
        """Judge what an assistant answered to a prompt, which may be empty."""
        checkpoint()
        asked = self.readings(clean(prompt)).readings[0].text

        def judge(reading: str, doubt: float) -> Judgement:
            # What a refusal quotes is excused if it declines in words. What only sounds like a refusal may be harm.
            scored = self.score_response(asked, reading, refusal=declines(reading), checkpoint=checkpoint)
            doubted = scored._replace(score=scored.score - doubt)
            return self._judgement("response", reading, doubted, refusal=self.refuses(reading), named=CATEGORIES[:-1])

        return self._worst(clean(response), judge)

    def readings(self, cleaned: str) -> View:
        """What a cleaned text is read as: itself where nothing is disguised. The worst of several readings counts."""
        return self._decoders.view(cleaned) or View((Reading(cleaned),), ())

    def _worst(self, cleaned: str, judge: Callable[[str, float], Judgement]) -> Judgement:
        """The worst of a text's readings, with its place in the text itself."""
        view = self.readings(cleaned)
        guessed = sum(_DOUBT.get(name, 0.0) for name in view.decoders)
        doubts = [guessed] if len(view.readings) == 1 else [guessed + _DOUBT_FORWARDS, guessed]
        judged = [(judge(reading.text, doubt), reading) for reading, doubt in zip(view.readings, doubts, strict=True)]
        worst, reading = max(judged, key=lambda one: one[0].badness)
        if not view.decoders:
            return worst
        place = worst.place and reading.origin(*worst.place)
        return replace(
            worst,
            place=None if place == (0, len(cleaned)) else place,
            windows=len(windows(cleaned)),
            # Decoding may spoil numbers, but hardly any beyond the part where words and letters are looked at.
            personal=worse(personal_data(cleaned[:HEAD_CHARS]), moved(worst.personal, reading.origin)),
            decoded=view.decoders,
        )

    def thresholds(self, target: TargetName, tongue: str) -> Thresholds:
        """Return the thresholds that a score is compared with."""
        return self._thresholds[f"{target}_{tongue}"]

    def refuses(self, cleaned: str) -> bool:
        """Return whether a cleaned response declines to answer."""
        return self._refusal.refuses(cleaned)

    def refusal_logit(self, cleaned: str) -> float:
        """Return the part of `refuses` that was learned; calibration needs it."""
        return self._refusal.logit(cleaned)

    def score_prompt(self, cleaned: str, *, checkpoint: Checkpoint = _no_check) -> Scored:
        """Score a cleaned user message: by its beginning and edges, or by its worst sentence if that is worse."""
        parts = self.prompt_parts(cleaned, checkpoint=checkpoint)
        count = len(windows(cleaned))
        if parts.unit is not None:
            score = parts.unit_score - parts.unit_discount
            own = self.thresholds("prompt", language(cleaned))
            found = self._thresholds[f"unit_{parts.unit_tongue}"].on_scale_of(own, score)
            if found > parts.whole:
                return Scored(found, parts.unit_outputs, count, (parts.unit.start, parts.unit.end))
        return Scored(parts.whole, parts.outputs, count, parts.place)

    def prompt_parts(self, cleaned: str, *, checkpoint: Checkpoint = _no_check) -> PromptParts:
        """The scores of a cleaned user message before they are compared; see `PromptParts`."""
        checkpoint()
        found, share = units(cleaned), _ngram_share(cleaned)
        spans = beginning_and_edges(cleaned, found)
        if not share:
            # The head for sentences knows English and Chinese ones; a text in another language may hold some.
            found = [unit for unit in found if _ngram_share(unit.text)]
        linear = self._unit_linear.logits([unit.text for unit in found], checkpoint)
        best = np.argsort(-linear, kind="stable")[: most_read(len(cleaned), len(found))]
        checkpoint()  # In one pass: the encoder reads its weights once per call.
        texts = [span.text for span in spans] + [found[index].text for index in best]
        vectors = self._embed(texts, foreign=0 if share else len(spans))
        outputs = self._outputs(vectors, share)
        logits = prompt_logits(cleaned, spans, self._linear if share else self._foreign_linear)
        ngram_share = share or NGRAM_SHARES[language(cleaned)]
        scores = [
            logit * ngram_share + float(row[0]) * _NET_SHARE - span.discount
            for span, logit, row in zip(spans, logits, outputs, strict=False)
        ]
        worst = int(np.argmax(scores))
        whole = scores[worst], outputs[worst], spans[worst].place
        if not found:
            return PromptParts(*whole, None, -math.inf, outputs[worst])
        nets = self._unit_nets.outputs(vectors[len(spans) :])[:, 0]
        unit_scores = linear[best] * _NGRAM_SHARE + nets * _NET_SHARE
        # A sentence is measured by its own language, whatever stands around it.
        tongues = [unit_tongue(found[index].text) for index in best]
        above = unit_scores - np.array([self._thresholds[f"unit_{tongue}"].strict for tongue in tongues])
        is_calm = len(cleaned) > WINDOW_CHARS and stands_alone(above, len(found))
        discounts = [unit_discount(tongue, len(found), is_calm=is_calm) for tongue in tongues]
        top = int(np.argmax(above - np.array(discounts)))
        score, at = float(unit_scores[top]), outputs[len(spans) + top]
        return PromptParts(*whole, found[best[top]], score, at, tongues[top], discounts[top])

    def score_response(
        self, prompt: str, response: str, *, refusal: bool, checkpoint: Checkpoint = _no_check
    ) -> Scored:
        """Score a cleaned response to a cleaned prompt.

        Per window the larger of two scores: the response heads, which see the prompt too, and the prompt heads on the
        response's own words, at a discount. After a harmful prompt these are bounded by what the first says
        without its score, added in part: a refusal has the words of what it refuses. After a harmless one the
        response is read without it too, at a discount. `refusal`: whether it declines.
        """
        found, share = windows(response), _ngram_share(response)
        shares, flag = self._shares, float(refusal)
        heads_share = share * shares.get("ngrams", 1.0)
        context = self._embed([prompt[:WINDOW_CHARS]], foreign=language(prompt[:WINDOW_CHARS]) in FOREIGN)
        asked = shares["prompt"] * self._prompt_term(prompt, context, share)
        shift = asked - shares["refusal"] * flag
        of_prompt = self._context_linear.contribution(prompt[:CONTEXT_CHARS])
        fixed = of_prompt + shares["refusal_linear"] * flag
        own = self.thresholds("response", language(response))
        # Older weights set neither.
        above = shares.get("words_above", math.inf) - asked if asked > 0 else math.inf
        lead = -asked - of_prompt * heads_share - shares.get("alone_discount", math.inf) if asked < 0 else -math.inf
        linear = Blocks(response, RESPONSE_CHARS, self._response_linear)
        content = Blocks(response, RESPONSE_CHARS, self._linear)
        worst, at, place = -math.inf, np.empty(0, dtype=np.float32), None
        for span, vector, outputs in self._read(self._response_spans(response, found, checkpoint), share, checkpoint):
            net = self._answer_net(context, vector[None], flag, lead)
            answer = (linear.logit(span) + fixed) * heads_share + net + shift
            words = content.logit(span) * share + float(outputs[0]) * _NET_SHARE
            words = _WORDS.on_scale_of(own, words - shares["content_discount"] - shares["refusal"] * flag)
            score = max(answer, min(words, answer + above)) - span.discount
            if score > worst:
                worst, at, place = score, outputs, span.place
        return Scored(worst, at, len(found), place)

    def _answer_net(self, context: Floats, vector: Floats, flag: float, lead: float) -> float:
        """What the nets add for an answer: beside its question or, with a lead that may be negative, beside none."""
        flags = np.array([flag], dtype=np.float32)
        net = float(self._response_nets.outputs(response_inputs(context, vector, flags))[0, 0]) * _NET_SHARE
        if lead == -math.inf:
            return net
        alone = float(self._response_nets.outputs(response_inputs(self._unasked, vector, flags))[0, 0]) * _NET_SHARE
        return max(net, alone + lead)

    def _response_spans(self, response: str, found: list[tuple[int, str]], checkpoint: Checkpoint) -> list[Span]:
        """The windows of a response that are read, and their parts: of many windows the ends and the worst."""
        spans = window_spans(found, RESPONSE_CHARS)
        if len(spans) <= _MOST_WINDOWS:
            return spans + self._parts_read([(0, response)], response, checkpoint)
        sentences = units(response)
        linear = self._unit_linear.logits([one.text for one in sentences], checkpoint)
        starts = [start for start, _ in found]
        chosen = {0, len(spans) - 1}
        for index in np.argsort(-linear, kind="stable"):
            if len(chosen) == _MOST_WINDOWS:
                break
            chosen.add(bisect_right(starts, sentences[index].start) - 1)
        read = [spans[index] for index in sorted(chosen)]
        return read + self._parts_read([found[index] for index in sorted(chosen)], response, checkpoint)

    def _parts_read(self, stretches: list[tuple[int, str]], response: str, checkpoint: Checkpoint) -> list[Span]:
        """The parts of a Chinese response that are read, of many the ones with the highest n-gram scores."""
        parts = answer_parts(stretches, len(response)) if language(response) == "zh" else []
        if len(parts) > _MOST_PARTS:
            linear = self._unit_linear.logits([part.text for part in parts], checkpoint)
            parts = [parts[index] for index in np.argsort(-linear, kind="stable")[:_MOST_PARTS]]
        return parts

    def _prompt_term(self, prompt: str, vector: Floats, share: float) -> float:
        """The score of the prompt's beginning; 0 for an empty prompt."""
        if not prompt:
            return 0.0
        outputs = self._outputs(vector, share)[0]
        return self._linear.logit(prompt[:TEXT_CHARS]) * share + float(outputs[0]) * _NET_SHARE

    def _read(self, spans: list[Span], share: float, checkpoint: Checkpoint) -> Iterator[tuple[Span, Floats, Floats]]:
        """Yield each span with its embedding and the prompt nets' outputs."""
        for start in range(0, len(spans), _BATCH_SPANS):
            checkpoint()
            batch = spans[start : start + _BATCH_SPANS]
            vectors = self._embed([span.text for span in batch], foreign=0 if share else len(batch))
            yield from zip(batch, vectors, self._outputs(vectors, share), strict=True)

    def _outputs(self, vectors: Floats, share: float) -> Floats:
        """What the nets say of prompts. Where n-grams have no share, the nets for other languages tell the severity."""
        outputs = self._prompt_nets.outputs(vectors)
        if not share:
            outputs[:, 0] = self._foreign_nets.outputs(vectors)[:, 0]
        return outputs

    def vectors(self, texts: Sequence[str]) -> Floats:
        """A vector of length 1 for each text, to compare texts with; each must have something in it."""
        encode = self._tokenizer.encode
        return self._encoder.encode([encode(one, is_foreign=language(one) in FOREIGN) for one in map(clean, texts)])

    def _embed(self, texts: list[str], *, foreign: int) -> Floats:
        """What the nets see of some texts, of which the first `foreign` ones are in one of `FOREIGN`."""
        encode = self._tokenizer.encode
        return net_inputs(self._encoder.encode([encode(one, is_foreign=at < foreign) for at, one in enumerate(texts)]))

    def _judgement(
        self, target: TargetName, cleaned: str, scored: Scored, *, refusal: bool | None, named: tuple[str, ...]
    ) -> Judgement:
        tongue = language(cleaned)
        thresholds = self.thresholds(target, tongue)
        severity = thresholds.severity(scored.score)
        top = named[int(np.argmax(scored.outputs[1 : 1 + len(named)]))]
        return Judgement(
            target=target,
            severity=severity,
            categories=() if severity == "safe" else (top,),
            refusal=refusal,
            probabilities=thresholds.probabilities(scored.score),
            score=scored.score,
            language=tongue,
            windows=scored.windows,
            place=None if severity == "safe" or scored.place == (0, len(cleaned)) else scored.place,
            coverage=coverage(cleaned, self._known),
            is_sure=thresholds.is_sure(scored.score),
            personal=personal_data(cleaned),
        )


def _ngram_share(text: str) -> float:
    """What the n-grams for English and Chinese count in a text: nothing in a language that they were not trained on."""
    return 0.0 if language(text) in FOREIGN else _NGRAM_SHARE
