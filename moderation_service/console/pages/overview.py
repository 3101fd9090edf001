"""The first page: what happened today and in the last seven days."""

from __future__ import annotations

from werkzeug.wrappers import Response

from ..page import Page, Visit

__all__ = ["page"]

page = Page("overview", title="Overview", order=10)


@page.get()
def show(visit: Visit) -> Response:
    """The figures at a glance."""
    return visit.render("overview.html")
