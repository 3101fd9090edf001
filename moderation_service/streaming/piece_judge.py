"""The moderator as the judge of a growing answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.conversation import says_nothing
from ..core.moderator import Check, Moderator
from ..core.policy import Policy
from ..core.question import Question
from ..core.verdict import Detail
from ..errors import ModerationError
from .growing_answer import Piece, Ruling

__all__ = ["AnswerJudge"]


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
            rulings.append(outcome if isinstance(outcome, ModerationError) else Ruling.of(piece, outcome))
        return rulings

    def check(self, piece: Piece) -> Check:
        """The check of a piece; what a tool is told has the rules of that tool."""
        conversation = self.question.answered(piece.text)
        if piece.tool is not None:
            conversation = replace(conversation, tool=piece.tool)
        return Check(conversation, self.policy, self.detail, self.languages, self.metadata)
