"""Chats as gateways pass them on: whatever their clients sent, of which what was said is judged. No I/O.

A gateway stands between any client and any model. So what is no text (pictures, sound, calls of tools; of files all but
their text) is left out here instead of refused, and so are system, developer and tool messages. Text of a role that
nobody here knows is the user's: to some model it may be. Who calls the gateway writes the roles; `question.Question`
has what follows from that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.conversation import THOUGHTS, Limits, Message, Role, check_text, is_blank
from ..core.question import Question
from ..errors import InvalidRequest, TooLarge
from .guarded_fields import MEDIA
from .media_parts import media_texts

__all__ = ["content_text", "question_of", "read_turns", "texts_of_part"]

_NOT_JUDGED = frozenset({"system", "developer", "tool", "function"})
_TEXT_FIELDS = ("text", "refusal", "thinking")
_FILES = MEDIA | {"input_file", "document"}


def read_turns(messages: object, *, limits: Limits, param: str) -> list[Message]:
    """The user's and the assistant's turns that have text. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(messages, list):
        raise InvalidRequest(f"`{param}` must be a list of messages.", param=param)
    if len(messages) > limits.messages:
        raise TooLarge(f"`{param}` has {len(messages)} messages; the limit is {limits.messages}.", param=param)
    turns = []
    for index, message in enumerate(messages):
        at = f"{param}[{index}]"
        if not isinstance(message, Mapping):
            raise InvalidRequest(f"`{at}` must be an object.", param=at)
        name = message.get("role")
        if isinstance(name, str) and name in _NOT_JUDGED:
            continue
        role = Role.ASSISTANT if name == Role.ASSISTANT.value else Role.USER
        text = content_text(message.get("content"), param=f"{at}.content")
        if role is Role.ASSISTANT and index == len(messages) - 1:
            # Thoughts that a client has begun for the model, or those of an answer.
            thoughts = [message.get(field) for field in THOUGHTS]
            text = "\n".join([*(one for one in thoughts if isinstance(one, str) and one), text])
        if text.strip():
            # Of invisible characters alone it is no text to judge, but it still parts the turns around it.
            turns.append(Message(role, text if is_blank(text) else check_text(text, param=f"{at}.content")))
    return turns


def question_of(turns: Sequence[Message], *, param: str) -> Question:
    """The question that these turns ask. Raises InvalidRequest when its last words show nothing.

    Characters that show nothing can still be read by a model; what can't be judged is not let through.
    """
    question = Question.of(turns)
    asked = question.turns[-1].content
    if asked or not question.begun:
        check_text(asked, param=param)
    return question


def texts_of_part(part: object) -> list[str]:
    """The texts of one part of a message's content. Which of several a model's server reads, nobody here knows."""
    if isinstance(part, str):
        return [part]
    if not isinstance(part, Mapping):
        return []
    found = [text for field in _TEXT_FIELDS if isinstance(text := part.get(field), str)]
    kind = part.get("type")
    if isinstance(kind, str) and kind in _FILES:
        found += [text for text in media_texts(part) if text not in found]
    return found


def content_text(content: object, *, param: str) -> str:
    """The text of a message: all of its parts that have one."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise InvalidRequest(f"`{param}` must be a string or a list of parts.", param=param)
    return "\n".join(text for part in content for text in texts_of_part(part) if text)
