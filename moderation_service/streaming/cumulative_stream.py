"""Answers that a gateway sends again and again, each time from their beginning, while they grow.

Such a gateway shows what it has sent once that was judged, and never says which call is the last one. So every call
judges all that is new, in one piece per answer, whatever its size. What stands behind the last end of a sentence counts
as open all the same: the gateway is asked to keep it back if it can, and the next call judges it again together with
what follows. That costs no more than the text that goes along with a piece anyway (`growing.Pacing`), so a whole answer
costs a multiple of its length, not of its square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core.moderator import Outcome
from ..errors import ModerationError
from .growing_answer import GrowingAnswer, Pacing, Piece, Progress, Ruling
from .piece_judge import AnswerJudge

__all__ = ["PACING", "ResentAnswer", "judge_resent"]

PACING = Pacing(first_bytes=1, piece_bytes=1, largest_bytes=2**40)
"""Released at every end of a sentence, since every call is a check in any case, and never judged in several pieces."""


@dataclass(frozen=True, slots=True)
class ResentAnswer:
    """One answer after a call.

    `sent` and `cleared` count its characters that could be shown before this call, and after it. `progress` is what to
    remember of it; `outcome` what the call decided, None where there was nothing new to judge.
    """

    text: str
    sent: int
    cleared: int
    is_blocked: bool
    progress: Progress
    outcome: Outcome | None


def judge_resent(
    texts: Sequence[str], remembered: Sequence[Progress], judge: AnswerJudge, *, key: bytes
) -> list[ResentAnswer]:
    """Judge what is new in these answers, all in one call.

    `remembered` are the answers of the call before, in any order: gateways leave out those that have not begun.
    """
    rounds = [_Round(text, remembered, key=key, before=judge.question.begun) for text in texts]
    open_rounds = [(one, one.piece) for one in rounds if one.piece is not None]
    rulings = judge.of([piece for _, piece in open_rounds])
    for (one, piece), ruling in zip(open_rounds, rulings, strict=True):
        one.settle(piece, ruling, open_from=judge.open_from(piece))
    return [one.result() for one in rounds]


class _Round:
    """One answer in one call."""

    def __init__(self, text: str, remembered: Sequence[Progress], *, key: bytes, before: str) -> None:
        self._text = text
        self._key = key
        self._before = before
        # The longest match: an answer of which nothing was shown yet is the beginning of every other.
        self._known = sorted(remembered, key=lambda progress: progress.cleared, reverse=True)
        self._answer = self._begin()
        self._sent = self._answer.cleared
        self._progress = self._answer.progress(text, key=key)
        self._outcome: Outcome | None = None
        self._answer.flush()
        self.piece: Piece | None = self._answer.next_piece()

    def settle(self, piece: Piece, ruling: Ruling | ModerationError, *, open_from: int) -> None:
        if isinstance(ruling, ModerationError):
            self._outcome = ruling
            return
        self._outcome = ruling.decision
        if not ruling.is_blocked:
            ruling = replace(ruling, cleared=max(piece.start, min(open_from, self._complete())))
        self._answer.settle(piece, ruling)
        self._progress = self._answer.progress(self._text, key=self._key)

    def result(self) -> ResentAnswer:
        cleared, is_blocked = self._progress.cleared, self._progress.is_blocked
        return ResentAnswer(self._text, self._sent, cleared, is_blocked, self._progress, self._outcome)

    def _begin(self) -> GrowingAnswer:
        for progress in self._known:
            answer = GrowingAnswer.resumed(progress, self._text, key=self._key, pacing=PACING, before=self._before)
            if answer is not None:
                return answer
        answer = GrowingAnswer(PACING, before=self._before)
        answer.add(self._text)
        return answer

    def _complete(self) -> int:
        """The offset behind the last sentence that is complete: where an answer would be cut that is held back."""
        answer = self._begin()
        while (piece := answer.next_piece()) is not None:
            answer.settle(piece, Ruling(piece.end))
        return answer.cleared
