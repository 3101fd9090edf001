"""What is known of a request from its head: whether it needs a thread, and how much of its body is read.

The server asks this before it spends anything on a request. The answer itself is the app's in any case, which is called
from another place, and with an empty body where that will do: shapes, ids, metrics and log lines stay in one place.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from ..config.settings import Settings
from ..core.session_cookie import has_session_cookie
from ..errors import HostNotAllowed
from .api_keys import identify_caller
from .hosts import AllowedHosts
from .lifecycle import CONSOLE, KEY_NAME, KEYED_BY_BODY, OPEN_ENDPOINTS
from .open_webui import OUTLET_FACTOR
from .readiness import Readiness
from .service import Service
from .withholding import key_in_form

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["Entry", "Place", "Triage"]

_CONSOLE_FILES = f"{CONSOLE}static"
_METRICS, _READY, _OUTLET = "health.metrics", "health.readyz", "open_webui.outlet"
# The callers of these take an error for a pass: what a wrong key is answered depends on the body (web/dify,
# web/open_webui). More of it than this is not read of a stranger.
_REFUSED_BY_BODY = frozenset({"dify.moderation", _OUTLET})
_STRANGERS_BODY_BYTES = 64 * 1024
# Its model's server, and the check under way with what it waits by.
_CALLS_PER_CHAT = 4


class Place(enum.Enum):
    """Where a request is answered."""

    HERE = "here"
    """By the thread that read it: it takes no time."""
    ASIDE = "aside"
    """Beside the threads: it takes some time, and must be answered whatever they do."""
    THREAD = "thread"
    """By one of the threads: it is an authorised caller's, and may take long."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said of a request: the place, and how many bytes of the body are waited for; a larger one is refused.

    `is_keyed_by_body`: the head has no key, the body may have one. `Triage.judge_body` is to be asked when it is there.
    """

    place: Place
    body_bytes: int = 0
    is_keyed_by_body: bool = False


_HERE, _ASIDE = Entry(Place.HERE), Entry(Place.ASIDE)
_HERE_WITH_BODY = Entry(Place.HERE, _STRANGERS_BODY_BYTES)
_STRANGERS_FORM = Entry(Place.THREAD, _STRANGERS_BODY_BYTES)
_KEYED_BY_BODY = Entry(Place.HERE, _STRANGERS_BODY_BYTES, is_keyed_by_body=True)


class Triage:
    """Says of each request to one app where it is answered.

    `direct` are the paths of the direct routes, `addresses` all of them. `tidy` takes slashes too many
    out of a path, as the app does before it answers.
    """

    def __init__(
        self,
        service: Service,
        *,
        hosts: AllowedHosts,
        direct: Collection[str],
        addresses: Map,
        tidy: Callable[[str], str],
        readiness: Readiness,
    ) -> None:
        self.settings: Settings = service.settings
        self._keys = service.keys
        self._store = service.store
        self._following = service.following
        self._hashes = service.hashes
        self._live_lists = service.live_lists
        self._webhooks = service.webhooks
        self._hosts = hosts
        self._direct = frozenset(direct)
        self._addresses = addresses.bind("localhost")
        self._tidy = tidy
        self._readiness = readiness
        self._open = OPEN_ENDPOINTS | ({_METRICS} if service.settings.open_metrics else frozenset())
        limit = service.settings.max_body_bytes
        self._judged = Entry(Place.THREAD, limit)
        self._outlet = Entry(Place.THREAD, limit * OUTLET_FACTOR)

    def open(self) -> None:
        """Begin to keep up to date what is answered without asking; once per process."""
        self._readiness.watch()
        if self._store is not None:
            self._store.open()
        if self._following is not None:
            self._following.open()
        if self._live_lists is not None:
            self._live_lists.open()
        if self._webhooks is not None:
            self._webhooks.open()

    def close(self, *, within_s: float) -> None:
        """Write down what is not written yet; before the process ends."""
        if self._following is not None:
            self._following.close(within_s)
        if self._live_lists is not None:
            self._live_lists.close()
        if self._store is not None:
            self._store.close(within_s)

    def calls_at_once(self) -> int:
        """How many calls to model servers this process may have under way: each needs a file descriptor."""
        settings = self.settings
        chats = settings.chat_max_streams * _CALLS_PER_CHAT if settings.chat_upstream is not None else 0
        streams = settings.stream_concurrency if settings.stream_upstream is not None else 0
        return max(settings.threads, settings.upstream_concurrency) + chats + streams

    def judge(self, environ: WSGIEnvironment) -> Entry:
        """What becomes of a request with this head; leaves the name of its key in the environment."""
        is_admitted = self._is_admitted(environ)
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if method == "POST" and path in self._direct:
            return self._judged if is_admitted else _HERE
        try:
            endpoint, _ = self._addresses.match(self._tidy(path), method)
        except HTTPException:  # no such address, or not by this method
            return _HERE
        if endpoint.startswith(CONSOLE):
            return self._of_console(environ, endpoint, method)
        if endpoint in self._open or is_admitted:
            return self._entry(endpoint)
        if endpoint in KEYED_BY_BODY:
            return _KEYED_BY_BODY
        return _HERE_WITH_BODY if endpoint in _REFUSED_BY_BODY else _HERE

    def judge_body(self, environ: WSGIEnvironment, body: Sequence[bytes]) -> Entry:
        """What becomes of a request whose key may be in its body, now that it is there."""
        name = self._keys.identify(key_in_form(b"".join(body)) or "")
        if name is None:
            return _HERE_WITH_BODY
        environ[KEY_NAME] = name
        return self._judged

    def _is_admitted(self, environ: WSGIEnvironment) -> bool:
        try:
            self._hosts.check(environ)
        except HostNotAllowed:
            return False
        if not self._keys:
            return True
        name = identify_caller(environ, self._keys, passes_keys_on=self.settings.chat_forward_authorization)
        if name is not None:
            environ[KEY_NAME] = name
        return name is not None

    def _of_console(self, environ: WSGIEnvironment, endpoint: str, method: str) -> Entry:
        """People sign in with small forms; larger ones are read of those who have a session's cookie."""
        if endpoint == _CONSOLE_FILES:
            return _HERE
        if method == "POST" and has_session_cookie(self._hashes, environ.get("HTTP_COOKIE", "")):
            return self._judged
        return _STRANGERS_FORM

    def _entry(self, endpoint: str) -> Entry:
        if endpoint == _METRICS or (endpoint == _READY and not self._readiness.is_known):
            return _ASIDE
        if endpoint in OPEN_ENDPOINTS:
            return _HERE
        return self._outlet if endpoint == _OUTLET else self._judged
