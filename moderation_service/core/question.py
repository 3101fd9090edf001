"""A chat as the guard sees it: what of it is judged as the question, and an answer together with its question. No I/O.

Whoever stands between an application and its model sees the whole history with every call. Judged are the user's words
since the last answer, and an answer that stands behind them too: the client has begun it for the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .conversation import Conversation, Message, Role, joined, says_nothing

__all__ = ["Question"]

_LONGEST = 2048
_GAP = "\n...\n"


@dataclass(frozen=True, slots=True)
class Question:
    """The turns of a chat up to and with the user's last words.

    `begun` is the beginning of an answer, if the caller has put one into the model's mouth.
    """

    turns: tuple[Message, ...]
    begun: str = ""

    @classmethod
    def of(cls, messages: Iterable[Message]) -> Question:
        """The question that these user and assistant messages ask."""
        turns = joined(messages)
        begun = turns.pop().content if turns and turns[-1].role is Role.ASSISTANT else ""
        return cls(tuple(turns) or (Message(Role.USER, ""),), begun)

    def to_judge(self) -> Sequence[Conversation]:
        """What is judged before an answer: the user's words, and a beginning of the answer; nothing that is blank."""
        asked = () if says_nothing(self.turns[-1].content) else (Conversation(self.turns),)
        if says_nothing(self.begun):
            return asked
        return (*asked, Conversation((*self.turns, Message(Role.ASSISTANT, self.begun))))

    def answered(self, answer: str) -> Conversation:
        """The answer with its question.

        Every piece of a growing answer is judged with its question, so of a long one only some 2000 characters go
        along: of the earlier turns as many as fit, of the question itself its beginning and its end.
        """
        *earlier, last = self.turns
        kept = [Message(Role.USER, _shortened(last.content))]
        room = _LONGEST - len(kept[0].content)
        for turn in reversed(earlier):
            room -= len(turn.content)
            if room < 0:
                break
            kept.insert(0, turn)
        if kept[0].role is Role.ASSISTANT:
            kept.insert(0, Message(Role.USER, ""))
        return Conversation((*kept, Message(Role.ASSISTANT, answer)))


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    half = (_LONGEST - len(_GAP)) // 2
    return text[:half] + _GAP + text[-half:]
