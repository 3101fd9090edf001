"""Chats as gateways pass them on: whatever their clients sent, of which what was said is judged. No I/O.

A gateway stands between any client and any model. So what is no text (pictures, sound, files, calls of tools) is left
out here instead of refused, and so are system, developer and tool messages. Who calls the gateway writes the roles;
`question.Question` has what follows from that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..conversation import Limits, Message, Role, check_text, is_blank
from ..errors import InvalidRequest, TooLarge
from ..question import Question

__all__ = ["question_of", "read_turns"]

_ROLES = {Role.USER.value: Role.USER, Role.ASSISTANT.value: Role.ASSISTANT}


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
        role, text = message.get("role"), _content(message.get("content"))
        if isinstance(role, str) and role in _ROLES and text.strip():
            # Of invisible characters alone it is no text to judge, but it still parts the turns around it.
            turns.append(Message(_ROLES[role], text if is_blank(text) else check_text(text, param=f"{at}.content")))
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


def _content(content: object) -> str:
    """The text of a message: all of its parts that have one."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") or part.get("refusal") for part in content if isinstance(part, Mapping)]
    return "\n".join(part for part in parts if isinstance(part, str))
