"""The text in a choice of a chat completion, whole or streamed: everything that a person or a tool would read. No I/O.

Servers put text not only into `content`: there are `reasoning_content`, `refusal`, `audio.transcript`, lists of parts,
and fields that did not exist when this was written. So every string of a message counts as text, unless its field is
known to hold none. Each field is a text of its own (a *channel*), because they are read apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["CONTENT", "Part", "parts_of", "tool_text"]

CONTENT = "content"
_MESSAGES = ("delta", "message")
_TOOLS, _OLD_TOOL = "tool_calls", "function_call"
# Ids, kinds and the like. What holds no words in one place may do so in another: `data` is sound only in `audio`.
_NO_TEXT = frozenset({"role", "id", "index", "type", "object", "format", "status", "tool_call_id"})
_OPAQUE = {"audio": frozenset({"data", "expires_at"}), "reasoning_details": frozenset({"data", "signature"})}
_TWINS = ("reasoning_content", "reasoning")
# Beside the message: what the server says of it. Its strings are words of the server's, or the caller's stop string.
_ABOUT = frozenset({"finish_reason", "native_finish_reason", "stop_reason", "matched_stop", "content_filter_results"})
_LOGPROBS = "logprobs"
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class Part:
    """Some text of one channel; a tool's is JSON that may be incomplete."""

    channel: str
    text: str
    is_tool: bool = False


def parts_of(choice: Mapping[str, object], *, tools: frozenset[str] = frozenset()) -> Iterator[Part]:
    """The text of a choice. `tools` are the names that the caller has given to its tools: they say nothing new."""
    if isinstance(text := choice.get("text"), str):
        yield Part("text", text)
    has_text = bool(text)
    for message in (choice.get(key) for key in _MESSAGES):
        if isinstance(message, Mapping):
            for part in _message(message, tools):
                has_text = has_text or bool(part.text)
                yield part
        else:
            yield from (Part(CONTENT, text) for text in _strings(message))
    if not has_text:
        yield from _tokens(choice.get(_LOGPROBS))
    for key, value in choice.items():
        if key not in (*_MESSAGES, "text", _LOGPROBS) and key not in _ABOUT and key not in _NO_TEXT:
            yield from (Part(key, text) for text in _strings(value))


def _tokens(logprobs: object) -> Iterator[Part]:
    """Tokens that come before their text, as where a server waits for the rest of a character or of a stop string."""
    for entries in logprobs.values() if isinstance(logprobs, Mapping) else ():
        for entry in entries if isinstance(entries, list) else ():
            token = entry.get("token") if isinstance(entry, Mapping) else entry
            if isinstance(token, str):
                yield Part(_LOGPROBS, token)


def _message(message: Mapping[str, object], tools: frozenset[str]) -> Iterator[Part]:
    for key, value in message.items():
        if key == _TWINS[1] and value == message.get(_TWINS[0]):
            continue  # some servers send the same under both names
        if key == _TOOLS and isinstance(value, list):
            for position, call in enumerate(value):
                yield from _tool(call, position, tools)
        elif key == _OLD_TOOL and isinstance(value, Mapping):
            yield from _function(f"{_TOOLS} {_OLD_TOOL}", value, tools)
        elif key not in _NO_TEXT:
            for text in _strings(value, _OPAQUE.get(key, frozenset())):
                yield Part(key, text)


def _tool(call: object, position: int, tools: frozenset[str]) -> Iterator[Part]:
    if not isinstance(call, Mapping):
        yield from (Part(_TOOLS, text) for text in _strings(call))
        return
    channel = f"{_TOOLS} {call.get('index', position)}"
    for key, value in call.items():
        if key in ("function", "custom") and isinstance(value, Mapping):
            yield from _function(channel, value, tools)
        elif key not in _NO_TEXT:
            yield from (Part(_TOOLS, text) for text in _strings(value))


def _function(channel: str, function: Mapping[str, object], tools: frozenset[str]) -> Iterator[Part]:
    for key, value in function.items():
        if key in ("arguments", "input") and isinstance(value, str):
            yield Part(channel, value, is_tool=True)
        elif not (key == "name" and value in tools):
            yield from (Part(_TOOLS, text) for text in _strings(value))


def _strings(value: object, opaque: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every string in a value, in the order in which it stands there."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, opaque)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _NO_TEXT and key not in opaque:
                yield from _strings(item, opaque)


def tool_text(arguments: str) -> str:
    """What a tool is told, as the tool will read it: in JSON a word can hide in escapes."""
    try:
        pairs = json.loads(arguments, object_pairs_hook=lambda pairs: [list(pair) for pair in pairs])
        return "\n".join(_strings(pairs))
    except (ValueError, RecursionError):
        # Broken off, or more than JSON: there are readers for that too.
        return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), arguments)
