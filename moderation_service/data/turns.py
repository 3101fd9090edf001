"""What was said in a row, by whom, in every shape that data sets have; and which turn of it is judged. Pure.

Data sets keep more in a message than an API takes (weights, ids, sources, and in typed files every field any message
has, as null). Such fields say nothing and are left out. What could be text is read as the service reads it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..core.conversation import (
    THOUGHTS,
    Conversation,
    Limits,
    Message,
    Role,
    is_blank,
    joined,
    parse_messages,
    read_text,
)
from ..errors import InvalidRequest

__all__ = ["Judge", "Said", "alpaca_said", "answer_said", "conversations", "list_said", "text_said"]


class Judge(enum.Enum):
    """Which turn of a conversation is judged; the turns before it are its context."""

    LAST = "last"
    PROMPT = "prompt"
    RESPONSE = "response"
    EVERY_TURN = "every-turn"


class Said(NamedTuple):
    """A turn, and the place in the row where it stands, for errors."""

    message: Message
    param: str


_LIMITS = Limits(messages=100_000)
_KEPT = ("role", "content", "tool_calls", "function_call", "audio", "refusal", *THOUGHTS)
# Who speaks, in the words of data sets; in their `from` and in their `role` alike.
_SPEAKERS = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "bing", "bard"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(
        ("tool", "function", "function_call", "function_response", "observation", "ipython", "environment"), "tool"
    ),
}


def list_said(messages: object, *, param: str) -> list[Said]:
    """A list of {role, content} or {from, value}. Raises InvalidRequest that names the place."""
    if isinstance(messages, list):
        messages = [_cleaned(one, param=f"{param}[{index}]") for index, one in enumerate(messages)]
    parsed = parse_messages(messages, limits=_LIMITS, param=param)
    return [Said(message, f"{param}[{index}].content") for index, message in parsed]


def text_said(value: object, *, param: str, as_response: bool = False) -> Said:
    """A text that is a turn of its own. Raises InvalidRequest."""
    return Said(Message(Role.ASSISTANT if as_response else Role.USER, read_text(value, param=param)), param)


def answer_said(row: Mapping[str, object], *, prompt: str | None, answer: str | None) -> list[Said]:
    """A prompt and its answer, from these columns; either may be a text or a list of messages.

    A list of messages that has the user's turns in it is whole: some data sets keep the prompt a second time.
    """
    answered = None if answer is None else row.get(answer)
    said: list[Said] = []
    if answered is not None and answer is not None:
        is_text = isinstance(answered, str)
        said = [text_said(answered, param=answer, as_response=True)] if is_text else list_said(answered, param=answer)
    if prompt is None or any(one.message.role is Role.USER for one in said):
        return said
    asked = row.get(prompt)
    before = list_said(asked, param=prompt) if isinstance(asked, list) else [text_said(asked, param=prompt)]
    return [*before, *said]


def alpaca_said(row: Mapping[str, object], at: Mapping[str, str]) -> list[Said]:
    """An instruction, what it is about behind a blank line, and the output; earlier exchanges before them."""
    said = []
    history = row.get(at["history"]) if "history" in at else None
    for index, exchange in enumerate(history if isinstance(history, (list, tuple)) else ()):
        param = f"{at['history']}[{index}]"
        if not isinstance(exchange, (list, tuple)) or len(exchange) != 2:
            raise InvalidRequest(f"`{param}` must be a question and its answer.", param=param)
        said += [text_said(exchange[0], param=param), text_said(exchange[1], param=param, as_response=True)]
    asked = read_text(row.get(at["instruction"]), param=at["instruction"])
    about = row.get(at["input"]) if "input" in at else None
    if about is not None and not is_blank(about := read_text(about, param=at["input"])):
        asked = f"{asked}\n\n{about}"
    said.append(Said(Message(Role.USER, asked), at["instruction"]))
    return [*said, text_said(row.get(at["output"]), param=at["output"], as_response=True)]


def conversations(said: Sequence[Said], judge: Judge) -> list[tuple[str, int, Conversation]]:
    """What is to be judged: role and number of the turn, and the conversation that ends with it.

    Raises InvalidRequest where the wanted turn is not there or shows nothing.
    """
    if judge is Judge.EVERY_TURN:
        turns = joined(one.message for one in said)
        found = [
            (turn.role.value, number, Conversation(tuple(turns[: number + 1])))
            for number, turn in enumerate(turns)
            if not is_blank(turn.content)
        ]
        if not found:
            raise InvalidRequest("There is no user or assistant turn that says something.")
        return found
    end = _end(said, judge)
    turns = joined(one.message for one in said[:end])
    last = said[end - 1]
    # An answer that shows nothing was to be judged, but can't be: the question before it is not what was asked for.
    if not turns or turns[-1].role is not last.message.role or is_blank(turns[-1].content):
        raise InvalidRequest(f"`{last.param}` is empty or blank.", param=last.param)
    return [(turns[-1].role.value, len(turns) - 1, Conversation(tuple(turns)))]


def _end(said: Sequence[Said], judge: Judge) -> int:
    """Behind the turn that is judged."""
    role = {Judge.PROMPT: Role.USER, Judge.RESPONSE: Role.ASSISTANT}.get(judge)
    for place in range(len(said), 0, -1):
        if role is None or said[place - 1].message.role is role:
            return place
    wanted = "a user's or an assistant's turn" if role is None else f"a turn of the {role.value}"
    raise InvalidRequest(f"There is no {wanted.removeprefix('a ')} in it.")


def _cleaned(raw: object, *, param: str) -> object:
    """A message with nothing but what `parse_messages` reads; one that is not judged without its content."""
    if not isinstance(raw, Mapping):
        return raw
    speaker = raw.get("role", raw.get("from"))
    role = _SPEAKERS.get(speaker.strip().lower()) if isinstance(speaker, str) else None
    if role is None:
        field = "role" if "role" in raw or "from" not in raw else "from"
        raise InvalidRequest(
            f"`{param}.{field}` must say who speaks, such as user or assistant.", param=f"{param}.{field}"
        )
    if role in ("system", "tool"):
        return {"role": role, "content": ""}
    kept = {key: raw[key] for key in _KEPT if raw.get(key) is not None}
    kept["role"] = role
    if "content" not in kept and raw.get("value") is not None:
        kept["content"] = raw["value"]
    content = kept.get("content")
    if isinstance(content, list):
        kept["content"] = [_part(one) for one in content]
    return kept


def _part(raw: object) -> object:
    """A part of a message's content, without the fields that only others have."""
    if not isinstance(raw, Mapping):
        return raw
    text = {key: raw[key] for key in ("text", "refusal") if raw.get(key) is not None}
    kind = raw.get("type")
    if kind == "refusal":
        text.pop("text", None)
    elif kind in ("text", "input_text", "output_text"):
        text.pop("refusal", None)
    return {"type": kind, **text}
