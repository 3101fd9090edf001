"""Asks an engine about labelled texts and keeps what came of it; texts are let go as soon as they are judged.

No fallback and no fail mode: the figures are of one engine. A verdict of a part of a text is an error here, because
what was read is only the least that the text is.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.conversation import Conversation
from ...core.engine import Deadline, Engine
from ...core.verdict import Detail, Verdict
from ...errors import ModerationError
from ..window import JudgingWindow, WindowOptions, judged
from .labels import Gold
from .summary import Judged, is_found

__all__ = ["LabelledText", "Run", "TimedEngine", "measure", "mistake"]


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with what people say of it."""

    gold: Gold
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Run:
    """What came of every text, in order. `seconds` is from the first question to the last answer."""

    rows: Sequence[Judged]
    seconds: float
    latency: Mapping[str, float] | None
    """Milliseconds of a call per text of it, at three percentiles, while others were under way."""
    model: str
    """The model's name, which a server may tell only once it was asked."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rate = len(self.rows) / self.seconds if self.seconds else None
        return {"seconds": self.seconds, "rows_per_s": rate, "latency": self.latency}


@dataclass
class TimedEngine:
    """An engine whose calls are timed."""

    engine: Engine
    times_ms: deque[float] = field(default_factory=deque)

    @property
    def name(self) -> str:
        """The engine's."""
        return self.engine.name

    @property
    def model(self) -> str:
        """The engine's."""
        return self.engine.model

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        """The engine's verdicts."""
        began = time.perf_counter()
        results = self.engine.judge(conversations, detail=detail, deadline=deadline)
        each_ms = (time.perf_counter() - began) * 1000 / max(1, len(conversations))
        # Appending to a deque needs no lock.
        self.times_ms.extend([each_ms] * len(conversations))
        return results

    def check_ready(self) -> None:
        """The engine's."""
        self.engine.check_ready()

    def close(self) -> None:
        """The engine's."""
        self.engine.close()

    def percentiles(self) -> dict[str, float] | None:
        """Three percentiles by nearest rank; None before the first call."""
        ordered = sorted(self.times_ms)
        if not ordered:
            return None
        ranks = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}
        return {name: ordered[max(0, math.ceil(share * len(ordered)) - 1)] for name, share in ranks.items()}


def measure(
    engine: Engine,
    texts: Iterable[LabelledText],
    *,
    options: WindowOptions,
    told: Callable[[LabelledText, Judged], None] = lambda text, row: None,
) -> Run:
    """Judge the texts in a window. `told` gets every one as soon as it and those before it are judged.

    Raises the engine's error when it has been away for longer than the window's patience.
    """
    timed = TimedEngine(engine)
    rows: list[Judged] = []
    began = time.perf_counter()
    with JudgingWindow(timed, options) as window:
        for text, outcome in judged(window, texts, lambda one: one.conversation):
            row = _row(text.gold, outcome)
            rows.append(row)
            told(text, row)
    return Run(rows, time.perf_counter() - began, timed.percentiles(), engine.model)


def _row(gold: Gold, outcome: Verdict | ModerationError) -> Judged:
    if isinstance(outcome, Verdict) and outcome.may_be_worse:
        failure = outcome.failure
        return Judged(gold, None, failure.type if isinstance(failure, ModerationError) else ModerationError.type)
    return Judged(gold, outcome) if isinstance(outcome, Verdict) else Judged(gold, None, outcome.type)


def mistake(text: LabelledText, row: Judged) -> dict[str, Any] | None:
    """What the guard got wrong, with the text, for a file that people read; None where all is right."""
    gold, verdict = text.gold, row.verdict
    if verdict is None:
        wrong = ["not judged"]
    else:
        wrong = [
            reading
            for reading in ("strict", "loose")
            if gold.severity is not None and is_found(gold.severity, reading) != is_found(verdict.severity, reading)
        ]
        if None is not gold.refusal != verdict.refusal is not None:
            wrong.append("refusal")
    if not wrong:
        return None
    scores = None if verdict is None else verdict.scores
    return {
        "id": gold.id,
        "wrong": wrong,
        "label": gold.severity and gold.severity.value,
        "safety": verdict and verdict.severity.value,
        "categories": None if verdict is None else [category.value for category in verdict.categories],
        "gold_categories": [category.value for category in gold.categories],
        "refusal": verdict and verdict.refusal,
        "gold_refusal": gold.refusal,
        "p_controversial": scores and scores.controversial,
        "p_unsafe": scores and scores.unsafe,
        "error": row.error,
        "messages": [{"role": one.role.value, "content": one.content} for one in text.conversation.messages],
    }
