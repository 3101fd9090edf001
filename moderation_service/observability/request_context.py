"""What is known of the request being handled, wherever in the service something is written down about it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["RequestContext", "request_context"]


class RequestContext(NamedTuple):
    """Who asks, by what, for whom; None where nothing is known. Of text there is nothing."""

    request_id: str | None = None
    key_name: str | None = None
    app: str | None = None
    """The name of the app that the key belongs to."""
    door: str | None = None
    """A word of the closed list in `core.app.Door`."""
    end_user: str | None = None
    """A keyed hash of the end user's id (`core.app.hash_end_user`)."""


request_context: ContextVar[RequestContext] = ContextVar("request_context", default=RequestContext())  # noqa: B039
