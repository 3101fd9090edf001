"""What of a picture, a sound or a file in a request is text: its name, words beside it, a text file. No I/O.

Addresses, and data that no text is behind, can't be judged; all else that stands in such a part a model may read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_to_bytes

from .base64_text import decoded, readable

__all__ = ["media_texts"]

_WORD = re.compile(r"[A-Za-z0-9_.:@/+-]{0,32}")
_ADDRESS = re.compile(r"(?:https?|gs|s3|file)://[!-~]{1,2048}")
_DATA_URI = re.compile(r"data:([!-~]{0,128}?)(;base64)?,", re.IGNORECASE)
# Possessive, so that the time is linear in what anybody sends.
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]++={0,2}+\s*+")
# Shorter data than this are no picture, and may be a word.
_LEAST_DATA = 128


def media_texts(part: Mapping[str, object]) -> Iterator[str]:
    """The texts in such a part, with the names of fields that are no words."""
    for key, value in part.items():
        if not _WORD.fullmatch(key):
            yield key
        yield from _texts(value)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        text = _readable(value)
        if text and not _WORD.fullmatch(text) and not _ADDRESS.fullmatch(text):
            yield text
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        yield from media_texts(value)


def _readable(value: str) -> str | None:
    """The text that a string is, or that is behind its data; None where there is none."""
    uri = _DATA_URI.match(value)
    if uri is not None:
        data = value[uri.end() :]
        raw = decoded(data) if uri.group(2) else unquote_to_bytes(data)
        if raw is not None and uri.group(1).lower().startswith("text/"):
            return raw.decode("utf-8", "replace")
        return data if raw is None else readable(raw)
    if len(value) < _LEAST_DATA or not _BASE64.fullmatch(value):
        return value
    raw = decoded(value)
    return value if raw is None else readable(raw)
