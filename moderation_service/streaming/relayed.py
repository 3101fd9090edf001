"""Answers that somebody else relays and sends here as they grow: the whole text so far, with every call.

Nothing is remembered between calls. What is needed to go on stands in the `state` that goes back with each answer and
comes again with the next call: how far the text was judged, what was found, and a keyed hash of it all with the text,
the policy and the engines. Whoever leaves the state out, or changes it, the text before it or the policy, has
everything judged anew; nothing worse happens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..core.moderator import Check, Moderator
from ..core.policy import Policy
from ..core.question import Question
from ..core.verdict import Action, Category, Severity, Target, Verdict
from .growing_answer import GrowingAnswer, Pacing, Progress, Ruling
from .piece_judge import AnswerJudge
from .token_judge import Finding, Mark, TokenJudge, token_pacing

if TYPE_CHECKING:
    from ..engines.stream import StreamEngine

__all__ = ["Relay", "RelayedText", "SoFar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedText:
    """The text of an answer so far, and how it shall be judged. `call_id` tells answers apart."""

    call_id: str
    question: Question
    text: str
    policy: Policy
    is_final: bool = False
    state: str | None = None
    languages: Sequence[str] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoFar:
    """What is known of an answer so far.

    `severity` is None while nothing was judged, and from when on a fail mode let text pass. Text up to character
    `safe_up_to` may be shown; with `stop`, nothing behind it ever may. `flagged_at` is where the worst that was found
    begins. `by_token` is false when the answer is judged in pieces.
    """

    severity: Severity | None
    categories: tuple[Category, ...]
    action: Action
    stop: bool
    safe_up_to: int
    flagged_at: int | None
    message: str | None
    by_token: bool
    engine: str
    model: str
    degraded: bool
    state: str
    latency_ms: float


@dataclass
class _Memory:
    """What the state holds besides the progress."""

    found: Finding = Finding()
    mark: Mark = Mark()
    action: Action = Action.ALLOW
    degraded: bool = False
    unjudged: bool = False
    is_sure: bool = False

    def note(self, ruling: Ruling) -> None:
        decision = ruling.decision
        if decision is not None:
            self.action = max(self.action, decision.action, key=lambda action: action.rank)
            self.degraded |= decision.degraded
            self.unjudged |= decision.verdict is None
            self.is_sure |= decision.verdict is None or decision.verdict.is_sure


class Relay:
    """Judges relayed answers, by token where there is an engine for it. Safe to use from many threads.

    Made before the workers are forked, with a `key` of random bytes, so that any of them can go on with a state.
    """

    def __init__(self, moderator: Moderator, stream: StreamEngine | None, *, key: bytes, deadline_s: float) -> None:
        self._moderator = moderator
        self._stream = stream
        self._key = key
        # By token everything new is judged with every call: how often that is, the caller decides.
        self._pacing = Pacing() if stream is None else token_pacing(1)
        self._deadline_s = deadline_s

    def check(self, asked: RelayedText) -> SoFar:
        """Judge what is new. Raises ModerationError when that can't be done; the same call may be tried again."""
        started = perf_counter()
        topic = _hash(self._key, asked.call_id, repr(asked.question))
        answer, memory = self._resumed(asked, topic)
        shown = asked.text[: answer.cleared]
        if asked.is_final:
            answer.end()
        pieces = AnswerJudge(self._moderator, asked.question, asked.policy, asked.languages, asked.metadata)
        judge: TokenJudge | None = None
        if self._stream is not None:
            judge = TokenJudge(
                pieces,
                self._stream,
                deadline_s=self._deadline_s,
                begun=asked.question.begun,
                salt=topic,
                shown=shown,
                mark=memory.mark,
                found=memory.found,
            )
        while (piece := answer.next_piece()) is not None:
            ruling = (judge or pieces)(piece)
            answer.settle(piece, ruling)
            memory.note(ruling)
            if judge is not None:
                memory.found, memory.mark = judge.found, judge.mark
            elif ruling.decision is not None and (verdict := ruling.decision.verdict) is not None:
                memory.found = memory.found.worse(verdict.severity, verdict.categories, piece.start)
        by_token = judge is not None and not judge.fell_back
        return self._so_far(asked, answer, memory, topic, by_token=by_token, started=started)

    def _so_far(
        self, asked: RelayedText, answer: GrowingAnswer, memory: _Memory, topic: str, *, by_token: bool, started: float
    ) -> SoFar:
        found = memory.found
        engine = self._stream if by_token and self._stream is not None else self._moderator.engine
        origin = engine.name, engine.model
        is_sure = by_token or memory.is_sure
        verdict = Verdict(Target.RESPONSE, found.severity, found.categories, None, None, *origin, is_sure=is_sure)
        action = max(memory.action, asked.policy.action(verdict), key=lambda action: action.rank)
        action = Action.BLOCK if answer.is_blocked else action
        nothing_judged = not answer.cleared and found.begin is None
        return SoFar(
            severity=None if nothing_judged or memory.unjudged else found.severity,
            categories=found.categories,
            action=action,
            stop=answer.is_blocked,
            safe_up_to=answer.cleared,
            flagged_at=found.begin,
            message=self._message(asked, verdict) if action is Action.BLOCK else None,
            by_token=by_token,
            engine=engine.name,
            model=engine.model,
            degraded=memory.degraded,
            state=self._sealed(asked, answer, memory, topic),
            latency_ms=(perf_counter() - started) * 1000.0,
        )

    def _message(self, asked: RelayedText, verdict: Verdict) -> str:
        check = Check(asked.question.answered(asked.text), asked.policy, languages=asked.languages)
        return self._moderator.message(check, verdict)

    def _resumed(self, asked: RelayedText, topic: str) -> tuple[GrowingAnswer, _Memory]:
        """The answer where the state left it, or from its beginning."""
        opened = None if asked.state is None else self._opened(asked, topic)
        if opened is not None:
            progress, memory = opened
            answer = GrowingAnswer.resumed(
                progress, asked.text, key=self._key, pacing=self._pacing, before=asked.question.begun
            )
            if answer is not None:
                return answer, memory
        answer = GrowingAnswer(self._pacing, before=asked.question.begun)
        answer.add(asked.text)
        return answer, _Memory()

    def _sealed(self, asked: RelayedText, answer: GrowingAnswer, memory: _Memory, topic: str) -> str:
        """The state to go back. Its seal covers the text that was judged, shown or not."""
        found, mark = memory.found, memory.mark
        content = {
            "progress": answer.progress(asked.text, key=self._key).to_json(),
            "found": [found.severity.value, [category.value for category in found.categories], found.begin],
            "mark": [mark.tokens, mark.end, mark.last.value],
            "rest": [memory.action.value, memory.degraded, memory.unjudged, memory.is_sure],
        }
        body = base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")
        return f"{body}.{self._seal(asked, topic, body, asked.text[: mark.end])}"

    def _seal(self, asked: RelayedText, topic: str, body: str, judged: str) -> str:
        """The seal on a state: another policy or engine may say something else of the text that was judged."""
        engines = [f"{one.name} {one.model}" for one in (self._moderator.engine, self._stream) if one is not None]
        return _hash(self._key, topic, body, judged, asked.policy.name, asked.policy.version, *engines)

    def _opened(self, asked: RelayedText, topic: str) -> tuple[Progress, _Memory] | None:
        """What the state holds; None for one that was not made here, or not for this answer."""
        state = asked.state or ""
        body, _, seal = state.rpartition(".")
        try:
            content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            tokens, end, last = content["mark"]
            expected = self._seal(asked, topic, body, asked.text[:end])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if not hmac.compare_digest(expected.encode(), seal.encode("utf-8", "surrogatepass")):
            return None
        severity, categories, begin = content["found"]
        action, degraded, unjudged, is_sure = content["rest"]
        memory = _Memory(
            Finding(Severity(severity), tuple(map(Category, categories)), begin),
            Mark(tokens, end, Severity(last)),
            Action(action),
            degraded,
            unjudged,
            is_sure,
        )
        return Progress.from_json(content["progress"]), memory


def _hash(key: bytes, *parts: str) -> str:
    digest = hashlib.blake2b(key=key, digest_size=16)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d " % len(content))
        digest.update(content)
    return digest.hexdigest()
