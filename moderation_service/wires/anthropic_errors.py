"""Errors in Anthropic's shape, for everything under `/v1/messages`."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ModerationError

__all__ = ["dress", "render_error"]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def render_error(error: ModerationError) -> dict[str, object]:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}`; the id is put in by the caller.

    A conversation that shall go on by a `thread` gets the details by which the SDKs send it whole instead. Source:
    anthropics/anthropic-sdk-python `types/shared/error_response.py`, `types/thread_unsupported_request_error.py`.
    """
    told: dict[str, object] = {"type": _type_of(error.status), "message": error.message}
    if error.param == "thread":
        told["details"] = {"error_code": "thread_unsupported_request"}
    return {"type": "error", "error": told, "request_id": None}


def dress(document: Mapping[str, object], status: int, *, request_id: str) -> dict[str, object]:
    """A refusal of a model's server in this shape, whatever its own is."""
    error = document.get("error")
    found = error if isinstance(error, Mapping) else document
    message = found.get("message") or found.get("detail")
    told = message if isinstance(message, str) else f"The chat model's server refused with status {status}."
    return {"type": "error", "error": {"type": _type_of(status), "message": told}, "request_id": request_id}


def _type_of(status: int) -> str:
    return _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
