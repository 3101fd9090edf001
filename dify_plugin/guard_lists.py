"""Reads lists as Dify hands them to a node: as they are, as JSON, or as Python prints them.

A variable in a text field arrives as `str(list)`, with single quotes. It is turned into JSON by a grammar of Python's
string literals, in time linear in its length; nothing is evaluated.
"""

import json
import re
from typing import Any

_NOTHING = {"", "null", "none", "undefined"}
_TOKEN = re.compile(
    r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(True|False|None)\b|([^'"TFN]+|[TFN])""", re.DOTALL
)  # fmt: skip
_WORDS = {"True": "true", "False": "false", "None": "null"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)
_SHORT_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\n": ""}


def is_nothing(value: Any) -> bool:
    """Whether a variable without a value is meant: missing, `null`, `None`, empty."""
    return value is None or value == [] or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def read_json(text: str) -> Any:
    """What the JSON, or what Python printed, says; None for anything else."""
    for candidate in (text, _as_json(text)):
        try:
            return json.loads(candidate, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _as_json(printed: str) -> str:
    """JSON for Python's text of a list; something that is no JSON for any other text."""
    found, position = [], 0
    while position < len(printed):
        match = _TOKEN.match(printed, position)
        if match is None:
            return ""
        single, double, word, other = match.groups()
        if word is not None:
            found.append(_WORDS[word])
        elif other is not None:
            found.append(other)
        else:
            found.append(json.dumps(_ESCAPE.sub(_unescape, single if single is not None else double)))
        position = match.end()
    return "".join(found)


def _unescape(match: re.Match[str]) -> str:
    for digits in match.groups()[:3]:
        if digits is not None:
            code = int(digits, 16)
            return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"
    short = match.group(4)
    return _SHORT_ESCAPES.get(short, short)
