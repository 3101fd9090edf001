"""`/v1/...` beside the chats: what the models behind a guarded chat are asked for otherwise.

`POST /v1/embeddings` is passed on, and judged as a prompt where the operator says so. `GET /v1/models/NAME` is an entry
of the list. Sound and pictures can't be judged: `/v1/audio/...` and `/v1/images/...` are refused unless the operator
lets media through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from ..core.conversation import Limits
from ..core.moderator import Check
from ..errors import Forbidden, InvalidRequest, NotFound, PromptBlocked
from ..wires.gateway_decisions import deciding
from ..wires.gateway_requests import ask_conversations, questions_in
from ..wires.guarded_chat import chosen_policy
from ..wires.openai_models import Headers, render_models
from .body import read_bytes, read_json
from .guarded import GuardedDoor
from .lifecycle import DirectRoute, RequestState, current_state
from .moderate import log_fields
from .openai import headers_of, needs_upstream
from .reply import Reply, json_reply
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["blueprint", "direct_routes"]

_EMBEDDINGS = "/v1/embeddings"
# OpenAI takes as many texts in one request.
_LIMITS = Limits(messages=2048)
_JSON = "application/json"


def direct_routes(service: Service, guarded: GuardedDoor | None) -> dict[str, DirectRoute]:
    """The route of embeddings, which are asked for often."""

    def embeddings(environ: WSGIEnvironment, state: RequestState) -> Reply:
        if guarded is None:
            raise NotFound(needs_upstream("Embeddings"))
        body = read_json(environ, max_body_bytes=service.settings.max_body_bytes)
        if not isinstance(body, Mapping):
            raise InvalidRequest("The body must be a JSON object.")
        if service.settings.chat_judge_embeddings:
            _judge(service, body, headers_of(environ), state)
        content = json.dumps(body, separators=(",", ":")).encode()
        return guarded.pass_on("POST", _EMBEDDINGS, environ, content=content, content_type=_JSON)

    return {_EMBEDDINGS: embeddings}


def blueprint(service: Service, guarded: GuardedDoor | None) -> Blueprint:
    """The other routes."""
    routes = Blueprint("other_models", __name__)

    @routes.get("/v1/models/<path:name>")
    def model(name: str) -> Response:
        others = guarded.models(request.environ) if guarded is not None else ()
        listing = render_models(service.moderator.engine.model, service.policies, others=others)["data"]
        assert isinstance(listing, list)
        for entry in listing:
            if entry["id"] == name:
                return Response(json_reply(entry).body, mimetype=_JSON)
        raise NotFound("There is no model of this name; `GET /v1/models` lists them.")

    @routes.post("/v1/audio/<path:kind>")
    @routes.post("/v1/images/<path:kind>")
    def media(kind: str) -> Response:
        if guarded is None:
            raise NotFound(needs_upstream("Sound and pictures"))
        if not service.settings.chat_allow_media:
            raise Forbidden("Sound and pictures can't be judged; `chat_allow_media` lets them through unjudged.")
        environ, content_type = request.environ, request.headers.get("Content-Type", "")
        if request.mimetype == _JSON:
            body = read_json(environ, max_body_bytes=service.settings.max_body_bytes)
            _judge(service, body, headers_of(environ), current_state())
            content = json.dumps(body, separators=(",", ":")).encode()
        else:
            content = read_bytes(environ, max_body_bytes=service.settings.max_body_bytes)
        reply = guarded.pass_on("POST", request.path, environ, content=content, content_type=content_type)
        return Response(reply.body, content_type=reply.content_type, status=reply.status, headers=dict(reply.headers))

    return routes


def _judge(service: Service, body: object, headers: Headers, state: RequestState) -> None:
    """Judge what a request asks. Raises PromptBlocked, a failure, or InvalidRequest for what can't be judged."""
    policy = chosen_policy(service.policies, headers.policy, service.settings.policy_choice)
    conversations = ask_conversations(questions_in(body, limits=_LIMITS))
    checks = [Check(one, policy, languages=headers.languages) for one in conversations]
    outcomes = service.decide(checks) if checks else []
    state.fields = log_fields(outcomes)
    decision = deciding(outcomes)
    if decision is not None and not decision.allowed:
        raise PromptBlocked(decision.message or "Blocked.", param="input")
