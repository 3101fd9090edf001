"""The console as a Flask blueprint: who asks, whether they may, and the page that answers."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from flask import Blueprint, request
from sqlalchemy.exc import DataError, IntegrityError
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_accept_header
from werkzeug.wrappers import Request, Response

from ..core.person import Person
from ..errors import (
    Forbidden,
    HostNotAllowed,
    InvalidRequest,
    ModerationError,
    NotFound,
    Overloaded,
    StoreUnavailable,
    TooLarge,
)
from . import pages as pages_package
from .frame import Frame
from .page import ROOT, Page, Route, Visit, address
from .parts import Parts
from .security import check_form, csrf_token, own_address
from .sessions import Sessions
from .sign_in import SignIn
from .texts import choose_language

__all__ = ["all_pages", "blueprint"]

_LANGUAGE_COOKIE = "moderation_language"
_YEAR_S = 365 * 86400


def all_pages() -> Sequence[Page]:
    """The `page` of every module in `pages`."""
    modules = [
        import_module(f"{pages_package.__name__}.{one.name}") for one in pkgutil.iter_modules(pages_package.__path__)
    ]
    return [module.page for module in modules]


def blueprint(parts: Parts) -> Blueprint:
    """All routes under `/console`."""
    pages = all_pages()
    frame = Frame(pages)
    sessions = Sessions(parts)
    routes = Blueprint("console", __name__, url_prefix=ROOT, static_folder="static")
    front = _Front(parts, frame, sessions)
    _add_pages(routes, front, pages)
    for path, method, function in SignIn(parts, frame, sessions, language_of=_language).routes():
        routes.add_url_rule(
            path, f"sign_in{path.replace('/', '_')}_{method}", partial(function, request), methods=[method]
        )
    _add_errors(routes, front)
    routes.before_request(lambda: parts.check_host(request.environ))
    routes.after_request(_remember_language)
    return routes


def _add_pages(routes: Blueprint, front: _Front, pages: Sequence[Page]) -> None:
    for page in pages:
        base = "" if page.name == "overview" else f"/{page.name}"
        for number, route in enumerate(page.routes):
            routes.add_url_rule(
                base + route.path, f"{page.name}_{number}", front.handler(route), methods=[route.method]
            )


def _add_errors(routes: Blueprint, front: _Front) -> None:
    """What becomes of errors that leave a page."""

    @routes.errorhandler(ModerationError)
    def failed(error: ModerationError) -> Response:
        return front.error(error)

    @routes.errorhandler(RequestEntityTooLarge)
    def too_large(error: RequestEntityTooLarge) -> Response:
        return front.error(TooLarge("What was sent is over the service's limit (`max_body_bytes`)."))

    @routes.errorhandler(DataError)
    def unkept(error: DataError) -> Response:
        # Such as a NUL in a text, or too large a number: what PostgreSQL can't hold it can't have either.
        return front.error(InvalidRequest("The database can't hold what was sent."))

    @routes.errorhandler(IntegrityError)
    def overtaken(error: IntegrityError) -> Response:
        # Two looked, and both made the same: SQLite has them in turn, PostgreSQL refuses the second.
        return front.error(InvalidRequest("Somebody else changed the same thing at the same moment. Try again."))

    @routes.get("/<path:rest>")
    def nothing(rest: str) -> Response:
        raise NotFound("There is nothing at this address.")


def _remember_language(response: Any) -> Any:
    asked = request.args.get("lang")
    if asked == _language(request):
        response.set_cookie(_LANGUAGE_COOKIE, asked, max_age=_YEAR_S, path=ROOT, httponly=True, samesite="Lax")
    return response


class _Front:
    """What stands before every page."""

    def __init__(self, parts: Parts, frame: Frame, sessions: Sessions) -> None:
        self._parts = parts
        self._frame = frame
        self._sessions = sessions

    def handler(self, route: Route) -> Callable[..., Response]:
        """The route for people who are signed in and whose role it is for."""

        def answer(**arguments: Any) -> Response:
            secret = self._sessions.secret_of(request)
            person = self._sessions.person_of(secret)
            if secret is None or person is None:
                return self._to_sign_in()
            if not person.may(route.role):
                raise Forbidden("Your role does not allow this.")
            token = csrf_token(secret)
            if route.method != "GET":
                check_form(request, token=token)
            return route.handler(Visit(self._parts, self._frame, request, arguments, person, _language(request), token))

        return answer

    def error(self, error: ModerationError) -> Response:
        """An error as a page. Whoever asked under a wrong name is shown nothing of anybody's."""
        person: Person | None = None
        if not isinstance(error, HostNotAllowed | Overloaded | StoreUnavailable):
            with suppress(StoreUnavailable):
                person = self._sessions.person_of(self._sessions.secret_of(request))
        response = self._frame.render_error(
            request, _language(request), error, request_id=self._parts.request_id(request.environ), person=person
        )
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        return response

    def _to_sign_in(self) -> Response:
        wanted = request.full_path.rstrip("?") if request.method == "GET" else ROOT
        target = address("sign-in", next=None if own_address(wanted) == ROOT else wanted)
        if "HX-Request" in request.headers:
            # A fragment can't hold the form; htmx loads the whole page.
            return Response(status=204, headers={"HX-Redirect": address("sign-in")})
        return Response(status=303, headers={"Location": target})


def _language(asking: Request) -> str:
    accepted = parse_accept_header(asking.headers.get("Accept-Language", "")).values()
    return choose_language(asking.args.get("lang"), asking.cookies.get(_LANGUAGE_COOKIE), list(accepted))
