"""External authorisation of proxies (Envoy's `ext_authz` over HTTP, forward-auth): pure parse and render.

The proxy asks with the client's own request, under `/authz`, and lets it through on 200 only. What is asked in it is
judged; the answer never comes here. A refusal goes to the client as it is, so it has the shape of the client's
contract, which the address tells.

Source: envoyproxy/envoy `api/envoy/extensions/filters/http/ext_authz/v3/ext_authz.proto`; apache/apisix
`apisix/plugins/forward-auth.lua`; doc.traefik.io, ForwardAuth.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.conversation import Limits
from ..core.moderator import Check, Outcome
from ..core.policy import Policy
from ..core.verdict import Decision
from ..errors import ModerationError, PromptBlocked
from .gateway_decisions import deciding
from .gateway_requests import questions_in, request_conversations
from .openai_errors import render_error

__all__ = ["BODILESS", "decide", "parse", "shown_error"]

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})
"""The methods whose requests need no body; there is nothing to judge in one without."""

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def parse(
    body: object, *, policy: Policy, limits: Limits, languages: Sequence[str] = (), judges_results: bool = False
) -> Sequence[Check]:
    """The checks of a client's request. Raises InvalidRequest or TooLarge for one that can't be judged."""
    questions = questions_in(body, limits=limits)
    conversations = request_conversations(body, questions, policy=policy, limits=limits, judges_results=judges_results)
    return [Check(one, policy, languages=languages) for one in conversations]


def decide(outcomes: Sequence[Outcome]) -> Decision | None:
    """The decision that lets the request through; None if nothing was judged. Raises PromptBlocked, or a failure."""
    decision = deciding(outcomes)
    if decision is not None and not decision.allowed:
        raise PromptBlocked(decision.message or "Blocked.", param="messages")
    return decision


def shown_error(error: ModerationError, *, address: str) -> dict[str, object]:
    """The error document for the client of the address that it had asked for."""
    if address.partition("?")[0].rstrip("/").endswith("/messages"):
        kind = _ANTHROPIC_TYPES.get(403 if isinstance(error, PromptBlocked) else error.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}}
    return render_error(error)
