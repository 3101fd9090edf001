"""The text in a choice of a chat completion, whole or streamed: everything that a person or a program reads. No I/O.

Servers put text not only into `content`: there are `reasoning_content`, `refusal`, `audio.transcript`, lists of parts,
and fields that did not exist when this was written. So every string counts as text, and so does the name of a field,
unless it is known to hold none (`openai_shapes`). Each field is a text of its own (a *channel*), because they are read
apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .openai_shapes import CALL, CHOICE, MESSAGE, NAMES, encodes, passes, strings

__all__ = ["CONTENT", "FIELDS", "LOGPROBS", "Part", "Tokens", "only_content", "parts_of", "tokens_of"]

CONTENT = "content"
LOGPROBS, TOKENS = "logprobs", "token_ids"
_TEXT = "text"
_MESSAGES = ("delta", "message")
_TOOLS, _OLD_TOOL = "tool_calls", "function_call"
FIELDS = "names of fields"
_OPAQUE = {"audio": frozenset({"data", "expires_at"}), "reasoning_details": frozenset({"data", "signature"})}
_SEALED = frozenset({"signature"})
_TWINS = ("reasoning_content", "reasoning")
_STOPS = ("stop_reason", "matched_stop")
_APART = frozenset({*_MESSAGES, _TEXT, LOGPROBS, TOKENS})
_TOKEN_ID = re.compile(r"token_id:[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Part:
    """Some text of one channel.

    `is_tool`: it is JSON that may be incomplete. `is_numbers`: no text, but numbers that could spell one. `closes`: no
    more of this channel will come. `waits`: nobody can read it; it goes on once the whole reply was judged. `tool`: the
    name of the tool, or a piece of it, that what is on this channel is told to.
    """

    channel: str
    text: str = ""
    is_tool: bool = False
    is_numbers: bool = False
    closes: bool = False
    waits: bool = False
    tool: str = ""


@dataclass(slots=True)
class Tokens:
    """The tokens that a choice tells of: `spelled`, the bytes of those that were chosen, one after the other.

    `beside` is text in other places there, such as the alternatives of a token; `ids` counts tokens that are told as
    numbers only.
    """

    spelled: bytearray = field(default_factory=bytearray)
    beside: list[str] = field(default_factory=list)
    ids: int = 0
    is_numbers: bool = False


def only_content(choice: Mapping[str, object]) -> str | None:
    """The text of a choice of a stream that has no part but some content, as most of them; None for any other."""
    delta = choice.get("delta")
    if not isinstance(delta, dict) or len(delta) != 1 or not isinstance(text := delta.get(CONTENT), str):
        return None
    for key, value in choice.items():
        if key not in ("delta", "index", LOGPROBS) and (value is not None or key not in CHOICE):
            return None
    return text


def parts_of(
    choice: Mapping[str, object], *, tools: frozenset[str] = frozenset(), stops: frozenset[str] = frozenset()
) -> Iterator[Part]:
    """The text of a choice, but for its tokens.

    `tools` are the names that the caller has given to its tools, `stops` its stop strings: they say nothing new.
    """
    if isinstance(text := choice.get(_TEXT), str):
        yield Part(_TEXT, text)
    for name in _MESSAGES:
        message = choice.get(name)
        if isinstance(message, Mapping):
            yield from _message(message, tools)
        elif message is not None:
            yield from _parts(CONTENT, message)
    for key, value in choice.items():
        is_stop = key in _STOPS and (isinstance(value, int) or (isinstance(value, str) and value in stops))
        if not is_stop and key not in _APART and not passes(CHOICE, key, value):
            yield from _field(key, value)
    if not isinstance(text, str) and text is not None:
        yield from _field(_TEXT, text)


def tokens_of(choice: Mapping[str, object]) -> Tokens | None:
    """The tokens that a choice tells of, as logprobs or as ids; None where it tells of none."""
    logprobs, ids = choice.get(LOGPROBS), choice.get(TOKENS)
    if not logprobs and not ids:
        return None
    found = Tokens()
    if isinstance(ids, list) and all(isinstance(one, int) for one in ids):
        found.ids = len(ids)
    elif ids:
        _other_tokens(found, {TOKENS: ids})
    if not isinstance(logprobs, dict):
        _other_tokens(found, logprobs)
        return found
    for key, value in logprobs.items():
        if key == "tokens" and isinstance(value, list) and all(isinstance(one, str) for one in value):
            _add_chosen(found, value)
        elif key == "top_logprobs" and isinstance(value, list):
            for alternatives in value:
                _other_tokens(found, alternatives)
        elif key in ("text_offset", "token_logprobs") and isinstance(value, list):
            if not all(isinstance(one, (int, float, type(None))) for one in value):
                _other_tokens(found, value)
        elif key in (CONTENT, "refusal") and isinstance(value, list):
            for entry in value:
                _add_entry(found, entry)
        else:
            _other_tokens(found, {key: value})
    return found


def _add_entry(found: Tokens, entry: object) -> None:
    """A token as the chat contract tells of it."""
    if not isinstance(entry, dict) or not isinstance(token := entry.get("token"), str):
        _other_tokens(found, entry)
        return
    raw = _bytes(entry.get("bytes"))
    if raw is None and _TOKEN_ID.fullmatch(token):
        found.ids += 1
    elif raw is None:
        found.spelled += _utf8(token)
    else:
        found.spelled += raw
        # Half a character is told as U+FFFD there, and some servers tell the token's id.
        if raw != _utf8(token) and token.strip("\ufffd") and not _TOKEN_ID.fullmatch(token):
            found.beside.append(token)
    for key, value in entry.items():
        if key == "top_logprobs" and isinstance(value, list):
            for other in value:
                is_same = isinstance(other, Mapping) and other.get("token") == token
                _add_other(found, other, entry if is_same else None)
        elif key != "token" and not (key == "bytes" and raw is not None):
            _other_tokens(found, {key: value})


def _add_other(found: Tokens, other: object, chosen: Mapping[str, object] | None) -> None:
    """An alternative to a token; the first one mostly is the token itself."""
    if not isinstance(other, Mapping):
        _other_tokens(found, other)
        return
    for key, value in other.items():
        if chosen is not None and key in ("token", "bytes") and value == chosen.get(key):
            continue
        if key == "bytes" and (raw := _bytes(value)) is not None:
            if raw != _utf8(str(other.get("token"))):
                found.beside.append(raw.decode("utf-8", "replace"))
        elif key == "token" and isinstance(value, str) and _TOKEN_ID.fullmatch(value):
            found.is_numbers = True  # of a token that was not chosen, so no text will come for it
        else:
            _other_tokens(found, {key: value})


def _other_tokens(found: Tokens, value: object) -> None:
    found.beside += strings(value)
    found.is_numbers = found.is_numbers or encodes(value)


def _add_chosen(found: Tokens, tokens: Sequence[str]) -> None:
    for token in tokens:
        if _TOKEN_ID.fullmatch(token):
            found.ids += 1
        else:
            found.spelled += _utf8(token)


def _bytes(value: object) -> bytes | None:
    if not isinstance(value, list):
        return None
    try:
        return bytes(value)
    except (ValueError, TypeError):
        return None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _message(message: Mapping[str, object], tools: frozenset[str]) -> Iterator[Part]:
    for key, value in message.items():
        if value is None and key in NAMES:
            continue
        if key == _TWINS[1] and value == message.get(_TWINS[0]):
            continue  # some servers send the same under both names
        if key == _TOOLS and isinstance(value, list):
            for position, call in enumerate(value):
                yield from _tool(call, position, tools)
        elif key == _OLD_TOOL and isinstance(value, Mapping):
            yield from _function(f"{_TOOLS} {_OLD_TOOL}", value, tools)
        elif not passes(MESSAGE, key, value):
            yield from _field(key, value)


def _tool(call: object, position: int, tools: frozenset[str]) -> Iterator[Part]:
    if not isinstance(call, Mapping):
        yield from _parts(_TOOLS, call)
        return
    index = call.get("index")
    channel = f"{_TOOLS} {index if isinstance(index, int) else position}"
    for key, value in call.items():
        if key in ("function", "custom") and isinstance(value, Mapping):
            yield from _function(channel, value, tools)
        elif not passes(CALL, key, value):
            yield from _field(key, value, channel=_TOOLS)


def _function(channel: str, function: Mapping[str, object], tools: frozenset[str]) -> Iterator[Part]:
    for key, value in function.items():
        if key in ("arguments", "input") and isinstance(value, str):
            yield Part(channel, value, is_tool=True)
            continue
        if key == "name" and isinstance(value, str):
            yield Part(channel, tool=value)
        if not (key == "name" and isinstance(value, str) and value in tools):
            yield from _field(key, value, channel=_TOOLS)


def _field(key: str, value: object, *, channel: str | None = None) -> Iterator[Part]:
    """A field whose value counts as text, and so does its name if nobody here knows it."""
    if key not in NAMES:
        yield Part(FIELDS, f"{key}\n")
    yield from _parts(channel or key, value, _OPAQUE.get(key, _SEALED))


def _parts(channel: str, value: object, opaque: frozenset[str] = frozenset()) -> Iterator[Part]:
    for text in strings(value, opaque):
        yield Part(channel, text)
    if encodes(value):
        yield Part(channel, "", is_numbers=True)
