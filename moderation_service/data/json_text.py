"""JSON as it stands in data sets, line by line.

A typed reader would turn a list of text parts into the text of its JSON, and stop at one broken line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from ..core.json_text import read_json

__all__ = ["dumps", "loads", "loads_all"]


def loads(line: bytes) -> Any:
    """What a line says. Raises ValueError, whose message may quote the line."""
    try:
        return read_json(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def loads_all(lines: Sequence[bytes]) -> list[Any] | None:
    """What these lines say, quickly; None where one of them is not plain JSON."""
    try:
        return list(map(orjson.loads, lines))
    except ValueError:
        return None


def dumps(value: object) -> bytes:
    """A value as compact JSON in UTF-8; what JSON has no word for (dates, decimals, bytes) as text."""
    try:
        return orjson.dumps(value)
    except TypeError:
        pass
    try:
        return orjson.dumps(value, default=_as_text, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # an integer of more than 64 bits, or a lone surrogate
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_as_text)
        return text.encode("utf-8", "backslashreplace")


def _as_text(value: object) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    return str(value)
