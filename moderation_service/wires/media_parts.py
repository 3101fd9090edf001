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
_DATA_URI = re.compile(r"data:([ -~]{0,128}?)(; ?base64)?,", re.IGNORECASE)
# Where a part has data; in any other field, such as a title, a text that could be data is one.
_DATA = frozenset({"data", "file_data", "url", "image_url", "bytes", "b64_json"})
# In rows of 60 and more, as words are not. Possessive, so that the time is linear in what anybody sends.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{60,}+\s++)*+[A-Za-z0-9+/_-]*+={0,2}+\s*+")
# Shorter data than this are no picture, and may be a word.
_LEAST_DATA = 64


def media_texts(part: Mapping[str, object]) -> Iterator[str]:
    """The texts in such a part, with the names of fields that are no words."""
    is_text = part.get("type") == "text"
    for key, value in part.items():
        if not _WORD.fullmatch(key):
            yield key
        yield from _texts(value, may_be_data=key in _DATA and not is_text)


def _texts(value: object, *, may_be_data: bool) -> Iterator[str]:
    if isinstance(value, str):
        text = _readable(value, may_be_data=may_be_data)
        if text and not _WORD.fullmatch(text) and not _ADDRESS.fullmatch(text):
            yield text
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, may_be_data=may_be_data)
    elif isinstance(value, Mapping):
        yield from media_texts(value)


def _readable(value: str, *, may_be_data: bool) -> str | None:
    """The text that a string is, or that is behind its data; None where there is none."""
    uri = _DATA_URI.match(value)
    if uri is not None:
        data = value[uri.end() :]
        raw = decoded(data) if uri.group(2) else unquote_to_bytes(data)
        if raw is not None and uri.group(1).lower().startswith("text/"):
            return raw.decode("utf-8", "replace")
        return data if raw is None else readable(raw)
    if not may_be_data or len(value) < _LEAST_DATA or not _BASE64.fullmatch(value):
        return value
    raw = decoded(value)
    return value if raw is None else readable(raw)
