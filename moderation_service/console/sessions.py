"""Who is signed in: a random secret in a cookie, and all else in the store."""

from __future__ import annotations

from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

from ..core.person import Person
from ..core.session_cookie import COOKIES, marked_secret, secret_in
from ..store import people
from ..store.trail import now_ms, record
from .page import ROOT
from .parts import Parts

__all__ = ["Sessions"]

_MS_PER_HOUR = 3_600_000


class Sessions:
    """Begins, finds and ends the sessions of one service's console."""

    def __init__(self, parts: Parts) -> None:
        self._database = parts.database
        self._hashes = parts.hashes
        self._lifetime_ms = round(parts.settings.console_session_hours * _MS_PER_HOUR)
        self._is_tls = parts.settings.console_url is not None and urlsplit(parts.settings.console_url).scheme == "https"
        self._name = COOKIES[self._is_tls]
        self._path = "/" if self._is_tls else ROOT

    def secret_of(self, request: Request) -> str | None:
        """The secret in the cookie, if it was made here."""
        return secret_in(self._hashes, request.cookies.get(self._name))

    def person_of(self, secret: str | None) -> Person | None:
        """Who is signed in with this secret now. Raises StoreUnavailable."""
        if secret is None:
            return None
        with self._database.read() as connection:
            return people.find_session(connection, secret, now_ms=now_ms())

    def begin(self, request: Request, response: Response, person: Person, *, how: str) -> None:
        """Sign somebody in, under a new secret whatever the browser had before; that session ends."""
        old = self.secret_of(request)
        with self._database.write() as connection:
            if old is not None:
                people.end_session(connection, old)
            secret = people.begin_session(connection, person, now_ms=now_ms(), lifetime_ms=self._lifetime_ms)
            record(connection, actor=person.name, action="sign_in", subject=f"people:{person.name}", after={"by": how})
        response.set_cookie(
            self._name,
            marked_secret(self._hashes, secret),
            max_age=self._lifetime_ms // 1000,
            path=self._path,
            secure=self._is_tls,
            httponly=True,
            # Not Strict: browsers leave that out when somebody comes back from a provider's page.
            samesite="Lax",
        )

    def end(self, request: Request, response: Response) -> None:
        """Sign out: the secret is worth nothing any more, wherever it may have been copied to."""
        secret = self.secret_of(request)
        if secret is not None:
            with self._database.write() as connection:
                people.end_session(connection, secret)
        response.delete_cookie(self._name, path=self._path, secure=self._is_tls, httponly=True, samesite="Lax")
