"""The moderator as the judge of a growing answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.conversation import says_nothing
from ..core.list_entry import MAX_TEXT_CHARS
from ..core.moderator import Check, Moderator
from ..core.normal_form import well_formed
from ..core.policy import Policy
from ..core.question import Question
from ..core.verdict import Decision, Detail
from ..errors import ModerationError
from .growing_answer import Piece, Ruling

__all__ = ["AnswerJudge"]

_MOST_HELD_CHARS = 2 * MAX_TEXT_CHARS
"""So much is held back for a list at most: blanks and invisible characters in a phrase may go on without end."""


@dataclass(frozen=True, slots=True)
class AnswerJudge:
    """Judges pieces of the answers to one question, each together with that question, by one policy.

    One of it is a `growing.Judge`. `languages` are the end user's, best first; `metadata` is for the audit record.
    """

    moderator: Moderator
    question: Question
    policy: Policy
    languages: Sequence[str] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    detail: Detail = Detail.FULL

    def __call__(self, piece: Piece) -> Ruling:
        """The ruling on a piece. Raises ModerationError when none can be had."""
        ruling = self.of([piece])[0]
        if isinstance(ruling, ModerationError):
            raise ruling
        return ruling

    def of(self, pieces: Sequence[Piece]) -> list[Ruling | ModerationError]:
        """The ruling on each piece, in order; all are judged in one call. The pieces may be of several answers."""
        visible = [piece for piece in pieces if not says_nothing(piece.text)]
        outcomes = iter(self.moderator.decide([self.check(piece) for piece in visible]) if visible else ())
        rulings: list[Ruling | ModerationError] = []
        for piece in pieces:
            if says_nothing(piece.text):
                # It shows nothing, and goes along as context with whatever follows.
                rulings.append(Ruling(piece.end))
                continue
            outcome = next(outcomes)
            if isinstance(outcome, ModerationError):
                rulings.append(outcome)
            else:
                ruling = Ruling.of(piece, outcome)
                rulings.append(replace(ruling, cleared=self.clearable(piece, ruling.cleared)))
        return rulings

    def allows(self, text: str) -> bool:
        """Whether a text that is no answer may be shown, such as a server's message; not if there is no verdict."""
        outcome = self.moderator.decide([Check(Question.of(()).answered(well_formed(text)), self.policy)])[0]
        return isinstance(outcome, Decision) and outcome.allowed

    def clearable(self, piece: Piece, end: int) -> int:
        """So much of a piece, up to offset `end`, as can't become a hit of a list with what follows."""
        return min(end, self.open_from(piece)) if self._is_open(piece) else end

    def open_from(self, piece: Piece) -> int:
        """The offset from which on a piece may become a hit of a list with what follows; its end if none of it."""
        held_from = self.moderator.held_from(self._check(piece, is_open=True)) - len(piece.before)
        begin = max(piece.start, piece.start + held_from)
        return begin if piece.end - begin <= _MOST_HELD_CHARS else piece.end

    def is_listed(self, piece: Piece) -> bool:
        """Whether a list blocks a piece, whatever an engine would say."""
        return self.moderator.is_listed(self.check(piece))

    def check(self, piece: Piece) -> Check:
        """The check of a piece; what a tool is told has the rules of that tool."""
        return self._check(piece, is_open=self._is_open(piece))

    def _is_open(self, piece: Piece) -> bool:
        """Whether what follows may change what lists say of a piece, and is waited for."""
        if piece.is_last or piece.is_flushed:
            return False
        return len(piece.new) <= _MOST_HELD_CHARS or self.open_from(piece) < piece.end

    def _check(self, piece: Piece, *, is_open: bool) -> Check:
        conversation = self.question.answered(piece.text)
        if piece.tool is not None:
            conversation = replace(conversation, tool=piece.tool)
        return Check(conversation, self.policy, self.detail, self.languages, self.metadata, is_open)
