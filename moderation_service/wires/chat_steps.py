"""What a chat completion says, in the steps that other contracts are made of. No I/O.

For clients of other contracts in front of a server that only knows chat completions. Only what is read here is told;
fields that are not are left out, so that nothing passes by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ..errors import ChatModelError

__all__ = ["Kind", "Said", "Step", "read_chunk"]

_NONE = "The chat model answered something that is no completion."
_THOUGHTS = ("reasoning_content", "reasoning")


class Kind(Enum):
    """Of what an answer consists."""

    THOUGHT = "thought"
    TEXT = "text"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Step:
    """Some more of an answer. Of a call `text` are its arguments; `number` tells calls apart."""

    kind: Kind
    text: str
    number: int = 0
    name: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What a chunk, or a whole completion, says: its steps, how it ended if it did, and its usage if told."""

    steps: Sequence[Step]
    finish: str | None = None
    usage: Mapping[str, object] | None = None


def read_chunk(chunk: Mapping[str, object]) -> Said:
    """Read a chunk of a stream, or a completion with one choice. Raises ChatModelError for what is none."""
    choices, usage = chunk.get("choices"), chunk.get("usage")
    if choices is None:
        return Said(())
    if not isinstance(choices, list) or len(choices) > 1:
        raise ChatModelError(_NONE)
    told = usage if isinstance(usage, dict) else None
    if not choices:
        return Said((), usage=told)
    choice = choices[0]
    message = (choice.get("delta") or choice.get("message") or {}) if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise ChatModelError(_NONE)
    finish = choice.get("finish_reason")
    return Said([*_steps(message)], finish if isinstance(finish, str) and finish else None, told)


def _steps(message: Mapping[str, object]) -> Iterator[Step]:
    thought = next((message[key] for key in _THOUGHTS if message.get(key)), None)
    for kind, text in (
        (Kind.THOUGHT, thought),
        (Kind.TEXT, message.get("content")),
        (Kind.TEXT, message.get("refusal")),
    ):
        if text is not None and not isinstance(text, str):
            raise ChatModelError(_NONE)
        if text:
            yield Step(kind, text)
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise ChatModelError(_NONE)
    for position, call in enumerate(calls or ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise ChatModelError(_NONE)
        index, arguments = call.get("index", position), function.get("arguments") or ""
        name, call_id = function.get("name") or "", call.get("id") or ""
        if not isinstance(index, int) or not all(isinstance(one, str) for one in (arguments, name, call_id)):
            raise ChatModelError(_NONE)
        yield Step(Kind.CALL, arguments, index, name, call_id)
