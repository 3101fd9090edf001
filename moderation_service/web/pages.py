"""`GET /`: a small page to try the service. `GET /openapi.json`: the API's description, which `GET /docs` draws."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from flask import Blueprint, Response

from .. import __version__
from .console import has_console
from .service import Service

__all__ = ["blueprint", "openapi_document"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{images}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY.format(images=""),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TO_CONSOLE = b'<a href="console" data-text="console">Console</a>'
# Swagger UI's arrows are in its style sheet, as `data:`.
_DOCS_HEADERS = {**_PAGE_HEADERS, "Content-Security-Policy": _POLICY.format(images=" data:")}


def blueprint(service: Service) -> Blueprint:
    """The routes for people; pages only when `pages` is on."""
    routes = Blueprint("pages", __name__)

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return Response(_openapi_json(), mimetype="application/json")

    if service.settings.pages:
        page = files(__package__).joinpath("static/index.html").read_bytes()
        page = page.replace(b"<!-- console -->", _TO_CONSOLE if has_console(service) else b"")

        @routes.get("/")
        def index() -> Response:
            return Response(page, mimetype="text/html", headers=_PAGE_HEADERS)

        drawn = files(__package__).joinpath("static/docs.html").read_bytes()

        @routes.get("/docs")
        def docs() -> Response:
            return Response(drawn, mimetype="text/html", headers=_DOCS_HEADERS)

    return routes


@cache
def _openapi_json() -> str:
    """Made when somebody asks: no start waits for it."""
    return json.dumps(openapi_document(), ensure_ascii=False)


@cache
def openapi_document() -> dict[str, Any]:
    """The OpenAPI document that the package carries, with this version in it."""
    text = files(__package__).joinpath("openapi.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    document["info"]["version"] = __version__
    return document
