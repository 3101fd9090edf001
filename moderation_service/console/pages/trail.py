"""The trail: who changed what, and what was there before."""

from __future__ import annotations

from sqlalchemy import select
from werkzeug.wrappers import Response

from ...core.person import Role
from ...errors import InvalidRequest
from ...store.schema import trail
from ..page import Page, Visit, address

__all__ = ["page"]

page = Page("trail", title="Trail", order=95, role=Role.ADMIN)
_PER_PAGE = 50
_MAX_ID = 1 << 62


@page.get()
def show(visit: Visit) -> Response:
    """The newest changes, or those of one person, or of one thing."""
    asked = {name: visit.query.get(name, "") for name in ("actor", "subject")}
    wanted = [trail.c[name] == value.replace("\0", "") for name, value in asked.items() if value]
    after = visit.query.get("after", "")
    if after:
        if not (after.isascii() and after.isdecimal()):
            raise InvalidRequest("`after` must be what an earlier page ended with.", param="after")
        wanted.append(trail.c.id < min(int(after[:19]), _MAX_ID))
    statement = select(trail).where(*wanted).order_by(trail.c.id.desc()).limit(_PER_PAGE + 1)
    with visit.parts.database.read() as connection:
        rows = connection.execute(statement).all()
    older = address("trail", after=rows[_PER_PAGE - 1].id, **asked) if len(rows) > _PER_PAGE else None
    newer = address("trail", **asked) if after else None
    return visit.render("trail.html", rows=rows[:_PER_PAGE], asked=asked, older=older, newer=newer)
