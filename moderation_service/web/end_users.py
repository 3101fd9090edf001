"""Finds out for which end user a request is, without keeping who that is.

The body says it in most contracts, so the door's own reading of the body is told of (`body.BODY_READ`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..core.app import DEFAULT_END_USER, App, read_end_user
from ..core.keyed_hash import KeyedHashes
from ..observability.request_context import request_context
from .body import BODY_READ

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["EndUsers"]


class EndUsers:
    """For services that do something with it: records, or a policy with `escalation`."""

    def __init__(self, hashes: KeyedHashes) -> None:
        self._hashes = hashes

    def expect(self, environ: WSGIEnvironment, app: App | None) -> None:
        """When the body of this request is read, look for the end user where its app says."""
        places = DEFAULT_END_USER if app is None else app.end_user
        if places:
            environ[BODY_READ] = partial(self._note, places, environ)

    def _note(self, places: Sequence[str], environ: Mapping[str, object], body: object) -> None:
        user = read_end_user(places, environ, body)
        if user is not None:
            context = request_context.get()
            scope = context.app or context.key_name or ""
            request_context.set(context._replace(end_user=self._hashes.user(scope, user).hex()))
