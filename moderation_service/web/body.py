"""Reads a request's JSON body, strictly."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from gunicorn.http.errors import ParseException
from werkzeug.wsgi import get_input_stream

from ..errors import InvalidRequest, TooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["read_json"]


def read_json(environ: WSGIEnvironment, *, max_body_bytes: int) -> object:
    """The body, parsed. Raises UnsupportedMediaType, InvalidRequest, TooLarge, or werkzeug's own.

    Strict means: UTF-8, no NaN, and no key twice in an object, because a proxy in front may have read the other one.
    """
    mimetype = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if mimetype != "application/json" and not mimetype.endswith("+json"):
        raise UnsupportedMediaType("The body must be JSON; send `Content-Type: application/json`.")
    if environ.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Compressed bodies are not accepted; send the JSON as it is.")
    # One byte more than allowed, because werkzeug ends a chunked body at the limit without a word.
    try:
        raw = get_input_stream(environ, max_content_length=max_body_bytes + 1).read()
    except (ParseException, OSError):
        # A chunk that is none, or a client that went away or stalled.
        raise InvalidRequest("The body could not be read to its end.") from None
    if len(raw) > max_body_bytes:
        raise TooLarge(f"The body is over the limit of {max_body_bytes} bytes.")
    try:
        return _decode(raw.decode("utf-8"))
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
