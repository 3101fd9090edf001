"""What a page of the console is: its place in the navigation, its routes, and what a handler gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from werkzeug.wrappers import Request, Response

from ..core.person import Person, Role
from ..errors import NotFound
from .notice import Notice, keep_notice

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from .frame import Frame
    from .parts import Parts

__all__ = ["ROOT", "Handler", "Page", "Route", "Visit", "address"]

ROOT = "/console"


def address(page: str = "", path: str = "", **query: object) -> str:
    """The address of a page; `path` begins with a slash. A query's values that are None or empty are left out."""
    base = f"{ROOT}/{page}{path}" if page else ROOT
    asked = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{base}?{urlencode(asked)}" if asked else base


Handler = Callable[["Visit"], Response]
"""A route's function. What it raises as ModerationError becomes a page, or a fragment, with the error's status."""


@dataclass(frozen=True, slots=True)
class Route:
    """One address of a page. `path` is werkzeug's rule behind the page's address, such as `/<id>`."""

    path: str
    method: str
    role: Role
    handler: Handler


@dataclass(frozen=True)
class Page:
    """A page, or several that belong together, at `/console/<name>`; the overview is at `/console` itself.

    `title` is its name in the navigation, in English; `order` its place there, and None keeps it out. `role` is what
    its routes need that say nothing else.
    """

    name: str
    title: str
    order: int | None
    role: Role = Role.VIEWER
    routes: list[Route] = field(default_factory=list)

    def get(self, path: str = "", *, role: Role | None = None) -> Callable[[Handler], Handler]:
        """Add a route that shows something and changes nothing."""
        return self._route(path, "GET", role)

    def post(self, path: str = "", *, role: Role | None = None) -> Callable[[Handler], Handler]:
        """Add a route that may change something; it is reached from the console's own forms only."""
        return self._route(path, "POST", role)

    def _route(self, path: str, method: str, role: Role | None) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self.routes.append(Route(path, method, role or self.role, handler))
            return handler

        return add


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is signed in and may make it."""

    parts: Parts
    frame: Frame
    request: Request
    arguments: Mapping[str, Any]
    """What the rule of the address has found in it."""
    person: Person
    language: str
    csrf: str
    """What forms send along, so that no other site's can pass for ours."""

    @property
    def query(self) -> Mapping[str, str]:
        """What the address asks for."""
        return self.request.args

    @property
    def form(self) -> Mapping[str, str]:
        """The fields of the form that was sent."""
        return self.request.form

    @property
    def is_fragment(self) -> bool:
        """Whether htmx asks, which puts the answer into the page that it has."""
        return "HX-Request" in self.request.headers

    def text(self, text: str, **values: object) -> str:
        """A text in the visitor's language; see `texts`."""
        return self.frame.text(self.language, text, **values)

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page, or a fragment of one."""
        return self.frame.render(self, template, status=status, **values)

    def redirect(self, page: str = "", path: str = "", *, said: str = "", **query: object) -> Response:
        """Go to a page of the console with a GET; `said` is told there once, in the visitor's language already."""
        response = Response(status=303, headers={"Location": address(page, path, **query)})
        if said:
            keep_notice(response, Notice("done", said))
        return response

    def download(self, content: bytes, *, name: str, kind: str) -> Response:
        """A file to save. `name` is ours, not text from outside."""
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, mimetype=kind, headers=headers)

    def trail(
        self, connection: Connection, *, action: str, subject: str, before: object = None, after: object = None
    ) -> None:
        """Write down a change by this person, in the transaction that makes it."""
        from ..store.trail import record

        record(connection, actor=self.person.name, action=action, subject=subject, before=before, after=after)

    def missing(self) -> NotFound:
        """To be raised where the thing that an address names isn't there, or isn't for this person."""
        return NotFound("There is nothing at this address.")
