"""`/v1/...` beside the chats: what the models behind a guarded chat are asked for otherwise.

`POST /v1/embeddings` is passed on, and judged as a prompt where the operator says so. `GET /v1/models/NAME` is an entry
of the list. Sound and pictures can't be judged: `/v1/audio/...` and `/v1/images/...` are refused unless the operator
lets media through. Their requests are JSON or forms, and nothing else goes on: servers read JSON whatever it is called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from ..core.conversation import Limits
from ..core.moderator import Check
from ..core.question import Question
from ..errors import Forbidden, InvalidRequest, NotFound, PromptBlocked
from ..wires.gateway_decisions import deciding
from ..wires.gateway_requests import ask_conversations, beside, questions_in
from ..wires.guarded_chat import chosen_policy
from ..wires.openai_models import Headers, render_models
from .body import read_bytes, read_json
from .guarded import GuardedDoor
from .lifecycle import DirectRoute, RequestState, current_state
from .media_form import MULTIPART, read_form
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
# Steps of an address below `/v1/audio/`; dots and escapes could lead to other addresses.
_STEPS = re.compile(r"[a-z][a-z_-]*(?:/[A-Za-z0-9_-]+)*")


def direct_routes(service: Service, guarded: GuardedDoor | None) -> dict[str, DirectRoute]:
    """The route of embeddings, which are asked for often."""

    def embeddings(environ: WSGIEnvironment, state: RequestState) -> Reply:
        if guarded is None:
            raise NotFound(needs_upstream("Embeddings"))
        body = read_json(environ, max_body_bytes=service.settings.max_body_bytes)
        if not isinstance(body, Mapping):
            raise InvalidRequest("The body must be a JSON object.")
        if service.settings.chat_judge_embeddings:
            _judge(service, questions_in(body, limits=_LIMITS), headers_of(environ), state)
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
        if not _STEPS.fullmatch(kind):
            raise NotFound("There is no such address.")
        environ, limit = request.environ, service.settings.max_body_bytes
        if request.mimetype == MULTIPART:
            form = read_form(read_bytes(environ, max_body_bytes=limit), request.headers["Content-Type"])
            content, content_type = form.content, form.content_type
            asked = beside({name: list(values) for name, values in form.texts.items()})
        else:
            body = read_json(environ, max_body_bytes=limit)
            content, content_type = json.dumps(body, separators=(",", ":")).encode(), _JSON
            asked = questions_in(body, limits=_LIMITS, application=())
        _judge(service, asked, headers_of(environ), current_state())
        reply = guarded.pass_on("POST", request.path, environ, content=content, content_type=content_type)
        return Response(reply.body, content_type=reply.content_type, status=reply.status, headers=dict(reply.headers))

    return routes


def _judge(service: Service, asked: Sequence[Question], headers: Headers, state: RequestState) -> None:
    """Judge what a request asks. Raises PromptBlocked, or a failure."""
    policy = chosen_policy(service.policies, headers.policy, service.settings.policy_choice)
    checks = [Check(one, policy, languages=headers.languages) for one in ask_conversations(asked)]
    outcomes = service.decide(checks) if checks else []
    state.fields = log_fields(outcomes)
    decision = deciding(outcomes)
    if decision is not None and not decision.allowed:
        raise PromptBlocked(decision.message or "Blocked.", param="input")
