"""`/v1/...`: the doors for OpenAI clients. Moderations, the guard as a chat model, and the list of model names."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flask import Blueprint, Response, request

from ..core.moderator import Outcome
from ..core.verdict import Decision
from ..errors import NotFound
from ..wires import openai_chat, openai_moderations, responses_guard
from ..wires.dify_mangling import unmangle
from ..wires.openai_errors import render_error
from ..wires.openai_models import Headers, means_guard, render_models
from .body import read_json
from .guarded import GuardedDoor
from .lifecycle import DirectRoute, RequestState
from .moderate import languages_of, log_fields
from .reply import ErrorShape, Reply, StreamedReply, event_stream, json_reply, named_events
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["ERROR_SHAPES", "blueprint", "direct_routes", "headers_of", "needs_upstream", "reply_headers"]

ERROR_SHAPES: Mapping[str, ErrorShape] = {"/v1/": render_error}
"""Under this prefix every error has OpenAI's shape, also that of an address which does not exist."""


def direct_routes(service: Service, guarded: GuardedDoor | None) -> dict[str, DirectRoute]:
    """The routes that judge."""
    max_body_bytes = service.settings.max_body_bytes

    def moderations(environ: WSGIEnvironment, state: RequestState) -> Reply:
        body = read_json(environ, max_body_bytes=max_body_bytes)
        asked = openai_moderations.parse(
            body,
            policies=service.policies,
            max_items=service.limits.batch_items,
            headers=headers_of(environ),
            restore=unmangle,
        )
        checks = asked.checks
        outcomes = service.decide(checks) if checks else []
        state.fields = log_fields(outcomes)
        reply = openai_moderations.render(asked, outcomes, model=service.moderator.engine.model)
        return json_reply(reply, headers=reply_headers(outcomes))

    def completions(environ: WSGIEnvironment, state: RequestState) -> Reply | StreamedReply:
        if guarded is None:
            raise NotFound(needs_upstream("Completions without roles"))
        body = read_json(environ, max_body_bytes=max_body_bytes)
        return guarded.complete(body, headers_of(environ), environ, state)

    def chat(environ: WSGIEnvironment, state: RequestState) -> Reply | StreamedReply:
        body = read_json(environ, max_body_bytes=max_body_bytes)
        if guarded is not None and not _asks_the_guard(body, service):
            return guarded.answer(body, headers_of(environ), environ, state)
        return _guards_answer(service, body, environ, state, _CHAT)

    def responses(environ: WSGIEnvironment, state: RequestState) -> Reply | StreamedReply:
        body = read_json(environ, max_body_bytes=max_body_bytes)
        if guarded is not None and not _asks_the_guard(body, service):
            return guarded.respond(body, headers_of(environ), environ, state)
        return _guards_answer(service, body, environ, state, _RESPONSES)

    return {
        "/v1/moderations": moderations,
        "/v1/chat/completions": chat,
        "/v1/completions": completions,
        "/v1/responses": responses,
    }


class _GuardAsModel(NamedTuple):
    """How a contract asks the guard itself, and how it is told what the guard says: whole, or as a stream."""

    parse: Callable[..., openai_chat.ChatRequest]
    render: Callable[..., object]
    stream: Callable[[openai_chat.ChatRequest, Decision, int, Mapping[str, str]], Reply]


_CHAT = _GuardAsModel(
    openai_chat.parse,
    openai_chat.render,
    lambda asked, decision, created, headers: event_stream(
        openai_chat.render_chunks(asked, decision, created=created), headers=headers
    ),
)
_RESPONSES = _GuardAsModel(
    responses_guard.parse,
    responses_guard.render,
    lambda asked, decision, created, headers: named_events(
        responses_guard.render_events(asked, decision, created=created), headers=headers
    ),
)


def _guards_answer(
    service: Service, body: object, environ: WSGIEnvironment, state: RequestState, contract: _GuardAsModel
) -> Reply:
    """The guard's own answer. Raises ModerationError."""
    asked = contract.parse(
        body, policies=service.policies, limits=service.limits.conversation, headers=headers_of(environ)
    )
    outcomes = service.decide([asked.check])
    state.fields = log_fields(outcomes)
    outcome, headers, created = outcomes[0], reply_headers(outcomes), int(time.time())
    if not isinstance(outcome, Decision):
        raise outcome
    if asked.stream:
        return contract.stream(asked, outcome, created, headers)
    return json_reply(contract.render(asked, outcome, created=created), headers=headers)


def blueprint(service: Service, guarded: GuardedDoor | None) -> Blueprint:
    """The other routes."""
    routes = Blueprint("openai", __name__)

    @routes.get("/v1/models")
    def models() -> Response:
        others = guarded.models(request.environ) if guarded is not None else ()
        listing = render_models(service.moderator.engine.model, service.policies, others=others)
        return Response(json_reply(listing).body, mimetype="application/json")

    return routes


def needs_upstream(what: str) -> str:
    """What a caller is told of a route that has nobody behind it."""
    return f"{what} are answered by the models of `chat_upstream` only, which is not set here."


def _asks_the_guard(body: object, service: Service) -> bool:
    model = body.get("model") if isinstance(body, Mapping) else None
    return means_guard(model, engine_model=service.moderator.engine.model)


def headers_of(environ: WSGIEnvironment) -> Headers:
    """What a caller says outside the body."""
    return Headers(
        policy=environ.get("HTTP_X_MODERATION_POLICY"),
        target=environ.get("HTTP_X_MODERATION_TARGET"),
        languages=languages_of(environ),
    )


def reply_headers(outcomes: Sequence[Outcome]) -> Mapping[str, str]:
    """The strictest action and whether any verdict was degraded, for what reads headers only."""
    decisions = [one for one in outcomes if isinstance(one, Decision)]
    if not decisions:
        return {}
    strictest = max((one.action for one in decisions), key=lambda action: action.rank)
    degraded = any(one.degraded for one in decisions)
    return {"X-Moderation-Action": strictest.value, "X-Moderation-Degraded": str(degraded).lower()}
