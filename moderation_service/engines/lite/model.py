"""The lite model: a linear n-gram model and small nets over sentence embeddings, added, with thresholds per language.

Score of a text: n-gram logit / 4 + net logit / 2. A prompt is scored by its beginning, by its edge sentences at a
discount, and by its sentences and lines one by one, with a head and thresholds of their own (`units`); the worst
counts. A response is scored in windows. Two thresholds per language turn the score into a severity; where they come
from, and what "controversial" means here, is in docs/lite-model-card.md.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .assets import WEIGHTS, Arrays, read
from .encoder import Encoder
from .nets import Nets, net_inputs
from .ngrams import TEXT_CHARS, LinearHead
from .refusal import RefusalHead
from .severity import SeverityName, Thresholds
from .text import WINDOW_CHARS, Language, clean, edge_sentences, language, windows
from .tokenizer import Tokenizer
from .units import Unit, units

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

CATEGORIES = (
    "violent",
    "non_violent_illegal_acts",
    "sexual_content",
    "pii",
    "suicide_self_harm",
    "unethical_acts",
    "politically_sensitive_topics",
    "copyright_violation",
    "jailbreak",
)
"""Category ids in the order of the net's outputs; the last one is for prompts only."""
CATEGORY_NAMES = (
    "Violent",
    "Non-violent Illegal Acts",
    "Sexual Content or Sexual Acts",
    "PII",
    "Suicide & Self-Harm",
    "Unethical Acts",
    "Politically Sensitive Topics",
    "Copyright Violation",
    "Jailbreak",
)
"""The same nine as the training files write them."""

PROMPT_BITS = 18
RESPONSE_SEEDS = (101, 202)
"""Hash seeds of a response's n-grams and of its prompt's."""
RESPONSE_CHARS, CONTEXT_CHARS = 2000, 800
"""Characters of a response, and of the prompt before it, that one set of n-grams covers."""

_NGRAM_SHARE, _NET_SHARE = 1 / 4, 1 / 2
# What another place must be worse by than the first window. For windows it grows with the logarithm of their number:
# the highest of many harmless scores would else flag every long text.
_SEGMENT_DISCOUNT, _WINDOW_DISCOUNT, _WINDOW_DISCOUNT_GROWTH = 0.75, 0.5, 0.25
# Units that go through the encoder, of a text that the first window holds whole and of a longer one. With 4 and with 16
# the figures were the same.
_BEST_OF_FEW, _BEST_OF_MANY = 3, 8
# A response's windows per pass through the encoder: bounds the memory it takes and how late a deadline is noticed.
_BATCH_SPANS = 32


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model found in one text.

    `probabilities` are of safe, controversial and unsafe, in this order; `score` is the raw score they come from.
    `place` is where in the cleaned text the worst was found, None for all of it and for a safe one.
    """

    target: TargetName
    severity: SeverityName
    categories: tuple[str, ...]
    refusal: bool | None
    probabilities: tuple[float, float, float]
    score: float
    language: Language
    windows: int
    place: tuple[int, int] | None = None


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

    They come from different heads and are compared with different thresholds. `place` is where the whole's is from;
    `unit` is None for a text without a middle.
    """

    whole: float
    outputs: Floats
    place: tuple[int, int] | None
    unit: Unit | None
    unit_score: float
    unit_outputs: Floats


class _Span(NamedTuple):
    """A piece of text that is scored; `block` is where the stretch of its n-grams begins, None: the piece itself.

    `start` is where it stands in the text, None for one put together.
    """

    text: str
    block: int | None
    discount: float
    start: int | None

    @property
    def place(self) -> tuple[int, int] | None:
        return None if self.start is None else (self.start, self.start + len(self.text))


def _no_check() -> None:
    pass


class LiteModel:
    """Judges prompts and responses. Read-only after construction, so threads may share it."""

    def __init__(self, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        self.version: str = meta["version"]
        pieces = arrays["pieces"].tobytes().decode().split("\n")
        self._tokenizer = Tokenizer(pieces, arrays["piece_scores"])
        self._encoder = Encoder(arrays)
        self._prompt_nets = Nets(arrays, "prompt")
        self._response_nets = Nets(arrays, "response")
        self._unit_nets = Nets(arrays, "unit")
        self._unit_linear = LinearHead(arrays["unit_ngrams"], **meta["unit_linear"])
        heads = {name: LinearHead(arrays[f"{name}_ngrams"], **values) for name, values in meta["linear"].items()}
        self._linear, self._response_linear, self._context_linear = heads["prompt"], heads["response"], heads["context"]
        self._refusal = RefusalHead(heads["refusal"], meta["refusal_threshold"])
        self._shares: dict[str, float] = meta["response_shares"]
        self._thresholds = {key: Thresholds(**values) for key, values in meta["thresholds"].items()}

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Self:
        """Read the shipped weights. OSError when the file is missing, ValueError or KeyError when it is damaged."""
        return cls(*read(path))

    def judge_prompt(self, text: str, *, checkpoint: Checkpoint = _no_check) -> Judgement:
        """Judge a user message. `checkpoint` is called between parts of the work and may raise to stop it."""
        cleaned = clean(text)
        scored = self.score_prompt(cleaned, checkpoint=checkpoint)
        return self._judgement("prompt", cleaned, scored, refusal=None, named=CATEGORIES)

    def judge_response(self, prompt: str, response: str, *, checkpoint: Checkpoint = _no_check) -> Judgement:
        """Judge what an assistant answered to a prompt, which may be empty."""
        cleaned = clean(response)
        refusal = self.refuses(cleaned)
        scored = self.score_response(clean(prompt), cleaned, refusal=refusal, checkpoint=checkpoint)
        return self._judgement("response", cleaned, scored, refusal=refusal, named=CATEGORIES[:-1])

    def thresholds(self, target: TargetName, tongue: Language) -> Thresholds:
        """Return the thresholds that a score is compared with."""
        return self._thresholds[f"{target}_{tongue}"]

    def refuses(self, cleaned: str) -> bool:
        """Return whether a cleaned response declines to answer."""
        return self._refusal.refuses(cleaned)

    def score_prompt(self, cleaned: str, *, checkpoint: Checkpoint = _no_check) -> Scored:
        """Score a cleaned user message: by its beginning and edges, or by its worst sentence if that is worse."""
        parts = self.prompt_parts(cleaned, checkpoint=checkpoint)
        count = len(windows(cleaned))
        if parts.unit is not None:
            tongue = language(cleaned)
            found = self._thresholds[f"unit_{tongue}"].on_scale_of(self.thresholds("prompt", tongue), parts.unit_score)
            if found > parts.whole:
                return Scored(found, parts.unit_outputs, count, (parts.unit.start, parts.unit.end))
        return Scored(parts.whole, parts.outputs, count, parts.place)

    def prompt_parts(self, cleaned: str, *, checkpoint: Checkpoint = _no_check) -> PromptParts:
        """The scores of a cleaned user message before they are compared; see `PromptParts`."""
        checkpoint()
        spans = _beginning_and_edges(cleaned)
        found = units(cleaned)
        linear = self._unit_linear.logits([unit.text for unit in found], checkpoint)
        most = _BEST_OF_FEW if len(cleaned) <= WINDOW_CHARS else _BEST_OF_MANY
        best = np.argsort(-linear, kind="stable")[:most]
        checkpoint()
        # In one pass: the encoder reads its weights once per call.
        vectors = self._embed([*(span.text for span in spans), *(found[index].text for index in best)])
        outputs = self._prompt_nets.outputs(vectors)
        blocks = _Blocks(cleaned, TEXT_CHARS, self._linear)
        scores = [
            blocks.logit(span) * _NGRAM_SHARE + float(row[0]) * _NET_SHARE - span.discount
            for span, row in zip(spans, outputs, strict=False)
        ]
        worst = int(np.argmax(scores))
        whole = scores[worst], outputs[worst], spans[worst].place
        if not found:
            return PromptParts(*whole, None, -math.inf, outputs[worst])
        nets = self._unit_nets.outputs(vectors[len(spans) :])[:, 0]
        unit_scores = linear[best] * _NGRAM_SHARE + nets * _NET_SHARE
        top = int(np.argmax(unit_scores))
        return PromptParts(*whole, found[best[top]], float(unit_scores[top]), outputs[len(spans) + top])

    def score_response(
        self, prompt: str, response: str, *, refusal: bool, checkpoint: Checkpoint = _no_check
    ) -> Scored:
        """Score a cleaned response to a cleaned prompt.

        Per window the larger of two scores: the response heads, which see the prompt too, and the prompt heads on the
        response's own words, at a discount. The score of the prompt is added in part; a refusal lowers the whole.
        """
        found = windows(response)
        shares, flag = self._shares, float(refusal)
        context = self._embed([prompt[:WINDOW_CHARS]])[0]
        shift = shares["prompt"] * self._prompt_term(prompt, context) - shares["refusal"] * flag
        fixed = self._context_linear.contribution(prompt[:CONTEXT_CHARS]) + shares["refusal_linear"] * flag
        linear = _Blocks(response, RESPONSE_CHARS, self._response_linear)
        content = _Blocks(response, RESPONSE_CHARS, self._linear)
        worst, at, place = -math.inf, np.empty(0, dtype=np.float32), None
        for span, vector, outputs in self._read(_window_spans(found, RESPONSE_CHARS), checkpoint):
            inputs = np.concatenate((context, vector, np.array([flag], dtype=np.float32)))
            net = float(self._response_nets.outputs(inputs)[0])
            answer = (linear.logit(span) + fixed) * _NGRAM_SHARE + net * _NET_SHARE + shift
            words = content.logit(span) * _NGRAM_SHARE + float(outputs[0]) * _NET_SHARE
            score = max(answer, words - shares["content_discount"] - shares["refusal"] * flag) - span.discount
            if score > worst:
                worst, at, place = score, outputs, span.place
        return Scored(worst, at, len(found), place)

    def _prompt_term(self, prompt: str, vector: Floats) -> float:
        """The score of the prompt's beginning; 0 for an empty prompt."""
        if not prompt:
            return 0.0
        outputs = self._prompt_nets.outputs(vector)
        return self._linear.logit(prompt[:TEXT_CHARS]) * _NGRAM_SHARE + float(outputs[0]) * _NET_SHARE

    def _read(self, spans: list[_Span], checkpoint: Checkpoint) -> Iterator[tuple[_Span, Floats, Floats]]:
        """Yield each span with its embedding and the prompt nets' outputs."""
        for start in range(0, len(spans), _BATCH_SPANS):
            checkpoint()
            batch = spans[start : start + _BATCH_SPANS]
            vectors = self._embed([span.text for span in batch])
            yield from zip(batch, vectors, self._prompt_nets.outputs(vectors), strict=True)

    def _embed(self, texts: list[str]) -> Floats:
        return net_inputs(self._encoder.encode([self._tokenizer.encode(text) for text in texts]))

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
        )


class _Blocks:
    """N-gram logits of a long text by stretches of bounded length, each computed once."""

    def __init__(self, text: str, size: int, head: LinearHead) -> None:
        self._text, self._size, self._head = text, size, head
        self._known: dict[int, float] = {}

    def logit(self, span: _Span) -> float:
        if span.block is None:
            return self._head.logit(span.text)
        if span.block not in self._known:
            self._known[span.block] = self._head.logit(self._text[span.block : span.block + self._size])
        return self._known[span.block]


def _beginning_and_edges(cleaned: str) -> list[_Span]:
    """The first window of a prompt, and its edge sentences where they stand."""
    beginning = windows(cleaned[: 2 * WINDOW_CHARS])[0][1]
    edges = [(segment, cleaned.rfind(segment)) for segment in edge_sentences(cleaned)]
    return [
        _Span(beginning, 0, 0.0, 0),
        *(_Span(segment, None, _SEGMENT_DISCOUNT, at if at >= 0 else None) for segment, at in edges),
    ]


def _window_spans(found: list[tuple[int, str]], size: int) -> list[_Span]:
    """Windows with the stretch of `size` characters that holds each; stretches overlap by a window."""
    stride = size - WINDOW_CHARS
    later = _WINDOW_DISCOUNT + _WINDOW_DISCOUNT_GROWTH * math.log(max(1, len(found) - 1))
    return [_Span(text, start // stride * stride, later if start else 0.0, start) for start, text in found]
