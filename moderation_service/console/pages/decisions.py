"""Decisions: filtered, found by an id or by a text, and one of them with all that is known of it."""

from __future__ import annotations

import enum
from typing import Any, TypeVar

from sqlalchemy import Connection
from werkzeug.wrappers import Response

from ...core.person import Role
from ...core.verdict import Category, Severity, Target
from ...errors import InvalidRequest
from ...store import records, reviews
from ...store.records import Cursor, Filter, Found
from ...store.trail import now_ms
from ..marked import marked
from ..page import Page, Visit
from ..period import Period, read_period
from ..sheet import write_sheet
from ..shown import NAMELESS

__all__ = ["filter_of", "page"]

page = Page("decisions", title="Decisions", order=20)
ACTIONS = ("allow", "flag", "block", "error")
_PER_PAGE = 50
_MOST_COUNTED = 1000
_MOST_EXPORTED = 10_000
_MAX_SEARCHED_CHARS = 200_000
_FILTERS = (
    "days",
    "action",
    "severity",
    "category",
    "target",
    "app",
    "key",
    "door",
    "engine",
    "policy",
    "degraded",
    "user",
    "text",
)

_Member = TypeVar("_Member", bound=enum.Enum)


@page.get()
def show(visit: Visit) -> Response:
    """The newest decisions that the filter lets through, or what has the id that is looked for."""
    asked = {name: visit.query.get(name, "") for name in _FILTERS}
    if "id" in visit.query:
        return _by_id(visit, visit.query["id"])
    wanted = filter_of(visit)
    after = visit.query.get("after")
    with visit.parts.database.read() as connection:
        found = records.page(connection, wanted, after=Cursor.parse(after) if after else None, size=_PER_PAGE)
        count = records.count(connection, wanted, most=_MOST_COUNTED)
        choices = _choices(visit, connection)
    values: dict[str, Any] = {**choices, "asked": asked, "rows": found.rows, "count": count, "most": _MOST_COUNTED}
    return visit.render(
        "decisions.html",
        after=str(found.after) if found.after is not None else None,
        is_first=after is None,
        is_filtered=any(asked.values()),
        period=read_period(visit.query, default=Period.WEEK),
        looked_for=None,
        **values,
    )


@page.post("/find")
def find_text(visit: Visit) -> Response:
    """Decisions on a text that was pasted: it is hashed here, for this request, and neither kept nor logged."""
    text = visit.form.get("text", "")
    if not text.strip() or len(text) > _MAX_SEARCHED_CHARS:
        raise InvalidRequest("Paste the text that was judged.", param="text")
    return visit.redirect("decisions", days=Period.QUARTER.value, text=visit.parts.hashes.text(_as_sent(text)).hex())


@page.get("/export.csv", role=Role.REVIEWER)
def export(visit: Visit) -> Response:
    """What is filtered, as a table; the newest ten thousand at most."""
    wanted, rows, after = filter_of(visit), list[Found](), None
    with visit.parts.database.read() as connection:
        while len(rows) < _MOST_EXPORTED:
            found = records.page(connection, wanted, after=after, size=1000)
            rows += found.rows
            after = found.after
            if after is None:
                break
    content = write_sheet([row.to_json() for row in rows[:_MOST_EXPORTED]])
    return visit.download(content, name="decisions.csv", kind="text/csv")


@page.get("/<identity>")
def detail(visit: Visit) -> Response:
    """One decision; its text with the span marked, if a policy kept it, for those who may read it."""
    with visit.parts.database.read() as connection:
        found = [one for one in records.find(connection, visit.arguments["identity"]) if _is(one, visit)]
        if not found:
            raise visit.missing()
        kept = records.text_of(connection, found[0].decision_id)
        is_queued = reviews.is_queued(connection, found[0].decision_id)
    may_read = visit.person.may(Role.REVIEWER)
    return visit.render(
        "decision.html",
        one=found[0],
        is_kept=kept is not None,
        may_read=may_read,
        is_queued=is_queued,
        text=marked(kept.text, found[0].span) if kept is not None and may_read else None,
        context=kept.context if kept is not None and may_read else (),
        until=kept.until if kept is not None else None,
    )


def filter_of(visit: Visit) -> Filter:
    """What an address asks for; unknown words filter nothing. Raises InvalidRequest for hashes that are none."""
    query, now = visit.query, now_ms()
    action = query.get("action", "")
    return Filter(
        since=now - read_period(query, default=Period.WEEK).ms,
        until=now + 1,
        actions=frozenset({action}) if action in ACTIONS else None,
        severity=_member(Severity, query.get("severity")),
        category=_member(Category, query.get("category")),
        target=_member(Target, query.get("target")),
        degraded={"yes": True, "no": False}.get(query.get("degraded", "")),
        user=_hash(query.get("user"), "user"),
        text=_hash(query.get("text"), "text"),
        app=_app(query.get("app")),
        key=query.get("key") or None,
        door=query.get("door") or None,
        engine=query.get("engine") or None,
        policy=query.get("policy") or None,
    )


def _by_id(visit: Visit, identity: str) -> Response:
    """All decisions of this decision id or request id, wherever in time they are."""
    with visit.parts.database.read() as connection:
        rows = records.find(connection, identity)
    if len(rows) == 1:
        return visit.redirect("decisions", f"/{rows[0].decision_id}")
    return visit.render("decisions.html", rows=rows, after=None, is_first=True, looked_for=identity)


def _choices(visit: Visit, connection: Connection) -> dict[str, object]:
    """What a filter has to choose from."""
    return {
        "periods": list(Period),
        "actions": ACTIONS,
        "severities": [one.value for one in Severity],
        "targets": [one.value for one in Target],
        "categories": list(Category),
        "policies": sorted({policy.name for policy in visit.parts.policies}),
        "apps": [*records.choices(connection, "app"), NAMELESS],
        "doors": records.choices(connection, "door"),
        "engines": records.choices(connection, "engine"),
    }


def _is(one: Found, visit: Visit) -> bool:
    return bool(one.decision_id == visit.arguments["identity"])


def _member(kind: type[_Member], value: str | None) -> _Member | None:
    return next((one for one in kind if one.value == value), None)


def _app(asked: str | None) -> str | None:
    return "" if asked == NAMELESS else asked or None


def _hash(text: str | None, param: str) -> bytes | None:
    if not text:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidRequest("This is no hash.", param=param) from None


def _as_sent(text: str) -> str:
    """A browser sends the ends of lines as CR LF, whatever they were; what was judged had the plain ones."""
    return text.replace("\r\n", "\n")
