"""Who asks: what the records of a request's checks say of it, wherever in the program they are made."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["RequestContext", "request_context"]


class RequestContext(NamedTuple):
    """Of the request being handled.

    `app` is the name of the app that the key belongs to, `door` a word of `core.app.Door`, `end_user` the keyed hash of
    the id that the app has for the person at its end, as 32 hex digits (`core.keyed_hash`).
    """

    request_id: str | None = None
    key_name: str | None = None
    app: str | None = None
    door: str | None = None
    end_user: str | None = None


_NOBODY = RequestContext()
request_context: ContextVar[RequestContext] = ContextVar("request_context", default=_NOBODY)
"""Set for each request once its caller is known."""
