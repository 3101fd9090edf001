"""Signing in: with a name and a password, or by the link on the terminal, which is good for once."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from sqlalchemy import Connection
from werkzeug.wrappers import Request, Response

from ..core.loopback import is_loopback
from ..core.person import Person, Role
from ..errors import Forbidden, Overloaded
from ..observability.logs import log_event
from ..store import people
from ..store.trail import now_ms, record
from .frame import Frame
from .oidc import Claims, provider_of
from .page import ROOT, address
from .parts import Parts
from .passwords import is_password
from .security import check_form, csrf_token, own_address
from .sessions import Sessions

__all__ = ["LINK_LIFETIME_MS", "SignIn"]

LINK_LIFETIME_MS = 15 * 60_000
_log = logging.getLogger("moderation.console")
# Tries in `TRIES_MS`. One person's from one place; then what a guesser has who comes from many places, or tries many
# names. The wider ones are high, or a stranger could keep people out.
_TRIES_OF_BOTH, _TRIES_OF_NAME, _TRIES_FROM_PLACE = 5, 50, 100
_FORM_COOKIE = "moderation_form"
_MAX_CHARS = 1024
_PROVIDER_COOKIE = "moderation_provider"
_PROVIDER_S = 600

_Route = tuple[str, str, Callable[[Request], Response]]


class SignIn:
    """The routes that strangers may use."""

    def __init__(
        self, parts: Parts, frame: Frame, sessions: Sessions, *, language_of: Callable[[Request], str]
    ) -> None:
        self._database = parts.database
        self._provider = provider_of(parts.settings)
        self._new_role = parts.settings.console_oidc_role
        self._is_tls = urlsplit(parts.settings.console_url or "").scheme == "https"
        self._has_link = is_loopback(parts.settings.host)
        self._frame = frame
        self._sessions = sessions
        self._language_of = language_of

    def routes(self) -> Iterator[_Route]:
        """Path, method and function of each."""
        yield "/sign-in", "GET", self._show
        yield "/sign-in", "POST", self._sign_in
        yield "/enter", "GET", self._show_link
        yield "/enter", "POST", self._enter
        yield "/sign-out", "POST", self._sign_out
        if self._provider is not None:
            yield "/oidc/start", "GET", self._to_provider
            yield "/oidc/callback", "GET", self._from_provider

    def _show(self, request: Request) -> Response:
        if self._sessions.person_of(self._sessions.secret_of(request)) is not None:
            return _to(own_address(request.args.get("next")))
        return self._form(request, "sign_in.html", next=request.args.get("next", ""))

    def _show_link(self, request: Request) -> Response:
        # Only a click uses the link up: programs that look at every address they see don't.
        return self._form(request, "enter.html", token=request.args.get("token", ""))

    def _sign_in(self, request: Request) -> Response:
        self._check_form(request)
        name, password = request.form.get("name", "").strip(), request.form.get("password", "")
        if not name.isprintable() or not name or not password or max(len(name), len(password)) > _MAX_CHARS:
            return self._refused(request)
        counts = self._count(name, request.remote_addr or "")
        with self._database.read() as connection:
            account = people.find_person(connection, name)
        is_right = is_password(password, account.password if account is not None else None)
        if account is None or not is_right or account.disabled_at is not None:
            log_event(_log, logging.WARNING, "console_sign_in_refused", address=request.remote_addr)
            return self._refused(request)
        with self._database.write() as connection:
            people.forget_failures(connection, counts)
        return self._begin(request, account.person, how="password", target=request.form.get("next"))

    def _enter(self, request: Request) -> Response:
        self._check_form(request)
        with self._database.write() as connection:
            person = people.use_link(connection, request.form.get("token", ""), now_ms=now_ms())
        if person is None:
            raise Forbidden("This link was used, or is too old. `moderation-service console link` makes another one.")
        return self._begin(request, person, how="link", target=None)

    def _to_provider(self, request: Request) -> Response:
        assert self._provider is not None
        secret = secrets.token_urlsafe(32)
        response = _to(self._provider.begin(secret))
        response.set_cookie(
            _PROVIDER_COOKIE,
            secret,
            max_age=_PROVIDER_S,
            path=ROOT,
            secure=self._is_tls,
            httponly=True,
            samesite="Lax",  # it has to come along on the way back
        )
        return response

    def _from_provider(self, request: Request) -> Response:
        assert self._provider is not None
        secret = request.cookies.get(_PROVIDER_COOKIE)
        if not secret or len(secret) > _MAX_CHARS:
            raise Forbidden("This sign-in was not begun in this browser, or too long ago.")
        claims = self._provider.finish(secret, request.args)
        with self._database.write() as connection:
            account = self._account_of(connection, claims)
        if account is None:
            log_event(_log, logging.WARNING, "console_sign_in_refused", subject=claims.subject[: people.MAX_NAME_CHARS])
            raise Forbidden("The provider knows you, and this console does not. An administrator can add you.")
        if account.disabled_at is not None:
            raise Forbidden("This account is disabled.")
        response = self._begin(request, account.person, how="provider", target=None)
        response.delete_cookie(_PROVIDER_COOKIE, path=ROOT)
        return response

    def _account_of(self, connection: Connection, claims: Claims) -> people.Account | None:
        """The account of the provider's person; a new one where the settings give everybody of theirs a role."""
        known = people.find_by_subject(connection, issuer=claims.issuer, subject=claims.subject)
        if known is not None or self._new_role == "none":
            return known
        # A name that somebody else has, or the terminal, must not be taken for theirs in the trail.
        mark = hashlib.sha256(f"{claims.issuer}\n{claims.subject}".encode()).hexdigest()[:8]
        plain = claims.name[: people.MAX_NAME_CHARS]
        for name in (plain, f"{plain} ({mark})") if plain != people.BY_LINK else (f"{plain} ({mark})",):
            added = people.add_person(
                connection, name, Role(self._new_role), now_ms=now_ms(), issuer=claims.issuer, subject=claims.subject
            )
            if added:
                after = {"role": self._new_role, "by": "provider"}
                record(connection, actor=name, action="people.add", subject=f"people:{name}", after=after)
                break
        return people.find_by_subject(connection, issuer=claims.issuer, subject=claims.subject)

    def _sign_out(self, request: Request) -> Response:
        secret = self._sessions.secret_of(request)
        if secret is not None:
            check_form(request, token=csrf_token(secret))
        response = _to(address("sign-in"))
        self._sessions.end(request, response)
        return response

    def _begin(self, request: Request, person: Person, *, how: str, target: str | None) -> Response:
        response = _to(own_address(target))
        self._sessions.begin(request, response, person, how=how)
        response.delete_cookie(_FORM_COOKIE, path=ROOT)
        return response

    def _count(self, name: str, place: str) -> str:
        """Count this try, before anything is compared, and return what it is forgotten by. Raises Overloaded."""
        # Whoever has none left adds no row for yet another name.
        limits = {_key("", place): _TRIES_FROM_PLACE, _key(name): _TRIES_OF_NAME, _key(name, place): _TRIES_OF_BOTH}
        with self._database.write() as connection:
            is_over = any(
                people.count_failure(connection, key, now_ms=now_ms()) > limit for key, limit in limits.items()
            )
        if is_over:
            wait_s = people.TRIES_MS / 1000
            raise Overloaded("Too many tries to sign in. Wait a quarter of an hour.", retry_after_s=wait_s)
        return _key(name, place)

    def _refused(self, request: Request) -> Response:
        """The same answer whatever was wrong: it doesn't say which names there are."""
        return self._form(request, "sign_in.html", status=403, next=request.form.get("next", ""), is_refused=True)

    def _form(self, request: Request, template: str, *, status: int = 200, **values: object) -> Response:
        """A page with a form for strangers, bound to a cookie: another site can't sign anybody in."""
        secret = _form_secret(request) or secrets.token_urlsafe(32)
        response = self._frame.render_for_stranger(
            request,
            self._language_of(request),
            template,
            csrf=csrf_token(secret),
            status=status,
            **{"has_link": self._has_link, "has_provider": self._provider is not None, "is_refused": False, **values},
        )
        response.set_cookie(_FORM_COOKIE, secret, path=ROOT, secure=self._is_tls, httponly=True, samesite="Strict")
        return response

    def _check_form(self, request: Request) -> None:
        check_form(request, token=csrf_token(_form_secret(request) or secrets.token_urlsafe(32)))


def _form_secret(request: Request) -> str | None:
    secret = request.cookies.get(_FORM_COOKIE)
    return secret if secret and len(secret) <= _MAX_CHARS else None


def _key(name: str, place: str = "") -> str:
    return hashlib.sha256(f"{name.casefold()}\n{place}".encode("utf-8", "surrogatepass")).hexdigest()


def _to(target: str) -> Response:
    return Response(status=303, headers={"Location": target})
