"""How pages look: templates, texts, the navigation around them, and errors as pages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode, urlsplit

import jinja2
from werkzeug.wrappers import Request, Response

from .. import __version__
from ..core.person import Person, Role
from ..errors import ModerationError
from .notice import forget_notice, read_notice
from .page import ROOT, Page, Visit, address
from .security import HEADERS, own_address
from .shown import FILTERS, NAMELESS
from .texts import LANGUAGES, translator

__all__ = ["Frame"]

_TITLES = {
    400: "That can't be done",
    403: "Not allowed",
    404: "Not found",
    409: "Changed by somebody else",
    413: "Too large",
    429: "Too many at once",
    503: "Not available now",
}


class Frame:
    """The templates of the console, with the pages that are in its navigation."""

    def __init__(self, pages: Sequence[Page]) -> None:
        in_navigation = [page for page in pages if page.order is not None]
        self._pages = sorted(in_navigation, key=lambda page: page.order or 0)
        self._templates = _templates()

    def text(self, language: str, text: str, **values: object) -> str:
        """A text in this language."""
        return translator(language)(text, **values)

    def render(self, visit: Visit, template: str, *, status: int = 200, **values: object) -> Response:
        """A page for somebody who is signed in, or a fragment of one."""
        context = self._context(visit.request, visit.language, visit.csrf, visit.person)
        return self._respond(visit.request, template, status, {**context, "visit": visit, **values})

    def render_for_stranger(
        self, request: Request, language: str, template: str, *, csrf: str, status: int = 200, **values: object
    ) -> Response:
        """A page for somebody who isn't signed in."""
        return self._respond(request, template, status, {**self._context(request, language, csrf, None), **values})

    def render_error(
        self, request: Request, language: str, error: ModerationError, *, request_id: str, person: Person | None
    ) -> Response:
        """What became of a request that failed: a page, or a fragment where htmx puts the answer into one."""
        title = _TITLES.get(error.status, "Something went wrong")
        is_fragment = "HX-Request" in request.headers
        values = {"title": title, "message": error.message, "status": error.status, "request_id": request_id}
        values["back"] = _came_from(request)
        template = "error_fragment.html" if is_fragment else "error.html"
        context = self._context(request, language, "", person)
        return self._respond(request, template, error.status, {**context, **values})

    def _context(self, request: Request, language: str, csrf: str, person: Person | None) -> dict[str, object]:
        return {
            "_": translator(language),
            "language": language,
            "csrf": csrf,
            "person": person,
            "notice": read_notice(request),
            "pages": [page for page in self._pages if person is not None and person.may(page.role)],
            "here": request.path.removeprefix(ROOT).strip("/").partition("/")[0],
            "same_page_in": lambda other: _in_language(request, other),
        }

    def _respond(self, request: Request, template: str, status: int, context: Mapping[str, Any]) -> Response:
        body = self._templates.get_template(template).render(context)
        response = Response(body, status=status, mimetype="text/html", headers=HEADERS)
        response.headers["Content-Language"] = "zh-CN" if context["language"] == "zh" else "en"
        if context["notice"] is not None and "HX-Request" not in request.headers:
            forget_notice(response)
        return response


@cache
def _templates() -> jinja2.Environment:
    """The templates, which are compiled once for all apps of a process."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("moderation_service.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(address=address, roles=Role, static=static_address)
    made.globals.update(version=__version__, languages=LANGUAGES, nameless=NAMELESS)
    made.filters.update(FILTERS)
    return made


def _in_language(request: Request, language: str) -> str:
    """The address of what is shown, in another language. What a form has sent can't be asked for again: the console."""
    path = request.path if request.method == "GET" else ROOT
    asked = [(name, value) for name, value in request.args.items(multi=True) if name != "lang"]
    return f"{path}?{urlencode([*asked, ('lang', language)])}"


def _came_from(request: Request) -> str | None:
    """The page of the console whose form or link led here, if it can be gone back to."""
    try:
        came = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return None
    address = f"{came.path}?{came.query}" if came.query else came.path
    is_page = came.netloc == request.host and own_address(address) == address and came.path != request.path
    return address if is_page else None


@cache
def static_address(name: str) -> str:
    """The address of a file that browsers may keep: it changes with the content."""
    content = files(__package__).joinpath("static", name).read_bytes()
    return f"{ROOT}/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
