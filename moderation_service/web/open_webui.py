"""`/owui/...`: a filter server for Open WebUI, which is set up as a connection and needs no code there.

`/owui` is for the default policy, `/owui/NAME` for the one of that name.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from ..core.moderator import Outcome
from ..core.verdict import Decision
from ..errors import ModerationError, NotFound
from ..observability.logs import log_event
from ..wires import open_webui
from ..wires.open_webui import Hook, reason_phrase
from ..wires.unchecked import unchecked_message
from .body import read_json
from .lifecycle import current_state
from .moderate import log_fields
from .reply import Reply, error_reply, json_reply
from .service import Service

__all__ = ["OUTLET_FACTOR", "blueprint"]

_log = logging.getLogger("moderation.web")
_FORBIDDEN = 403
_OURS = 500
OUTLET_FACTOR = 4
"""An outlet call has every answer of the chat twice, as content and as output. It must not be over the limit when the
inlet call of the same chat was not: what can't be read can't be replaced, and Open WebUI lets it pass."""


def blueprint(service: Service) -> Blueprint:
    """The routes of the filter server."""
    routes = Blueprint("open_webui", __name__, url_prefix="/owui")
    server = _FilterServer(service)
    for prefix, defaults in (("", {"policy": None}), ("/<policy>", {})):
        for method, path, view in (
            ("GET", "/models", server.models),
            ("GET", "/pipelines", server.pipelines),
            ("GET", "/<name>/valves", server.valves),
            ("GET", "/<name>/valves/spec", server.valves_spec),
            ("POST", "/<name>/filter/inlet", server.inlet),
            ("POST", "/<name>/filter/outlet", server.outlet),
        ):
            routes.add_url_rule(prefix + path, view.__name__, view, methods=[method], defaults=defaults)
    # All three: for an HTTPException, such as a body over the limit, Flask asks the app's handler before this one's
    # handler of Exception.
    for kind in (ModerationError, HTTPException, Exception):
        routes.register_error_handler(kind, server.failed)
    return routes


class _FilterServer:
    """The views; `policy` is the one in the address, None without."""

    def __init__(self, service: Service) -> None:
        self._service = service
        limit = service.settings.max_body_bytes
        self._limits = {Hook.INLET: limit, Hook.OUTLET: limit * OUTLET_FACTOR}

    def models(self, policy: str | None) -> Response:
        return _response(json_reply(open_webui.render_models(self._service.policies, policy)))

    def pipelines(self, policy: str | None) -> Response:
        return _response(json_reply(open_webui.render_pipelines(self._service.policies, policy)))

    def valves(self, policy: str | None, name: str) -> Response:
        _check_name(policy, name)
        return _response(json_reply({}))

    def valves_spec(self, policy: str | None, name: str) -> Response:
        _check_name(policy, name)
        return _response(json_reply({"type": "object", "properties": {}}))

    def inlet(self, policy: str | None, name: str) -> Response:
        body, blocked, headers = self._judge(Hook.INLET, policy, name)
        return _body(body, headers) if blocked is None else _refusal(_FORBIDDEN, blocked, headers)

    def outlet(self, policy: str | None, name: str) -> Response:
        body, blocked, headers = self._judge(Hook.OUTLET, policy, name)
        return _body(body if blocked is None else open_webui.replace_answer(body, blocked), headers)

    def _judge(
        self, hook: Hook, policy: str | None, name: str
    ) -> tuple[Mapping[str, object], str | None, Mapping[str, str]]:
        """The body, the message if it is blocked, and the headers. Raises what kept a text from its verdict."""
        _check_name(policy, name)
        g.open_webui_envelope = read_json(request.environ, max_body_bytes=self._limits[hook])
        asked = open_webui.parse(hook, g.open_webui_envelope, policies=self._service.policies, policy=policy)
        outcomes = self._service.decide(asked.checks) if asked.checks else []
        current_state().fields = log_fields(outcomes)
        blocked = _blocked(outcomes)
        if blocked is None:
            for outcome in outcomes:
                if isinstance(outcome, ModerationError):
                    raise outcome
        return asked.body, blocked, _headers(outcomes)

    def failed(self, error: Exception) -> Response:
        """The answer to everything raised on these routes, and to a wrong key."""
        endpoint = (request.endpoint or "").rpartition(".")[2]
        hook = Hook(endpoint) if endpoint in [one.value for one in Hook] else None
        limit = self._limits[hook or Hook.INLET]
        # Logs what is a fault of ours, and knows the name of every error.
        reply = error_reply(error, request_id=current_state().request_id, max_body_bytes=limit, shape=_shape)
        if hook is Hook.OUTLET:
            return _withhold(reply, max_body_bytes=limit)
        return _with_phrase(reply) if hook is Hook.INLET else _response(reply)


def _check_name(policy: str | None, name: str) -> None:
    if name != open_webui.filter_id(policy):
        raise NotFound("There is no filter of this name here.")


def _blocked(outcomes: Sequence[Outcome]) -> str | None:
    """The message of the first block among the outcomes; one is enough."""
    return next((one.message or "Blocked" for one in outcomes if isinstance(one, Decision) and not one.allowed), None)


def _shape(error: ModerationError) -> object:
    """`detail` is what Open WebUI would show if it read the bodies of errors, as it means to."""
    return {"detail": error.message, "error": error.to_json()}


def _withhold(reply: Reply, *, max_body_bytes: int) -> Response:
    """The answer replaced, because Open WebUI takes an error for a pass; the error if there is no body to give back."""
    state = current_state()
    try:
        # Keys are checked before the body is read. It is bounded like any other, and only given back.
        envelope = g.get("open_webui_envelope") or read_json(request.environ, max_body_bytes=max_body_bytes)
        body = envelope["body"] if isinstance(envelope, Mapping) else None
    except (ModerationError, HTTPException, KeyError):
        body = None
    state.fields = {"withheld": isinstance(body, Mapping), "unchecked": reply.status}
    log_event(_log, logging.WARNING, "open_webui_withheld", request_id=state.request_id, **state.fields)
    if not isinstance(body, Mapping):
        return _with_phrase(reply)
    return _body(open_webui.replace_answer(body, unchecked_message(open_webui.languages_of(body))), {})


def _with_phrase(reply: Reply) -> Response:
    """An error of the inlet: what was wrong with the call in our words, what went wrong with us in the user's."""
    document = json.loads(reply.body)
    envelope = g.get("open_webui_envelope")
    body = envelope.get("body") if isinstance(envelope, Mapping) else None
    ours = reply.status >= _OURS
    message = unchecked_message(open_webui.languages_of(body)) if ours else document["detail"]
    return _refusal(reply.status, message, {**reply.headers}, error=document["error"])


def _refusal(status: int, message: str, headers: Mapping[str, str], **more: object) -> Response:
    reply = json_reply({"detail": message, **more}, status=status, headers=headers)
    response = _response(reply)
    response.status = f"{status} {reason_phrase(message)}"
    return response


def _body(body: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    # In ASCII: what was sent may have half a surrogate pair somewhere, and must go back all the same.
    return _response(Reply(200, json.dumps(body, separators=(",", ":")).encode(), headers))


def _headers(outcomes: Sequence[Outcome]) -> dict[str, str]:
    decisions = [one for one in outcomes if isinstance(one, Decision)]
    strictest = max((one.action for one in decisions), key=lambda action: action.rank, default=None)
    degraded = str(any(one.degraded for one in decisions)).lower()
    action = {"X-Moderation-Action": strictest.value} if strictest else {}
    return {"X-Moderation-Degraded": degraded, **action}


def _response(reply: Reply) -> Response:
    return Response(reply.body, status=reply.status, mimetype="application/json", headers=dict(reply.headers))
