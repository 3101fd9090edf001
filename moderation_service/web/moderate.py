"""`POST /moderate` and `GET /policies`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flask import Blueprint, Response
from werkzeug.http import parse_accept_header

from ..core.moderator import Check, Outcome
from ..core.verdict import Coverage, Decision, Verdict
from ..errors import ModerationError
from ..wires import native
from .body import read_body
from .lifecycle import DirectRoute, RequestState
from .reply import Reply, json_reply
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["blueprint", "direct_routes", "languages_of", "log_fields", "oddities", "read_languages"]

_CLEAR = {"X-Moderation-Degraded": "false"}
_DEGRADED = {"X-Moderation-Degraded": "true"}


def direct_routes(service: Service) -> dict[str, DirectRoute]:
    """The hot route of the native contract."""
    max_body_bytes = service.settings.max_body_bytes

    def moderate(environ: WSGIEnvironment, state: RequestState) -> Reply:
        body = read_body(environ, max_body_bytes=max_body_bytes)
        languages = languages_of(environ)
        asked = native.parse(body, policies=service.policies, limits=service.limits, languages=languages)
        outcomes = _decide(service, asked.items)
        state.fields = log_fields(outcomes)
        degraded = any(isinstance(outcome, Decision) and outcome.degraded for outcome in outcomes)
        headers = _DEGRADED if degraded else _CLEAR
        if asked.is_batch:
            return json_reply(native.render_batch(outcomes), headers=headers)
        if isinstance(outcomes[0], ModerationError):
            raise outcomes[0]
        return json_reply(native.render(outcomes[0]), headers=headers)

    return {"/moderate": moderate}


def blueprint(service: Service) -> Blueprint:
    """The other routes of the native contract."""
    routes = Blueprint("moderate", __name__)

    @routes.get("/policies")
    def policies() -> Response:
        listing = {"default": service.policies.default, "policies": [one.to_json() for one in service.policies]}
        return Response(json_reply(listing).body, mimetype="application/json")

    return routes


def languages_of(environ: WSGIEnvironment) -> Sequence[str]:
    """The end user's languages, best first, from `Accept-Language`."""
    header = environ.get("HTTP_ACCEPT_LANGUAGE")
    return read_languages(header) if header else ()


def read_languages(header: str) -> Sequence[str]:
    """The languages that an `Accept-Language` header names, best first.

    `*` names none. Node's `fetch`, and every SDK that uses it, sends that by itself.
    """
    return [tag for tag in parse_accept_header(header).values() if tag != "*"]


def _decide(service: Service, items: Sequence[Check | ModerationError]) -> list[Outcome]:
    """Decide the items that could be read; the others keep their error and their place."""
    checks = [item for item in items if isinstance(item, Check)]
    decided = iter(service.decide(checks) if checks else ())
    return [next(decided) if isinstance(item, Check) else item for item in items]


def log_fields(outcomes: Sequence[Outcome]) -> Mapping[str, object]:
    """What the log line says of the decisions: ids, actions and severities, never text."""
    if len(outcomes) == 1 and isinstance(outcomes[0], Decision):
        one = outcomes[0]
        fields = {
            "id": one.id,
            "target": one.target.value,
            "safety": one.verdict.severity.value if one.verdict else None,
            "action": one.action.value,
            "policy": one.policy,
            "engine": one.engine,
            "degraded": one.degraded,
            "cached": one.cached,
        }
        if one.listed_by is not None:
            fields["list_entry"] = one.listed_by.entry
        if one.escalated_until is not None:
            fields["escalated"] = True
        return fields | oddities(outcomes) if one.reason or (one.verdict and _is_odd(one.verdict)) else fields
    actions = Counter(one.action.value if isinstance(one, Decision) else "error" for one in outcomes)
    degraded = sum(1 for one in outcomes if isinstance(one, Decision) and one.degraded)
    return {"items": len(outcomes), "actions": dict(actions), "degraded": degraded, **oddities(outcomes)}


def _is_odd(verdict: Verdict) -> bool:
    return bool(verdict.read_in_part or verdict.decoded) or verdict.coverage not in (None, Coverage.FULL)


def oddities(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Why decisions are degraded or verdicts read in part, what was decoded, that a language is not well known.

    Words of closed lists, if any.
    """
    decisions = [one for one in outcomes if isinstance(one, Decision)]
    reasons = {one.reason for one in decisions if one.reason is not None}
    parts = {part.value for one in decisions if one.verdict is not None for part in one.verdict.read_in_part}
    decoded = {name for one in decisions if one.verdict is not None for name in one.verdict.decoded}
    found: dict[str, object] = {}
    if reasons:
        found["reason"] = ",".join(sorted(reasons))
    if parts:
        found["read_in_part"] = ",".join(sorted(parts))
    if decoded:
        found["decoded"] = ",".join(sorted(decoded))
    said = [one.verdict.coverage for one in decisions if one.verdict is not None and one.verdict.coverage is not None]
    least = max(said, key=lambda coverage: coverage.rank, default=Coverage.FULL)
    if least is not Coverage.FULL:
        found["coverage"] = least.value
    return found
