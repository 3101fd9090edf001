"""Reads a request's body, strictly: JSON, or a form where a route takes one."""

from __future__ import annotations

import json
import math
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from gunicorn.http.errors import ParseException
from werkzeug.wsgi import get_input_stream

from ..core.json_text import is_too_deep
from ..errors import InvalidRequest, TooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["BODY_READ", "note_body", "read_any_json", "read_body", "read_bytes", "read_json"]

BODY_READ = "moderation.body_read"
"""Where in the environment a function is that is told of the parsed body, if anybody wants to know."""
_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_FIELDS = 16
_NOT_JSON = "The body must be JSON; send `Content-Type: application/json`."
_NOT_IN_FORMS = ("inputs", "messages", "metadata")


def read_body(environ: WSGIEnvironment, *, max_body_bytes: int) -> object:
    """The body: JSON, or a form for callers that can't write JSON safely. Raises as `read_json` does.

    Builders without code, such as Dify's HTTP node, paste the user's text between the quotes of a JSON template: a
    quote in the text ends the string and can add fields. In a form every value is encoded on its own.
    """
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == _FORM:
        return _read_form(environ, max_body_bytes=max_body_bytes)
    return read_json(environ, max_body_bytes=max_body_bytes)


def _read_form(environ: WSGIEnvironment, *, max_body_bytes: int) -> object:
    """A form's fields as the object they stand for; all values are texts, and an empty `policy` is none."""
    if "HTTP_ORIGIN" in environ:
        # Unlike JSON, a form can be sent by any web page to a service on the visitor's own machine.
        raise UnsupportedMediaType("Forms are not accepted from web pages; send JSON.")
    raw = read_bytes(environ, max_body_bytes=max_body_bytes)
    if raw.lstrip().startswith(b"{"):
        # JSON from a client that calls everything a form unless told otherwise, such as curl -d.
        raise UnsupportedMediaType(_NOT_JSON)
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FORM_FIELDS,
        )
    except ValueError:
        raise InvalidRequest("The body is not a form of a few texts in UTF-8.") from None
    for name, _ in pairs:
        if name in _NOT_IN_FORMS:
            raise InvalidRequest(f"`{name}` can't be sent as a form; send JSON.", param=name)
    return note_body(environ, _unique_object([(name, value) for name, value in pairs if value or name != "policy"]))


def read_json(environ: WSGIEnvironment, *, max_body_bytes: int) -> object:
    """The body, parsed. Raises UnsupportedMediaType, InvalidRequest, TooLarge, or werkzeug's own.

    Strict means: UTF-8, no NaN, and no key twice in an object, because a proxy in front may have read the other one.
    """
    mimetype = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if mimetype != "application/json" and not mimetype.endswith("+json"):
        raise UnsupportedMediaType(_NOT_JSON)
    return note_body(environ, _parsed(read_bytes(environ, max_body_bytes=max_body_bytes)))


def read_any_json(environ: WSGIEnvironment, *, max_body_bytes: int) -> object:
    """The body as JSON, whatever its type is called; None without a body. Raises as `read_json` does.

    For proxies that show a client's request with some of its headers only.
    """
    raw = read_bytes(environ, max_body_bytes=max_body_bytes)
    return note_body(environ, _parsed(raw)) if raw else None


def note_body(environ: WSGIEnvironment, body: object) -> object:
    """The body; whoever wants to know of it is told (`BODY_READ`)."""
    told = environ.get(BODY_READ)
    if told is not None:
        told(body)
    return body


def _parsed(raw: bytes) -> object:
    try:
        body = _decode(raw.decode("utf-8"))
        if is_too_deep(body, raw):
            raise RecursionError
        return body
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8 text.") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"The body is not valid JSON ({where}).") from None
    except ValueError:
        # Python refuses numbers of several thousand digits.
        raise InvalidRequest("The body has a number that is too large.") from None


def read_bytes(environ: WSGIEnvironment, *, max_body_bytes: int) -> bytes:
    """The body as it was sent. Raises UnsupportedMediaType for a compressed one, InvalidRequest, TooLarge."""
    if environ.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Compressed bodies are not accepted; send the JSON as it is.")
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH", "")
    try:
        if isinstance(stream, BytesIO) and length.isdecimal() and int(length) <= max_body_bytes:
            # As our server gives it, which has read the whole body before a thread sees it.
            raw = stream.read(int(length))
            if len(raw) == int(length):
                return raw
        # One byte more than allowed, because werkzeug ends a chunked body at the limit without a word.
        raw = get_input_stream(environ, max_content_length=max_body_bytes + 1).read()
    except (ParseException, OSError):
        # A chunk that is none, or a client that went away or stalled.
        raise InvalidRequest("The body could not be read to its end.") from None
    if len(raw) > max_body_bytes:
        raise TooLarge(f"The body is over the limit of {max_body_bytes} bytes.")
    return raw


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("The body has an object with the same field twice.")
    return found


def _refuse_constant(name: str) -> object:
    raise InvalidRequest("The body has a number that JSON does not know (NaN or Infinity).")


def _finite(text: str) -> float:
    # 1e999 is JSON, but Python reads it as infinity, which could not be written as JSON again (audit records).
    number = float(text)
    if math.isinf(number):
        raise InvalidRequest("The body has a number that is too large.")
    return number


_decode = json.JSONDecoder(
    object_pairs_hook=_unique_object, parse_constant=_refuse_constant, parse_float=_finite
).decode
