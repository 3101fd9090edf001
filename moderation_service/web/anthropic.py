"""`/v1/messages`: the doors for Anthropic clients, in front of a guarded chat model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import NotFound
from ..wires.anthropic_errors import render_error
from .body import read_json
from .guarded import GuardedDoor
from .lifecycle import DirectRoute, RequestState
from .openai import headers_of
from .reply import ErrorShape, Reply, StreamedReply
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["ERROR_SHAPES", "direct_routes"]

ERROR_SHAPES: Mapping[str, ErrorShape] = {"/v1/messages": render_error}


def direct_routes(service: Service, guarded: GuardedDoor | None) -> dict[str, DirectRoute]:
    """The routes. Without a chat model there is nobody to answer: the guard itself doesn't speak this contract."""
    max_body_bytes = service.settings.max_body_bytes

    def door() -> GuardedDoor:
        if guarded is None:
            raise NotFound(
                "There is no chat model here (`chat_upstream`); the guard itself answers at other addresses."
            )
        return guarded

    def messages(environ: WSGIEnvironment, state: RequestState) -> Reply | StreamedReply:
        body = read_json(environ, max_body_bytes=max_body_bytes)
        return door().message(body, headers_of(environ), environ, state)

    def count_tokens(environ: WSGIEnvironment, state: RequestState) -> Reply | StreamedReply:
        body = read_json(environ, max_body_bytes=max_body_bytes)
        return door().count_tokens(body, headers_of(environ), environ, state)

    return {"/v1/messages": messages, "/v1/messages/count_tokens": count_tokens}
