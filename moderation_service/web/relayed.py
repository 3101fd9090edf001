"""`POST /moderate/stream`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..wires import native_stream
from .body import read_json
from .lifecycle import DirectRoute, RequestState
from .moderate import languages_of
from .reply import Reply, json_reply
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["direct_routes"]


def direct_routes(service: Service) -> dict[str, DirectRoute]:
    """The route for answers that others relay."""
    max_body_bytes = service.settings.max_body_bytes

    def stream(environ: WSGIEnvironment, state: RequestState) -> Reply:
        body = read_json(environ, max_body_bytes=max_body_bytes)
        asked = native_stream.parse(
            body, policies=service.policies, limits=service.limits, languages=languages_of(environ)
        )
        found = service.relay.check(asked)
        state.fields = {
            "target": "response",
            "safety": found.severity and found.severity.value,
            "action": found.action.value,
            "policy": asked.policy.name,
            "engine": found.engine,
            "degraded": found.degraded,
            "safe_up_to": found.safe_up_to,
            "final": asked.is_final,
        }
        headers = {"X-Moderation-Degraded": str(found.degraded).lower()}
        return json_reply(native_stream.render(asked.call_id, found), headers=headers)

    return {"/moderate/stream": stream}
