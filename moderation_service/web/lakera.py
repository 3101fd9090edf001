"""`POST /v2/guard`: Lakera's contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..wires import lakera
from .body import read_json
from .lifecycle import DirectRoute, RequestState
from .moderate import languages_of, log_fields
from .openai import reply_headers
from .reply import Reply, json_reply
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["direct_routes"]


def direct_routes(service: Service) -> dict[str, DirectRoute]:
    """The route of the contract."""
    max_body_bytes = service.settings.max_body_bytes

    def guard(environ: WSGIEnvironment, state: RequestState) -> Reply:
        body = read_json(environ, max_body_bytes=max_body_bytes)
        asked = lakera.parse(
            body,
            policies=service.policies,
            limits=service.limits.conversation,
            languages=languages_of(environ),
            judges_results=service.settings.chat_judge_tool_results,
        )
        outcomes = service.decide(asked.checks) if asked.checks else []
        state.fields = log_fields(outcomes)
        return json_reply(lakera.render(asked, outcomes), headers=reply_headers(outcomes))

    return {"/v2/guard": guard}
