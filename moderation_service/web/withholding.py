"""Gateways that take an error for a pass: Portkey's webhook (`/portkey`) and Alibaba's contract (`POST /`).

Every call there is answered with status 200. What went wrong (a wrong key, a body that can't be read, no verdict) is a
block, and is named in the reply and in the request's log line.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from ..core.conversation import Message, Role
from ..core.moderator import Outcome
from ..core.question import Question
from ..core.verdict import Target
from ..errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    ModerationError,
    Unauthorized,
    UnsupportedMediaType,
)
from ..observability.logs import log_event
from ..wires import alibaba, portkey
from ..wires.alibaba import AlibabaRequest
from ..wires.gateway_decisions import policy_of
from .body import note_body, read_bytes, read_json
from .lifecycle import RequestState, current_state, enter
from .moderate import languages_of, log_fields
from .openai import headers_of, reply_headers
from .reply import error_reply, json_reply
from .service import Service

__all__ = ["alibaba_blueprint", "key_in_form", "portkey_blueprint"]

_log = logging.getLogger("moderation.web")
_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 64
_KEY_FIELD = "AccessKeyId"
_OTHERS_ALLOWED = "GET, HEAD, OPTIONS"


def portkey_blueprint(service: Service) -> Blueprint:
    """The route of Portkey's webhook."""
    routes = Blueprint("portkey", __name__)
    max_body_bytes = service.settings.max_body_bytes

    @routes.post("/portkey")
    def webhook() -> Response:
        policy = policy_of(headers_of(request.environ), service.policies)
        body = read_json(request.environ, max_body_bytes=max_body_bytes)
        asked = portkey.parse(
            body,
            policy=policy,
            limits=service.limits.conversation,
            languages=languages_of(request.environ),
            refuses_streams=_refuses_streams(),
            judges_results=service.settings.chat_judge_tool_results,
        )
        outcomes = service.decide(asked.checks) if asked.checks else []
        current_state().fields = log_fields(outcomes) if asked.unseen is None else {"withheld": True, "unchecked": 200}
        return _response(portkey.render(asked, outcomes), reply_headers(outcomes))

    def failed(error: Exception) -> Response:
        return _response(portkey.render_withheld(_withheld(error, max_body_bytes=max_body_bytes)))

    return _with_handler(routes, failed)


def alibaba_blueprint(service: Service) -> Blueprint:
    """The route of Alibaba's contract."""
    routes = Blueprint("alibaba", __name__)
    max_body_bytes = service.settings.max_body_bytes

    @routes.post("/")
    def text_moderation_plus() -> Response:
        state = current_state()
        is_known = not service.keys or state.key_name is not None
        fields = _fields(max_body_bytes) if _is_alibabas() else {}
        if not is_known:
            state.key_name = service.keys.identify(fields.get(_KEY_FIELD, ""))
            if state.key_name is None:
                raise Unauthorized("Send a key of this service as the access key id.")
            enter(service, request.environ, state)
        if not _is_alibabas():
            raise MethodNotAllowed("This address does not answer to this HTTP method.")
        asked = alibaba.parse(fields, policies=service.policies)
        outcomes = _decide(service, asked, state)
        return _response(alibaba.render(outcomes, request_id=state.request_id), reply_headers(outcomes))

    def failed(error: Exception) -> Response:
        if not _is_alibabas():
            reply = error_reply(error, request_id=current_state().request_id, max_body_bytes=max_body_bytes)
            allowed = {"Allow": _OTHERS_ALLOWED} if isinstance(error, MethodNotAllowed) else {}
            headers = {**reply.headers, **allowed}
            return Response(reply.body, status=reply.status, mimetype="application/json", headers=headers)
        ours = _withheld(error, max_body_bytes=max_body_bytes)
        languages = languages_of(request.environ)
        state = current_state()
        return _response(alibaba.render_withheld(ours, request_id=state.request_id, languages=languages))

    return _with_handler(routes, failed)


def key_in_form(body: bytes) -> str | None:
    """The key in a form's bytes, for the server, which wants to know whose a request is before a thread has it."""
    try:
        return dict(_pairs(body)).get(_KEY_FIELD)
    except InvalidRequest:
        return None


def _decide(service: Service, asked: AlibabaRequest, state: RequestState) -> list[Outcome]:
    """Judge a piece with what came before it; an answer with its question, where that has the same session."""
    calls, caller = service.calls, state.caller
    text = asked.text
    if text and asked.session is not None:
        text = alibaba.joined_pieces(calls.said(caller, asked.session, asked.target.value), text)
        calls.put_said(caller, asked.session, asked.target.value, text)
        if asked.target is Target.PROMPT:
            calls.put_question(caller, asked.session, Question((Message(Role.USER, text),)))
    known = calls.question(caller, asked.session) if asked.target is Target.RESPONSE else None
    checks = alibaba.checks(asked, text, question=known, languages=languages_of(request.environ))
    outcomes = service.decide(checks) if checks else []
    joined = {"question_known": known is not None} if asked.target is Target.RESPONSE else {}
    state.fields = {**log_fields(outcomes), **joined}
    return outcomes


def _is_alibabas() -> bool:
    """Whether a call is one of the contract's, which are forms. At this address there is a page for people too."""
    return "HTTP_X_ACS_ACTION" in request.environ or request.mimetype == _FORM


def _fields(max_body_bytes: int) -> Mapping[str, str]:
    """Form and query as one; a field of the form counts where both have it."""
    environ = request.environ
    if "HTTP_ORIGIN" in environ:
        # Any web page can send a form to a service on its visitor's own machine.
        raise UnsupportedMediaType("Forms are not accepted from web pages.")
    form = _pairs(read_bytes(environ, max_body_bytes=max_body_bytes))
    query = _pairs(environ.get("QUERY_STRING", "").encode("latin-1"))
    for pairs in (form, query):
        if len({name for name, _ in pairs}) != len(pairs):
            raise InvalidRequest("The request has the same field twice.")
    named = {"Action": environ["HTTP_X_ACS_ACTION"]} if "HTTP_X_ACS_ACTION" in environ else {}
    found = {**named, **dict(query), **dict(form)}
    note_body(environ, found)
    return found


def _refuses_streams() -> bool:
    """Whether the URL asks for streamed answers to be refused; a misspelt argument is an error."""
    if request.args and request.args.to_dict(flat=False) != {"streams": ["refuse"]}:
        raise InvalidRequest("The URL takes the argument `streams=refuse` only.", param="streams")
    return bool(request.args)


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        # Gateways cut texts in the middle of characters.
        return parse_qsl(raw.decode("latin-1"), keep_blank_values=True, errors="replace", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidRequest("The request has too many fields.") from None


def _withheld(error: Exception, *, max_body_bytes: int) -> ModerationError:
    """The error as one of ours, told to the log; the reply itself is a block."""
    state = current_state()
    # Logs what is a fault of ours, and knows the name of every error.
    reply = error_reply(error, request_id=state.request_id, max_body_bytes=max_body_bytes)
    kind = json.loads(reply.body)["error"]
    state.fields = {"withheld": True, "unchecked": reply.status, "error": kind["type"], "param": kind["param"]}
    log_event(_log, logging.WARNING, "gateway_withheld", request_id=state.request_id, **state.fields)
    if isinstance(error, ModerationError):
        return error
    return InternalError(kind["message"]) if reply.status >= 500 else InvalidRequest(kind["message"])


def _with_handler(routes: Blueprint, failed: object) -> Blueprint:
    # All three: for an HTTPException, such as a body over the limit, Flask asks the app's handler before this one's
    # handler of Exception.
    for kind in (ModerationError, HTTPException, Exception):
        routes.register_error_handler(kind, failed)  # type: ignore[arg-type]
    return routes


def _response(document: object, headers: Mapping[str, str] | None = None) -> Response:
    reply = json_reply(document)
    return Response(reply.body, mimetype="application/json", headers={**(headers or {})})
