"""Qwen3Guard-Stream as the judge of a growing answer: token by token, while it is being written.

Shown is the text up to the last token that may be; the text of a token that may not waits for its neighbour, which
decides whether it counts (`engines.stream.stopping`). Where token-level verdicts can't be had, the judge of pieces
takes over for as long as that lasts; and where another engine judges complete texts, it is asked about a complete
answer too, and the stricter of the two counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from ..core.engine import Deadline
from ..core.moderator import Check
from ..core.never_milder import at_least
from ..core.verdict import Action, Category, Decision, Severity, Span, Target, Verdict
from ..errors import AuditUnavailable, EngineError, ModerationError
from ..observability.logs import log_event
from .growing_answer import Pacing, Piece, Ruling
from .piece_judge import AnswerJudge

if TYPE_CHECKING:
    from ..engines.stream import JudgedToken, StreamEngine

__all__ = ["Finding", "Mark", "TokenJudge", "TokenJudges", "token_pacing"]

_log = logging.getLogger("moderation.stream")
_BYTES_PER_TOKEN = 4


def token_pacing(chunk_tokens: int) -> Pacing:
    """The pacing for a judge that needs no sentences: so many tokens at a time, counted as 4 bytes each."""
    size = chunk_tokens * _BYTES_PER_TOKEN
    return Pacing(first_bytes=min(size, 16), piece_bytes=size, hold_bytes=size, at_boundaries=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """The worst that was found in an answer so far, and the character at which it begins; None for nothing yet."""

    severity: Severity = Severity.SAFE
    categories: tuple[Category, ...] = ()
    begin: int | None = None

    def worse(self, severity: Severity, categories: Iterable[Category], begin: int) -> Finding:
        """This one, or what was found later if that is worse."""
        if severity.rank <= self.severity.rank:
            return self
        return Finding(severity, tuple(categories), begin)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far an answer was judged: so many tokens, up to character `end`, the last of them of this severity."""

    tokens: int = 0
    end: int = 0
    last: Severity = Severity.SAFE


class TokenJudge:
    """A `growing.Judge` for one answer.

    `begun` is the beginning of it that a caller put into the model's mouth. When an answer is resumed, `shown` is its
    text that was cleared, `mark` how far it was judged, and `found` what was found in it. `salt` names the answer to
    the server's cache (`engines.stream.Answer`).
    """

    def __init__(
        self,
        pieces: AnswerJudge,
        engine: StreamEngine,
        *,
        deadline_s: float,
        begun: str = "",
        salt: str | None = None,
        shown: str = "",
        mark: Mark | None = None,
        found: Finding | None = None,
    ) -> None:
        self._pieces = pieces
        self._engine = engine
        self._deadline_s = deadline_s
        self._answer = engine.follow(pieces.question.turns, begun=begun, salt=salt, judged=mark.tokens if mark else 0)
        self._waiting = shown
        # Up to where the engine has the text, and up to where it may be shown.
        self._given = self._cleared = len(shown)
        self._blocked: Ruling | None = None
        self._unrecorded: AuditUnavailable | None = None
        self._before = mark.last if mark else Severity.SAFE
        self._end = mark.end if mark else 0
        # Where the run of flagged tokens began that the last one is in.
        self._run = self._end
        self.found = found or Finding()
        self.fell_back = False

    @property
    def mark(self) -> Mark:
        """How far the answer was judged."""
        return Mark(self._answer.judged, self._end, self._before)

    def __call__(self, piece: Piece) -> Ruling:
        """The ruling on a piece; the same if asked again. Raises ModerationError when none can be had."""
        if self._unrecorded is not None:
            # The tokens are gone through; asked again, what was found in them would be forgotten.
            raise self._unrecorded
        if self._blocked is None:
            ruling = self._rule(piece)
            self._blocked = ruling if ruling.is_blocked else None
            return ruling
        return self._blocked

    def _rule(self, piece: Piece) -> Ruling:
        if self._pieces.is_listed(piece):
            return self._pieces(piece)
        ruling = self._rule_by_tokens(piece)
        return replace(ruling, cleared=self._pieces.clearable(piece, ruling.cleared))

    def _rule_by_tokens(self, piece: Piece) -> Ruling:
        started = perf_counter()
        new = self._waiting + piece.new[self._given - piece.start :]
        self._waiting, self._given = "", piece.end
        deadline = Deadline.after(self._deadline_s)
        try:
            tokens = self._answer.add(new, is_last=piece.is_last, is_flushed=piece.is_flushed, deadline=deadline)
        except ModerationError as error:
            return self._without_tokens(piece, error)
        blocked = self._take(tokens, piece)
        if blocked is not None:
            decision = self._decide(piece, blocked, started)
            return Ruling(self._within(piece), is_blocked=True, decision=decision)
        if not piece.is_last:
            return Ruling(self._within(piece))
        if self._pieces.moderator.engine is not self._engine:
            ruling = self._by_pieces(piece)
            verdict = None if ruling.decision is None else ruling.decision.verdict
            if ruling.is_blocked or verdict is None or at_least(verdict, found := self._verdict(self.found)) is verdict:
                return ruling
            return Ruling.of(piece, self._decide(piece, at_least(verdict, found), started))
        return Ruling.of(piece, self._decide(piece, self._verdict(self.found), started))

    def _take(self, tokens: Sequence[JudgedToken], piece: Piece) -> Verdict | None:
        """Go through the tokens; the verdict that blocks the answer, if one does."""
        rules = self._pieces.policy.rules[Target.RESPONSE]
        for token in tokens:
            said = token.verdict
            severity = rules.thresholds.severity(said.severity, said.scores)
            counts_as = self._engine.stop_rule.severity(self._before, severity)
            if self._before is Severity.SAFE:
                self._run = token.begin
            self._before, self._end = severity, token.end
            categories = () if said.category is None else (said.category,)
            run = Span(self._run, token.end)
            alone = Verdict(Target.RESPONSE, said.severity, categories, None, said.scores, *self._origin, span=run)
            if counts_as is not Severity.SAFE:
                self.found = self.found.worse(severity, categories, token.begin)
                if rules.action(alone) is Action.BLOCK:
                    return alone
            if rules.action(alone) is not Action.BLOCK:
                self._cleared = max(self._cleared, token.end)
        if piece.is_last:
            self._cleared = piece.end
        return None

    def _without_tokens(self, piece: Piece, error: ModerationError) -> Ruling:
        if not self.fell_back:
            self.fell_back = True
            log_event(_log, logging.WARNING, "stream_fell_back_to_pieces", error=error.type)
        if self._pieces.moderator.engine is self._engine and not isinstance(error, EngineError):
            raise error
        return self._by_pieces(piece)

    def _by_pieces(self, piece: Piece) -> Ruling:
        ruling = self._pieces(piece)
        self._cleared = max(self._cleared, ruling.cleared)
        verdict = None if ruling.decision is None else ruling.decision.verdict
        if verdict is not None:
            self.found = self.found.worse(verdict.severity, verdict.categories, piece.start)
        return ruling

    def _within(self, piece: Piece) -> int:
        return min(max(self._cleared, piece.start), piece.end)

    @property
    def _origin(self) -> tuple[str, str]:
        return self._engine.name, self._engine.model

    def _verdict(self, found: Finding) -> Verdict:
        return Verdict(Target.RESPONSE, found.severity, found.categories, None, None, *self._origin)

    def _decide(self, piece: Piece, verdict: Verdict, started: float) -> Decision:
        """The decision to show and to record."""
        judge = self._pieces
        check = Check(judge.question.answered(piece.text), judge.policy, judge.detail, judge.languages, judge.metadata)
        try:
            return judge.moderator.decide_found(check, verdict, latency_ms=(perf_counter() - started) * 1000.0)
        except AuditUnavailable as error:
            self._unrecorded = error
            raise


class TokenJudges:
    """Judges pieces of the answers to one question, as `AnswerJudge.of` does: each answer by a judge of its own."""

    def __init__(self, pieces: AnswerJudge, engine: StreamEngine, *, deadline_s: float) -> None:
        self._pieces = pieces
        self._engine = engine
        self._deadline_s = deadline_s
        self._judges: dict[int, TokenJudge] = {}

    def of(self, pieces: Sequence[Piece]) -> list[Ruling | ModerationError]:
        """The ruling on each piece, in order."""
        return [self._ruling(piece) for piece in pieces]

    def _ruling(self, piece: Piece) -> Ruling | ModerationError:
        if piece.tool is not None:
            # Its rules are not the answer's, which a judge of tokens acts by.
            return self._pieces.of([piece])[0]
        judge = self._judges.get(piece.answer)
        if judge is None:
            # Only what continues the caller's beginning has text before its own first character.
            begun = self._pieces.question.begun if piece.before else ""
            judge = TokenJudge(self._pieces, self._engine, deadline_s=self._deadline_s, begun=begun)
            self._judges[piece.answer] = judge
        try:
            return judge(piece)
        except ModerationError as error:
            return error
