"""What becomes of a reply of the chat model's server that is not the answer. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..errors import ChatModelError

__all__ = ["ChatModelRefused", "refusal_of"]

_KEY_REFUSED = (401, 403)


class ChatModelRefused(Exception):
    """The server refused in words of its own, which the caller shall read: `document`, under this HTTP status."""

    def __init__(self, http_status: int, document: Mapping[str, object], *, retry_after: str | None = None) -> None:
        super().__init__("the chat model's server refused")
        self.http_status = http_status
        self.document = document
        self.retry_after = retry_after


def refusal_of(
    status: int, headers: Mapping[str, str], body: bytes, *, has_key: bool
) -> ChatModelError | ChatModelRefused:
    """The error that this reply becomes.

    What the caller has done wrong goes through as it is. What the server or our operator has done wrong does not: not
    a failure, not a redirect, and not the refusal of a key that is ours.
    """
    retry_after = headers.get("retry-after")
    is_callers = 400 <= status < 500 and not (has_key and status in _KEY_REFUSED)
    if is_callers:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            kind = "rate_limit_error" if status == 429 else "invalid_request_error"
            message = f"The chat model's server refused the request with status {status}."
            document = {"error": {"message": message, "type": kind, "param": None, "code": "chat_model_error"}}
        return ChatModelRefused(status, document, retry_after=retry_after)
    seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
    return ChatModelError(f"The chat model's server answered with status {status}.", retry_after_s=seconds)
