"""A form with files for a model's server: read, and written anew, so that the server reads in it what was judged.

Two readers of one form can see different fields in it: a name given twice, a line end, a quote. What goes on is our own
writing of what was read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from ..errors import InvalidRequest, TooLarge
from ..ids import random_hex

__all__ = ["MULTIPART", "MediaForm", "read_form"]

MULTIPART = "multipart/form-data"
_MAX_PARTS = 64
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_KIND = re.compile(r"[a-z]+/[a-z0-9.+-]{1,64}")
_ODD = re.compile(r"[^A-Za-z0-9_.-]")
_ANY_KIND = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class MediaForm:
    """The form as it goes on; `texts` are its fields, all values of a name together."""

    content_type: str
    content: bytes
    texts: Mapping[str, Sequence[str]]


def read_form(content: bytes, content_type: str) -> MediaForm:
    """The form in a request's body. Raises InvalidRequest or TooLarge."""
    boundary = parse_options_header(content_type)[1].get("boundary", "").encode("ascii", "replace")
    if not boundary:
        raise InvalidRequest(f"`Content-Type: {MULTIPART}` needs a boundary.")
    parser = MultiPartParser(stream_factory=_in_memory, max_form_memory_size=None, max_form_parts=_MAX_PARTS)
    try:
        form, files = parser.parse(BytesIO(content), boundary, len(content))
    except RequestEntityTooLarge:
        raise TooLarge(f"The form has more than {_MAX_PARTS} parts.") from None
    except ValueError:
        raise InvalidRequest("The body is no whole form.") from None
    mark = random_hex(32)
    parts: list[bytes] = []
    for name, value in form.items(multi=True):
        parts.append(_part(mark, name, "", value.encode("utf-8", "replace")))
    for name, file in files.items(multi=True):
        kind = file.mimetype if _KIND.fullmatch(file.mimetype) else _ANY_KIND
        # Without a name, servers written in Go take a file for a field.
        more = f'; filename="{_ODD.sub("_", file.filename or "") or "file"}"\r\nContent-Type: {kind}'
        parts.append(_part(mark, name, more, file.read()))
    body = b"".join([*parts, f"--{mark}--\r\n".encode()])
    return MediaForm(f"{MULTIPART}; boundary={mark}", body, {name: form.getlist(name) for name in form})


def _in_memory(*told: object, **also: object) -> BytesIO:
    """Where a file of the form is kept: the body's limit bounds all of them."""
    return BytesIO()


def _part(mark: str, name: str | None, more: str, value: bytes) -> bytes:
    if name is None or not _NAME.fullmatch(name):
        raise InvalidRequest("The form has a field whose name is none.")
    return f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"
