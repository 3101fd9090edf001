"""`/authz/...`: proxies ask here, with the client's own request, whether it may pass (ext_authz, forward-auth)."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from ..core.moderator import Outcome
from ..errors import InvalidRequest, ModerationError, PromptBlocked, TooLarge
from ..wires import ext_authz
from ..wires.gateway_decisions import policy_of
from .body import read_any_json
from .lifecycle import current_state
from .moderate import languages_of, log_fields
from .openai import headers_of, reply_headers
from .reply import error_reply
from .service import Service

__all__ = ["PREFIX", "blueprint"]

PREFIX = "/authz"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
_FORBIDDEN = 403


def blueprint(service: Service) -> Blueprint:
    """The routes: any method, any path under the prefix."""
    routes = Blueprint("ext_authz", __name__)
    max_body_bytes = service.settings.max_body_bytes

    def authorize(rest: str = "") -> Response:
        environ = request.environ
        policy = policy_of(headers_of(environ), service.policies)
        if environ.get("HTTP_X_ENVOY_AUTH_PARTIAL_BODY", "").strip().lower() == "true":
            raise TooLarge("The proxy sent the beginning of the body only; let it send all of it.")
        body = read_any_json(environ, max_body_bytes=max_body_bytes)
        outcomes: list[Outcome] = []
        if body is None:
            _refuse_without_body()
        else:
            checks = ext_authz.parse(
                body,
                policy=policy,
                limits=service.limits.conversation,
                languages=languages_of(environ),
                judges_results=service.settings.chat_judge_tool_results,
            )
            outcomes = service.decide(checks) if checks else []
            current_state().fields = log_fields(outcomes)
            ext_authz.decide(outcomes)
        return Response(b"", status=200, mimetype="text/plain", headers=dict(reply_headers(outcomes)))

    def failed(error: Exception) -> Response:
        """A refusal or an error, in the shape that the client knows: the proxy gives it on as it is."""
        address = request.headers.get("X-Forwarded-Uri") or request.path.removeprefix(PREFIX)
        reply = error_reply(
            error,
            request_id=current_state().request_id,
            max_body_bytes=max_body_bytes,
            shape=lambda ours: ext_authz.shown_error(ours, address=address),
        )
        blocked = isinstance(error, PromptBlocked)
        headers = {**reply.headers, **({"X-Moderation-Action": "block"} if blocked else {})}
        status = _FORBIDDEN if blocked else reply.status
        return Response(reply.body, status=status, mimetype="application/json", headers=headers)

    for path in (PREFIX, f"{PREFIX}/", f"{PREFIX}/<path:rest>"):
        routes.add_url_rule(path, "authorize", authorize, methods=_METHODS, provide_automatic_options=False)
    for kind in (ModerationError, HTTPException, Exception):
        routes.register_error_handler(kind, failed)
    return routes


def _refuse_without_body() -> None:
    """Raise InvalidRequest where a body should be: a proxy that keeps it back must not let it pass unseen."""
    methods = {request.method.upper(), request.headers.get("X-Forwarded-Method", request.method).upper()}
    if not methods <= ext_authz.BODILESS:
        raise InvalidRequest("The request came without its body; set the proxy to send it along.")
