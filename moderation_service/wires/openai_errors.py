"""Errors in OpenAI's shape, for everything under `/v1/`."""

from __future__ import annotations

from ..errors import ModerationError

__all__ = ["render_error"]

_KEY_REFUSED = 401
_TOO_MUCH = 429
_OURS = 500


def render_error(error: ModerationError) -> dict[str, object]:
    """`{"error": {"message", "type", "param", "code"}}`.

    `type` is one of OpenAI's words, `code` our own name of the error, but for a refused key: clients know that one as
    `invalid_api_key`. Source: openai/openai-openapi `openapi.yaml`, schema `Error`.
    """
    if error.status >= _OURS:
        kind = "server_error"
    elif error.status == _TOO_MUCH:
        kind = "rate_limit_error"
    else:
        kind = "invalid_request_error"
    code = "invalid_api_key" if error.status == _KEY_REFUSED else error.type
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}
