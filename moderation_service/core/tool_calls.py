"""What a model tells tools, read out of an answer of whichever contract. Pure.

Known are chat completions (`tool_calls`, `function_call`; Ollama's and LiteLLM's too), Anthropic's Messages
(`tool_use`), Responses (items such as `function_call`), Bedrock's Converse (`toolUse`) and Gemini (`functionCall`).

Source: openai/openai-openapi, `ChatCompletionMessageToolCall` and `FunctionToolCall`; docs.claude.com, Messages;
boto/botocore `bedrock-runtime`, `ToolUseBlock`; ai.google.dev, `FunctionCall`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .normal_form import well_formed

__all__ = ["ToolCall", "calls_in", "texts_in", "tool_text"]

_CALL_FIELDS = ("function_call", "functionCall", "toolUse")
_INNER = ("function", "custom")
_TOLD = ("arguments", "input", "args", "parameters")
_IDS = ("call_id", "id", "toolUseId")
# Where a document of one of the contracts has its calls.
_PLACES = ("choices", "candidates", "output", "message", "content", "content_blocks", "parts")
_KINDS = ("_call", "tool_use", "mcp_approval_request")
# Identifiers, kinds and states, as long as they look like it.
_SILENT = frozenset({*_IDS, "type", "status", "index", "role", "server_label"})
_SILENT_WORD = re.compile(r"[A-Za-z0-9_.:@/+=|-]{0,128}")
_PICTURE = ("image_generation_call", "result")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call. `text` is what the tool is told, as it will read it; `id` is what its result refers to."""

    id: str
    name: str
    text: str


def calls_in(value: object) -> Iterator[ToolCall]:
    """The calls in a message, an item, or a whole answer."""
    if isinstance(value, list):
        for item in value:
            yield from calls_in(item)
    elif isinstance(value, Mapping):
        kind = value.get("type")
        if isinstance(kind, str) and kind.endswith(_KINDS):
            yield _read(value)
            return
        calls = value.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            yield _read(call)
        for key in _CALL_FIELDS:
            if isinstance(value.get(key), Mapping):
                yield _read(value[key])
        for key in _PLACES:
            if isinstance(value.get(key), (list, Mapping)):
                yield from calls_in(value[key])


def tool_text(arguments: str) -> str:
    """What a tool is told, as the tool will read it: in JSON a word can hide in escapes."""
    try:
        pairs = json.loads(arguments, object_pairs_hook=lambda pairs: [list(pair) for pair in pairs])
        return "\n".join(texts_in(pairs))
    except (ValueError, RecursionError):
        # Broken off, or more than JSON: there are readers for that too.
        return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), arguments)


def texts_in(value: object) -> Iterator[str]:
    """Every string in a value, and the names of its fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from texts_in(item)


def _read(call: object) -> ToolCall:
    if not isinstance(call, Mapping):
        return ToolCall("", "", well_formed("\n".join(texts_in(call))))
    name, told = "", []
    for key, value in _fields(call):
        if key == "name" and isinstance(value, str):
            name = value
        if key in _TOLD and isinstance(value, str):
            told.append(tool_text(value))
        elif not _says_nothing(key, value) and (call.get("type"), key) != _PICTURE:
            told += texts_in(value)
    given = next((call[key] for key in _IDS if isinstance(call.get(key), str)), "")
    return ToolCall(given, name, well_formed("\n".join(text for text in told if text)))


def _fields(call: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The fields of a call; those of a function within it stand beside them."""
    for key, value in call.items():
        if key in _INNER and isinstance(value, Mapping):
            yield from value.items()
        else:
            yield key, value


def _says_nothing(key: str, value: object) -> bool:
    if key != "name" and key not in _SILENT:
        return False
    return isinstance(value, str) and _SILENT_WORD.fullmatch(value) is not None
