"""Which door an address belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.app import Door

__all__ = ["door_of"]

_ADDRESSES: Mapping[str, Door] = {
    "/": Door.ALIBABA,
    "/moderate": Door.MODERATE,
    "/moderate/stream": Door.MODERATE,
    "/v1/moderations": Door.MODERATIONS,
    "/v1/chat/completions": Door.CHAT,
    "/v1/completions": Door.CHAT,
    "/v1/responses": Door.RESPONSES,
    "/v1/messages": Door.MESSAGES,
    "/v1/messages/count_tokens": Door.MESSAGES,
    "/v1/embeddings": Door.EMBEDDINGS,
    "/beta/litellm_basic_guardrail_api": Door.LITELLM,
    "/dify/moderation": Door.DIFY,
    "/v2/guard": Door.LAKERA,
    "/contentsafety/text:analyze": Door.AZURE,
    "/request": Door.AGENTGATEWAY,
    "/response": Door.AGENTGATEWAY,
    "/portkey": Door.PORTKEY,
    "/authz": Door.EXT_AUTHZ,
    "/appeals": Door.APPEALS,
    "/metrics": Door.METRICS,
}
_PREFIXES: Mapping[str, Door] = {
    "/appeals/": Door.APPEALS,
    "/owui/": Door.OPEN_WEBUI,
    "/guardrail/": Door.BEDROCK,
    "/api/v1/text/": Door.DETECTORS,
    "/v1/audio/": Door.MEDIA,
    "/v1/images/": Door.MEDIA,
    "/authz/": Door.EXT_AUTHZ,
    "/rewards/": Door.REWARDS,
}


def door_of(path: str) -> Door | None:
    """The door of an address; None for one that is open to all callers, such as the list of models."""
    door = _ADDRESSES.get(path)
    if door is not None:
        return door
    return next((found for prefix, found in _PREFIXES.items() if path.startswith(prefix)), None)
