"""JSON as it stands in data sets: read by orjson where it is installed, else by the standard library.

A data set's lines are read one by one and never through a typed reader: those turn a list of text parts into the text
of its JSON, and stop at one broken line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["dumps", "loads", "loads_all"]

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]


def loads(line: bytes) -> Any:
    """What a line says. Raises ValueError, whose message may quote the line."""
    if orjson is not None:
        try:
            return orjson.loads(line)
        except ValueError:
            # Python writes NaN and lone surrogates, which orjson refuses: such a row is still one to judge.
            pass
    try:
        return json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def loads_all(lines: Sequence[bytes]) -> list[Any] | None:
    """What these lines say, quickly; None where one of them is not plain JSON."""
    if orjson is None:
        return None
    try:
        return list(map(orjson.loads, lines))
    except ValueError:
        return None


def dumps(value: object) -> bytes:
    """A value as compact JSON in UTF-8; what JSON has no word for (dates, decimals, bytes) as text."""
    if orjson is not None:
        try:
            return orjson.dumps(value)
        except TypeError:
            pass
        try:
            return orjson.dumps(value, default=_as_text, option=orjson.OPT_NON_STR_KEYS)
        except TypeError:  # an integer of more than 64 bits, or a lone surrogate
            pass
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_as_text).encode(
        "utf-8", "backslashreplace"
    )


def _as_text(value: object) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    return str(value)
