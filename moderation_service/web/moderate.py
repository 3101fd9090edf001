"""`POST /moderate` and `GET /policies`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request

from ..errors import InvalidRequest, ModerationError, UnsupportedMediaType
from ..moderator import Check, Outcome
from ..verdict import Decision
from ..wires import native
from .lifecycle import current_state
from .service import Service

__all__ = ["blueprint", "read_json"]

_MAX_FORM_FIELDS = 16
_NOT_IN_FORMS = ("inputs", "messages", "metadata")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def blueprint(service: Service) -> Blueprint:
    """The routes of the native contract."""
    routes = Blueprint("moderate", __name__)

    @routes.post("/moderate")
    def moderate() -> Response:
        languages = list(request.accept_languages.values()) if "HTTP_ACCEPT_LANGUAGE" in request.environ else ()
        asked = native.parse(_read_body(), policies=service.policies, limits=service.limits, languages=languages)
        outcomes = _decide(service, asked.items)
        current_state().fields = _log_fields(outcomes)
        if asked.is_batch:
            reply = native.render_batch(outcomes)
        else:
            if isinstance(outcomes[0], ModerationError):
                raise outcomes[0]
            reply = native.render(outcomes[0])
        response = Response(_encode(reply), mimetype="application/json")
        degraded = any(isinstance(outcome, Decision) and outcome.degraded for outcome in outcomes)
        response.headers["X-Moderation-Degraded"] = "true" if degraded else "false"
        return response

    @routes.get("/policies")
    def policies() -> Response:
        listing = {"default": service.policies.default, "policies": [one.to_json() for one in service.policies]}
        return Response(_encode(listing), mimetype="application/json")

    return routes


def _read_body() -> object:
    """The request's body: JSON, or a form for callers that can't write JSON safely.

    Builders like Dify paste the user's text between the quotes of a JSON template, where a quote in the text ends the
    string and can add fields. In a form every value is encoded on its own.
    """
    mimetype = request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    return _read_form() if mimetype == "application/x-www-form-urlencoded" else read_json()


def _read_form() -> object:
    """A form's fields as the object they stand for. An empty `policy` means the default one; all values are texts."""
    raw = request.get_data(cache=False)
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FORM_FIELDS,
        )
    except ValueError:
        raise InvalidRequest("The body is not a valid form of UTF-8 texts.") from None
    for name in _NOT_IN_FORMS:
        if any(key == name for key, _ in pairs):
            raise InvalidRequest(f"`{name}` can't be sent as a form; send JSON.", param=name)
    return _unique_object([(key, value) for key, value in pairs if value or key != "policy"])


def read_json() -> object:
    """The request's body, parsed strictly. Raises UnsupportedMediaType or InvalidRequest.

    Strict means: UTF-8, no NaN, and no key twice in an object, because a proxy in front may have read the other one.
    """
    environ = request.environ
    mimetype = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if mimetype != "application/json" and not mimetype.endswith("+json"):
        raise UnsupportedMediaType("The body must be JSON; send `Content-Type: application/json`.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise UnsupportedMediaType("Compressed bodies are not accepted; send the JSON as it is.")
    try:
        return _decode(request.get_data(cache=False).decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8 text.") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None
    except ValueError as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequest(f"The body is not valid JSON{where}.") from None


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("The body has an object with the same field twice.")
    return found


def _refuse_constant(name: str) -> object:
    raise InvalidRequest("The body has a number that JSON does not know (NaN or Infinity).")


_decode = json.JSONDecoder(object_pairs_hook=_unique_object, parse_constant=_refuse_constant).decode


def _decide(service: Service, items: Sequence[Check | ModerationError]) -> list[Outcome]:
    """Decide the items that could be read; the others keep their error and their place."""
    checks = [item for item in items if isinstance(item, Check)]
    decided = iter(service.moderator.decide(checks) if checks else ())
    return [next(decided) if isinstance(item, Check) else item for item in items]


def _log_fields(outcomes: Sequence[Outcome]) -> Mapping[str, object]:
    """What the log line says of the decisions: ids, actions and severities, never text."""
    if len(outcomes) == 1 and isinstance(outcomes[0], Decision):
        one = outcomes[0]
        return {
            "id": one.id,
            "target": one.target.value,
            "safety": one.verdict.severity.value if one.verdict else None,
            "action": one.action.value,
            "policy": one.policy,
            "engine": one.engine,
            "degraded": one.degraded,
            "cached": one.cached,
        }
    actions = Counter(one.action.value if isinstance(one, Decision) else "error" for one in outcomes)
    degraded = sum(1 for one in outcomes if isinstance(one, Decision) and one.degraded)
    return {"items": len(outcomes), "actions": dict(actions), "degraded": degraded}
