"""`POST /dify/moderation`: Dify's API-based extension for Content Moderation.

Dify takes any failed output check for a pass. So every call that moderates is answered with status 200; what went wrong
withholds the text and is named in the request's log line. Only a ping, sent when somebody saves the extension in Dify,
and calls of other kinds get the true status, so that a wrong key or policy shows there and then.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from ..core.moderator import Outcome
from ..core.verdict import Decision
from ..errors import InvalidRequest, ModerationError, Unauthorized
from ..observability.logs import log_event
from ..wires import dify
from .body import read_json
from .lifecycle import current_state
from .moderate import oddities
from .reply import Reply, error_reply, json_reply
from .service import Service

__all__ = ["blueprint"]

_log = logging.getLogger("moderation.web")
_ARGUMENTS = frozenset({"policy", "language"})


def blueprint(service: Service) -> Blueprint:
    """The route of the extension."""
    routes = Blueprint("dify", __name__)
    max_body_bytes = service.settings.max_body_bytes

    @routes.post("/dify/moderation")
    def moderation() -> Response:
        g.dify_body = read_json(request.environ, max_body_bytes=max_body_bytes)
        policy, languages = _arguments()
        asked = dify.parse(g.dify_body, policies=service.policies, policy=policy, languages=languages)
        outcomes = service.decide(asked.checks) if asked.checks else []
        current_state().fields = _log_fields(asked, outcomes)
        degraded = any(isinstance(one, Decision) and one.degraded for one in outcomes)
        headers = {"X-Moderation-Degraded": "true" if degraded else "false"}
        languages = languages or dify.languages_of(g.dify_body)
        return _response(json_reply(dify.render(asked, outcomes, languages=languages), headers=headers))

    def failed(error: Exception) -> Response:
        """The answer to everything raised on this route, and to a wrong key."""
        request_id = current_state().request_id
        # Logs what is a fault of ours, and knows the name of every error.
        reply = error_reply(error, request_id=request_id, max_body_bytes=max_body_bytes)
        if isinstance(error, ModerationError) and not _may_moderate(error, max_body_bytes=max_body_bytes):
            return _response(reply)
        try:
            _, languages = _arguments()
        except InvalidRequest:
            languages = ()
        current_state().fields = {"flagged": True, "unchecked": reply.status}
        log_event(_log, logging.WARNING, "dify_withheld", request_id=request_id, status=reply.status)
        languages = languages or dify.languages_of(g.get("dify_body"))
        return _response(json_reply(dify.render_failure(languages=languages)))

    # All three: for an HTTPException, such as a body over the limit, Flask asks the app's handler before this one's
    # handler of Exception.
    for kind in (ModerationError, HTTPException, Exception):
        routes.register_error_handler(kind, failed)
    return routes


def _may_moderate(error: ModerationError, *, max_body_bytes: int) -> bool:
    """Whether the call was, or may have been, one whose failure lets a text pass."""
    body = g.get("dify_body")
    if body is None and isinstance(error, Unauthorized):
        # Keys are checked before the body is read. It is bounded like any other, and nothing of it is answered.
        try:
            body = read_json(request.environ, max_body_bytes=max_body_bytes)
        except (ModerationError, HTTPException):
            body = None
    return body is None or dify.is_moderation_call(body)


def _arguments() -> tuple[str | None, Sequence[str]]:
    """The policy and the end user's languages from the URL; a misspelt name is an error, not the default policy."""
    for name in request.args:
        if name not in _ARGUMENTS:
            raise InvalidRequest("The URL takes the arguments `policy` and `language` only.")
    language = request.args.get("language")
    return request.args.get("policy") or None, (language,) if language else ()


def _response(reply: Reply) -> Response:
    return Response(reply.body, status=reply.status, mimetype="application/json", headers=dict(reply.headers))


def _log_fields(asked: dify.DifyRequest, outcomes: Sequence[Outcome]) -> Mapping[str, object]:
    """What the log line says: what was asked, and how it was decided; never text."""
    decisions = [one for one in outcomes if isinstance(one, Decision)]
    return {
        "point": asked.point,
        "segments": len(asked.checks),
        "actions": dict(Counter(one.action.value if isinstance(one, Decision) else one.type for one in outcomes)),
        "degraded": any(one.degraded for one in decisions),
        "cached": sum(one.cached for one in decisions),
        **oddities(decisions),
    }
