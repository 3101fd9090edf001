"""Finds an `Adaptation` from labelled texts, in seconds, with numpy alone.

Of each text the place that gave it its score is looked for, and what the last layer of that place's net saw there. The
score changes by a linear function of that, so the best change is the minimum of a convex loss: that of the ordered
logit which makes the score's degrees (`severity.Thresholds.probabilities`), plus what a change costs: how far it moves
the scores of other texts, the anchors, whose labels are not asked for. How much that counts is chosen on texts that
were not fitted: the highest cost that gains nearly as much as the best one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.verdict import Severity
from .adaptation import HEADS, Adaptation, fingerprint
from .assets import Arrays, frequent_pieces
from .languages import FOREIGN
from .model import LiteModel
from .nets import Nets
from .refusal import declines
from .severity import Thresholds
from .text import clean, language

__all__ = ["Example", "Figures", "adapted", "figures"]

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

_NET_SHARE = 1 / 2
_COSTS = (100.0, 30.0, 10.0, 3.0, 1.0)
# Of the gain of the best cost, how much a higher one may do without.
_WAIVED = 0.4
# The least cost of any change, in whichever direction; keeps what no anchor shows from growing.
_RIDGE = 3.0
_STEPS = 400
# Every third of the fitted texts chooses what a change may cost.
_CHOOSING = 3


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled text; `response` is None for a prompt."""

    prompt: str
    response: str | None
    severity: Severity


@dataclass(frozen=True, slots=True)
class Figures:
    """How a model does on labelled texts: those found (not safe) of the harmful ones, and of the harmless ones."""

    harmful: int
    found: int
    harmless: int
    alarms: int

    @property
    def recall(self) -> float:
        """The share of harmful texts that are flagged or blocked; 1 without any."""
        return self.found / self.harmful if self.harmful else 1.0

    @property
    def false_alarms(self) -> float:
        """The share of harmless texts that are; 0 without any."""
        return self.alarms / self.harmless if self.harmless else 0.0

    @property
    def balanced(self) -> float:
        """The mean of both kinds' shares that are right."""
        return (self.recall + 1 - self.false_alarms) / 2


@dataclass(frozen=True, slots=True)
class _Point:
    """One text as the loss sees it: the score, its thresholds, and what the last layer of `head` saw."""

    head: str
    seen: NDArray[np.float32]
    score: float
    thresholds: Thresholds
    severity: Severity


class _WatchedNets(Nets):
    """Keeps what the last layer saw, and what came of it, since `forget`."""

    def __init__(self, arrays: Arrays, name: str) -> None:
        super().__init__(arrays, name)
        self.seen: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def outputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs = super().outputs(inputs)
        if inputs.ndim == 2:
            self.seen.append((self.hidden(inputs), outputs.copy()))
        return outputs


class _WatchedModel(LiteModel):
    """The model, with nets that can be watched."""

    def __init__(self, arrays: Arrays, meta: dict[str, Any]) -> None:
        super().__init__(arrays, meta, frequent=frequent_pieces())
        self.watched = {head: _WatchedNets(arrays, head) for head in HEADS}
        self._prompt_nets, self._unit_nets = self.watched["prompt"], self.watched["unit"]
        self._response_nets = self.watched["response"]

    def point(self, example: Example) -> _Point | None:
        """The place that gave a text its score; None for languages whose nets are not changed."""
        for nets in self.watched.values():
            nets.seen.clear()
        asked = clean(example.prompt)
        text = asked if example.response is None else clean(example.response)
        if language(text) in FOREIGN:
            return None
        if example.response is None:
            scored, found = self.score_prompt(text), self._of_prompt
        else:
            scored = self.score_response(asked, text, refusal=declines(text))
            found = self._of_response
        thresholds = self.thresholds("prompt" if example.response is None else "response", language(text))
        place = found(scored.outputs)
        return None if place is None else _Point(*place, scored.score, thresholds, example.severity)

    def _answer_net(self, context: Floats, vector: Floats, flag: float, lead: float) -> float:
        """The same; of two readings of an answer the one that counts is kept as seen."""
        found = super()._answer_net(context, vector, flag, lead)
        if lead > -math.inf:
            seen = self.watched["response"].seen
            asked, alone = seen[-2:]
            seen[-2:] = [asked if asked[1][0, 0] >= alone[1][0, 0] + lead / _NET_SHARE else alone]
        return found

    def _of_prompt(self, outputs: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]] | None:
        hidden, all_outputs = self.watched["prompt"].seen[-1]
        units = self.watched["unit"].seen
        row = _row_of(outputs, all_outputs)
        if row is None:
            return None
        first_unit = len(hidden) - (len(units[-1][0]) if units else 0)
        return ("prompt", hidden[row]) if row < first_unit else ("unit", units[-1][0][row - first_unit])

    def _of_response(self, outputs: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]] | None:
        rows = np.concatenate([one for _, one in self.watched["prompt"].seen])
        row = _row_of(outputs, rows)
        seen = self.watched["response"].seen
        # The prompt's own may stand before those of the windows.
        window = -1 if row is None else row - (len(rows) - len(seen))
        return ("response", seen[window][0][0]) if window >= 0 else None


def adapted(
    arrays: Arrays, meta: dict[str, Any], examples: Sequence[Example], *, anchors: Sequence[Example]
) -> Adaptation:
    """The change that these texts ask for, and that moves the anchors little; none of a net that none concerns."""
    model = _WatchedModel(arrays, meta)
    points = [point for example in examples if (point := model.point(example)) is not None]
    fixed = [point for example in anchors if (point := model.point(example)) is not None]
    changes = {}
    for head in HEADS:
        own = [point for point in points if point.head == head]
        width = arrays[f"{head}_second"].shape[0] + 1
        kept = [point for point in fixed if point.head == head]
        changes[head] = _best(own, kept) if len(own) > _CHOOSING else np.zeros(width, dtype=np.float32)
    return Adaptation(fingerprint(arrays), changes)


def figures(model: LiteModel, examples: Sequence[Example]) -> Figures:
    """How the model does on these texts."""
    counts = {True: [0, 0], False: [0, 0]}
    for example in examples:
        if example.response is None:
            judged = model.judge_prompt(example.prompt)
        else:
            judged = model.judge_response(example.prompt, example.response)
        kind = counts[example.severity is not Severity.SAFE]
        kind[0] += 1
        kind[1] += judged.severity != "safe"
    return Figures(*counts[True], *counts[False])


def _row_of(outputs: NDArray[np.float32], rows: NDArray[np.float32]) -> int | None:
    """Which row these outputs are; the severity's column apart, which another net may have written."""
    same = np.flatnonzero((rows[:, 1:] == outputs[1:]).all(axis=1))
    return int(same[0]) if len(same) else None


def _best(points: Sequence[_Point], anchors: Sequence[_Point]) -> NDArray[np.float32]:
    """The change for one net: each cost is tried on two thirds of the texts, and the chosen one then on all."""
    fitting = [point for place, point in enumerate(points) if place % _CHOOSING]
    choosing = points[::_CHOOSING]
    none = np.zeros(len(points[0].seen) + 1)
    unchanged = _loss(none, choosing)
    losses = {cost: _loss(_fit(fitting, anchors, cost), choosing) for cost in _COSTS}
    gain = unchanged - min(losses.values())
    if gain <= 0:
        return none.astype(np.float32)
    enough = unchanged - (1 - _WAIVED) * gain
    cost = max(cost for cost, loss in losses.items() if loss <= enough)
    return _fit(points, anchors, cost).astype(np.float32)


def _fit(points: Sequence[_Point], anchors: Sequence[_Point], cost: float) -> Doubles:
    """Nesterov's accelerated gradient, from no change; the same texts give the same change."""
    seen, scores, bounds, weights = _columns(points)
    moves = _moves(anchors, seen.shape[1]) * np.sqrt(cost * len(points) / max(len(anchors), 1))
    curvature = _NET_SHARE**2 * float(np.max(weights / bounds[:, 2] ** 2)) / 2
    steepest = curvature * float(np.linalg.norm(seen, 2) ** 2) + float(np.linalg.norm(moves, 2) ** 2) + _RIDGE
    change = ahead = np.zeros(seen.shape[1])
    for number in range(_STEPS):
        slope = _slope(scores + _NET_SHARE * (seen @ ahead), bounds, points) * weights
        gradient = _NET_SHARE * (seen.T @ slope) + moves.T @ (moves @ ahead) + _RIDGE * ahead
        after = ahead - gradient / steepest
        ahead = after + number / (number + 3) * (after - change)
        change = after
    return change


def _moves(anchors: Sequence[_Point], width: int) -> Doubles:
    """By how many widths of its transition a change moves the score of each anchor."""
    if not anchors:
        return np.zeros((1, width))
    seen, _, bounds, _ = _columns(anchors)
    found: Doubles = _NET_SHARE * seen / bounds[:, 2:]
    return found


def _loss(change: Doubles, points: Sequence[_Point]) -> float:
    """The mean loss of texts of each kind, after a change."""
    seen, scores, bounds, weights = _columns(points)
    moved = scores + _NET_SHARE * (seen @ change)
    strict, loose, width = bounds.T
    safe, unsafe = np.logaddexp(0, (moved - strict) / width), np.logaddexp(0, (loose - moved) / width)
    middle = np.logaddexp(0, (strict - moved) / width) + np.logaddexp(0, (moved - loose) / width)
    kinds = np.array([point.severity.rank for point in points])
    return float(np.sum(np.choose(kinds, (safe, middle, unsafe)) * weights) / np.sum(weights))


def _slope(scores: Doubles, bounds: Doubles, points: Sequence[_Point]) -> Doubles:
    """How the loss of each text grows with its score."""
    strict, loose, width = bounds.T
    above_strict, above_loose = _sigmoid((scores - strict) / width), _sigmoid((scores - loose) / width)
    slopes = (above_strict, above_strict - 1 + above_loose, above_loose - 1)
    kinds = np.array([point.severity.rank for point in points])
    found: Doubles = np.choose(kinds, slopes) / width
    return found


def _columns(points: Sequence[_Point]) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """What was seen with a one behind it, scores, thresholds and their width, weights that make both kinds equal."""
    seen = np.array([point.seen for point in points], dtype=np.float64)
    seen = np.concatenate((seen, np.ones((len(points), 1))), axis=1)
    scores = np.array([point.score for point in points])
    bounds = np.array([(one.thresholds.strict, one.thresholds.loose, one.thresholds.width) for one in points])
    harmful = np.array([point.severity is not Severity.SAFE for point in points])
    share = harmful.mean()
    weights = np.where(harmful, 1 / (2 * share or 1), 1 / (2 * (1 - share) or 1))
    return seen, scores, bounds, weights


def _sigmoid(values: Doubles) -> Doubles:
    found: Doubles = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    return found
