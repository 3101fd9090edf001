r"""Undoes what Dify's "OpenAI Moderation" does to a text before it sends it to `/v1/moderations`.

Dify builds the text with `"\n".join(str(inputs.values()))`, which joins the *characters* of `dict_values(['...'])`, one
per line; its OpenAI plugin cuts the result every 2000 characters and sends at most 32 pieces per call. For the prompt
"hi" the wire has `{"input": ["d\ni\nc\nt\n_\nv\n..."]}`, and the 33rd piece of a long text begins a second call that
lacks the beginning. Source: langgenius/dify `api/core/moderation/openai_moderation/openai_moderation.py`, up to 1.16.1.

Only this exact shape is touched; the texts of ordinary OpenAI clients pass as they are. Nothing is evaluated: the
list of values is read by a grammar of Python's string literals, in time linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["unmangle"]

_HEAD = "\n".join("dict_values([")
_PIECE_CHARS = 2000
"""Characters per piece; even, so that every piece begins with a character and not with a newline."""

_WHOLE = re.compile(r"dict_values\(\[(.*)\]\)", re.DOTALL)
# A string literal as repr() writes it, or a number, True, False, None.
_VALUE = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([A-Za-z0-9_.+-]+)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)
_SHORT_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_LAST_CODE_POINT = 0x10FFFF
_REPLACEMENT = "�"


def unmangle(inputs: str | Sequence[str]) -> list[str] | None:
    """The original texts, or None when this is not Dify's shape.

    Values come back one by one: a prompt's variables in order, the query last; an output is the single value. When the
    list can't be read back (a variable holds a file or a list, or this is the second call of a long text), the result
    is one text, the characters as they were joined.
    """
    pieces = [inputs] if isinstance(inputs, str) else list(inputs)
    text = "".join(pieces)
    if set(text[1::2]) != {"\n"}:
        return None
    plain = text[::2]
    if not text.startswith(_HEAD):
        # The continuation of a long text is long, or ends the list; a short text with one character per line may well
        # be a user's own.
        return [plain] if len(text) >= _PIECE_CHARS or plain.endswith("])") else None
    match = _WHOLE.fullmatch(plain)
    values = _read_values(match.group(1)) if match else None
    return [plain] if values is None else values


def _read_values(listed: str) -> list[str] | None:
    """The values of `'a', "b", 3`; None when something else is among them."""
    values: list[str] = []
    position = 0
    while position < len(listed):
        match = _VALUE.match(listed, position)
        if match is None:
            return None
        single, double, bare = match.groups()
        values.append(bare if bare is not None else _unescape(single if single is not None else double))
        position = match.end()
        if position < len(listed):
            if not listed.startswith(", ", position):
                return None
            position += 2
    return values


def _unescape(literal: str) -> str:
    return _ESCAPE.sub(_unescape_one, literal)


def _unescape_one(match: re.Match[str]) -> str:
    for digits in match.groups()[:3]:
        if digits is not None:
            code = int(digits, 16)
            # Half of a surrogate pair is no character: kept, it would make the whole text one that can't be judged.
            is_character = code <= _LAST_CODE_POINT and not 0xD800 <= code <= 0xDFFF
            return chr(code) if is_character else _REPLACEMENT
    short = match.group(4)
    return _SHORT_ESCAPES.get(short, short)
