"""A chat as the guard sees it: what of it is judged as the question, and an answer together with its question. No I/O.

Whoever stands between an application and its model sees the whole history with every call, and two things in it that
`Conversation` alone would not judge. Several user messages in a row are one question: judged is all of them, or the
first could hide behind the second. And a call can end with something else than the user's words, such as the result
of a tool, which has no question of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .conversation import Conversation, Message, Role, says_nothing

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
        turns: list[Message] = []
        for message in messages:
            # A turn that shows nothing, such as one that only calls a tool, does not part what stands around it.
            if message.role is Role.ASSISTANT and says_nothing(message.content):
                continue
            if turns and turns[-1].role is message.role:
                message = Message(message.role, f"{turns.pop().content}\n{message.content}")
            turns.append(message)
        begun = turns.pop().content if turns and turns[-1].role is Role.ASSISTANT else ""
        if not turns or turns[0].role is Role.ASSISTANT:
            turns.insert(0, Message(Role.USER, ""))
        return cls(tuple(turns), begun)

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
