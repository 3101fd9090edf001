"""Earlier turns of a chat: read from whatever a builder binds to `history`, and written for the next time."""

import json
import re
from collections.abc import Iterator
from typing import Any

from guard_errors import GuardError, Problem
from guard_lists import is_nothing, read_json

MAX_MESSAGES = 20
MAX_KEPT_CHARS = 60_000  # a conversation variable may have 200 kB; of Chinese text this is 180

Message = dict[str, str]

_ROLES = {
    "user": "user", "human": "user", "用户": "user",
    "assistant": "assistant", "ai": "assistant", "bot": "assistant", "model": "assistant", "助手": "assistant",
    "system": "", "developer": "", "tool": "", "function": "",
}  # fmt: skip
"""What is not said by the user or the model is no context; the service would leave it out too."""
_SPEAKER = re.compile(r"^[ \t]*(human|user|用户|assistant|ai|助手)[ \t]*[:：][ \t]*", re.IGNORECASE | re.MULTILINE)


def history_messages(history: Any) -> list[Message]:
    """The newest messages of a history. Raises GuardError for one that can't be read: unread, it would be left out.

    A list of `{"role", "content"}` or of `{"query", "answer"}`, as it is, as JSON or as Python prints it; or prose in
    which each turn begins with `Human:` or `Assistant:`. Nothing, `null` and an empty list are no history.
    """
    if is_nothing(history):
        return []
    turns = read_json(history) if isinstance(history, str) else history
    if is_nothing(turns) and turns is not None:
        return []
    if isinstance(turns, list) and all(isinstance(turn, str) for turn in turns):
        turns, history = None, "\n".join(turns)
    if isinstance(turns, list):
        found = [message for turn in turns for message in _messages(turn)]
    else:
        found = _from_prose(history) if isinstance(history, str) and turns is None else _unread()
    return [message for message in found if message["content"].strip()][-MAX_MESSAGES:]


def _unread() -> list[Message]:
    raise GuardError(
        'history must be a list like [{"role": "user", "content": "..."}, ...], or lines that begin with Human: and '
        "Assistant:",
        Problem.SETUP,
    )


def _messages(turn: Any) -> Iterator[Message]:
    if not isinstance(turn, dict):
        _unread()
    elif "role" in turn:
        role = _ROLES.get(str(turn["role"]).lower())
        if role is None or not ("content" in turn or "text" in turn):
            _unread()
        elif role:
            yield {"role": role, "content": _text(turn.get("content", turn.get("text")))}
    elif isinstance(turn.get("query"), str):
        yield {"role": "user", "content": turn["query"]}
        yield {"role": "assistant", "content": _text(turn.get("answer"))}
    else:
        _unread()


def _text(content: Any) -> str:
    """A message's text. One that only calls tools has none; of a list the text parts count."""
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [part.get("text") or "" if isinstance(part, dict) else part for part in content]
        content = "\n".join(parts) if all(isinstance(part, str) for part in parts) else None
    if not isinstance(content, str):
        _unread()
    return str(content)


def _from_prose(prose: str) -> list[Message]:
    starts = list(_SPEAKER.finditer(prose))
    if not starts or prose[: starts[0].start()].strip():
        return _unread()
    ends = [start.start() for start in starts[1:]] + [len(prose)]
    return [
        {"role": _ROLES[start[1].lower()], "content": prose[start.end() : end].strip()}
        for start, end in zip(starts, ends, strict=True)
    ]


def history_with(earlier: list[Message], query: str, answer: str) -> str:
    """The history after this question and its answer, as JSON for a conversation variable; the oldest go first."""
    messages = [*earlier, {"role": "user", "content": query}, {"role": "assistant", "content": answer}]
    messages = [message for message in messages if message["content"].strip()][-MAX_MESSAGES:]
    while messages and sum(len(message["content"]) for message in messages) > MAX_KEPT_CHARS:
        del messages[0]
    return json.dumps(messages, ensure_ascii=False) if messages else ""
