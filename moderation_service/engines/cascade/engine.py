"""Two models as one engine: the small one is asked first, and the larger one where it is not sure."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from ...core.cascade import Sureness, Up, is_certain, why_up
from ...core.conversation import Conversation
from ...core.engine import Deadline, Engine
from ...core.never_milder import at_least
from ...core.policy import Bounds
from ...core.verdict import Detail, PartRead, Severity, Verdict, strictest
from ...errors import EngineError, ModerationError, Overloaded
from ...observability.logs import log_event
from ...upstream.per_process import PerProcess
from .comparing import CascadeEvents, Compared, LargeEngine, Sample

__all__ = ["CascadeEngine", "Watched"]

_log = logging.getLogger("moderation.upstream")

_SMALL_SHARE = 0.25
"""The share of a deadline that the small model gets: one that hangs must leave the larger one time to answer."""
_DEFAULT_DEADLINE_S = 30.0

_Judged = Verdict | ModerationError
Watched = Callable[[Engine, str], Engine]
"""Another engine with something around it, such as a span for every call, given it and which of the two it is."""


class CascadeEngine:
    """Asks `small`, and `large` about what `small` is not sure of by `bounds`. Safe to use from many threads.

    Never milder: the larger model overrules a doubt of the small one, but not what that is certain of. While the
    larger one is away, what the small one found harmful, by its label or the thresholds that it is asked with, stands,
    marked by the `failure`; what it was not sure is safe has no verdict. While the small one is away, the larger one
    judges everything.
    """

    name = "cascade"

    def __init__(
        self,
        small: Engine,
        large: LargeEngine,
        *,
        bounds: Bounds,
        sample: float = 0.0,
        events: CascadeEvents | None = None,
        watched: Watched | None = None,
    ) -> None:
        self._small = watched(small, "small") if watched else small
        self._large = watched(large, "large") if watched else large
        self._bounds = bounds
        self._share = sample
        self._events = events
        self._chance = random.Random()  # noqa: S311  # no secret
        self._sample = None if events is None else PerProcess(lambda: Sample(large, events))
        self._away: set[str] = set()
        self._has_told_names = False

    @property
    def model(self) -> str:
        """Both models' names; a verdict has the name of the one that decided."""
        return f"{self._small.model} + {self._large.model}"

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[_Judged]:
        """One verdict or error per conversation, in order; the small model's where it is sure of the label itself."""
        deadline = deadline or Deadline.after(_DEFAULT_DEADLINE_S)
        return self.judge_with(conversations, Sureness(), detail=detail, deadline=deadline)

    def judge_with(
        self, conversations: Sequence[Conversation], sureness: Sureness, *, detail: Detail, deadline: Deadline
    ) -> list[_Judged]:
        """The same, where the small model is as sure as a policy asks."""
        patience = Deadline.after(deadline.remaining_s() * _SMALL_SHARE)
        found = self._small.judge(conversations, detail=detail, deadline=patience)
        reasons = {index: reason for index, one in enumerate(found) if (reason := self._why_up(one, sureness))}
        answers = list(map(_named, found, [True] * len(found)))
        self._decided_by_small(conversations, answers, reasons)
        if reasons:
            going = [conversations[index] for index in reasons]
            large = self._large.judge(going, detail=detail, deadline=deadline)
            for (index, reason), second in zip(reasons.items(), large, strict=True):
                answers[index] = self._of_both(answers[index], _named(second, False), reason, sureness)
        return answers

    def suffices(self, verdict: Verdict, sureness: Sureness) -> bool:
        """Whether an earlier verdict is the larger model's, or one that the small model may give under these rules."""
        return not verdict.by_small or why_up(verdict, sureness, self._bounds) is None

    def check_ready(self) -> None:
        """Return if one of the two can judge: the other one's share is then judged by it, or by the fail mode.

        Raises EngineError.
        """
        errors = []
        for part, engine in (("small", self._small), ("large", self._large)):
            try:
                engine.check_ready()
            except EngineError as error:
                errors.append(error)
                self._note_away(part, error)
            else:
                self._away.discard(part)
        if len(errors) == 2:
            raise errors[1]
        if self._small.model == self._large.model != "unknown" and not self._has_told_names:
            self._has_told_names = True
            log_event(_log, logging.WARNING, "cascade_models_have_one_name", model=self._small.model)

    def close(self) -> None:
        """Close both."""
        sample = None if self._sample is None else self._sample.take()
        if sample is not None:
            sample.close()
        self._small.close()
        self._large.close()

    def _why_up(self, one: _Judged, sureness: Sureness) -> Up | None:
        if isinstance(one, Verdict):
            return why_up(one, sureness, self._bounds)
        # Too many requests of ours: sending them on would only move the crowd to the slower model.
        return None if isinstance(one, Overloaded) else Up.NO_VERDICT

    def _decided_by_small(
        self, conversations: Sequence[Conversation], answers: Sequence[_Judged], reasons: dict[int, Up]
    ) -> None:
        """Tell who decides, and draw the sample."""
        if self._events is None or self._sample is None:
            return
        for index, one in enumerate(answers):
            if index in reasons:
                self._events.cascade_went_up(reasons[index])
            elif isinstance(one, Verdict):
                self._events.cascade_decided(by_small=True)
                if self._chance.random() < self._share:
                    self._sample.here().offer(conversations[index], one.severity)

    def _of_both(self, first: _Judged, second: _Judged, reason: Up, sureness: Sureness) -> _Judged:
        """What becomes of a text of which the small model's answer was not enough."""
        if isinstance(second, Verdict):
            if self._events is not None:
                self._events.cascade_decided(by_small=False)
                if isinstance(first, Verdict) and not (first.failure or second.failure):
                    self._events.cascade_compared(Compared.UP, first.severity, second.severity)
            if isinstance(first, Verdict) and is_certain(first, self._bounds):
                return at_least(second, first)
            return second
        if isinstance(second, EngineError) and isinstance(first, Verdict) and _is_harmful(first, sureness):
            parts = first.read_in_part | {PartRead.CATEGORIES} if reason is Up.CATEGORIES else first.read_in_part
            return replace(first, failure=second, read_in_part=parts)
        return second

    def _note_away(self, part: str, error: EngineError) -> None:
        if part not in self._away:
            self._away.add(part)
            log_event(_log, logging.WARNING, "cascade_model_away", model=part, reason=error.reason.value)


def _is_harmful(verdict: Verdict, sureness: Sureness) -> bool:
    """Whether a verdict is harmful by its label, or by the thresholds of the policy."""
    readings = (verdict.severity, sureness.thresholds.severity(verdict.severity, verdict.scores))
    return strictest(readings) is not Severity.SAFE


def _named(one: _Judged, by_small: bool) -> _Judged:
    return replace(one, engine=CascadeEngine.name, by_small=by_small) if isinstance(one, Verdict) else one
