"""Apps and their keys: made, changed, rotated and switched off; and the end users whom an escalation concerns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from ...config.apps_file import NAME
from ...core.app import DEFAULT_END_USER, Door
from ...core.person import Role
from ...errors import InvalidRequest
from ...store import apps, escalations
from ...store.apps import StoredApp
from ...store.lists import read_lists
from ...store.overview import Sums, overview
from ...store.trail import now_ms
from ..page import Page, Visit
from ..period import DAY_MS
from ..policies_now import policies_now

__all__ = ["page"]

page = Page("apps", title="Apps", order=50)
_DAY_S = 86_400
_MOST_DIGITS = 18
_KEEP_DAYS = (0, 1, 7, 30)
_LIMITS = ("per_second", "per_minute", "per_day", "at_once")
_LISTS = ("policies", "doors", "lists", "end_user")
_TEXTS = ("description", "policy", "expires")
_OVER = {"over_second": "second", "over_minute": "minute", "over_day": "day", "over_at_once": "at once"}


@page.get()
def show(visit: Visit) -> Response:
    """All apps, with what they asked for in a week and which limits they met."""
    now = now_ms()
    with visit.parts.database.read() as connection:
        stored = apps.load_apps(connection)
        used = overview(connection, since=now - 7 * DAY_MS, until=now + 1).apps
    refused = _refused(visit)
    rows = [(one, used.get(one.app.name, Sums()), refused.get(one.app.name, {})) for one in stored]
    known = {one.app.name for one in stored}
    in_file = [
        (one, used.get(one.name, Sums()), refused.get(one.name, {}))
        for one in visit.parts.apps()
        if one.name not in known
    ]
    return visit.render("apps.html", rows=rows, in_file=in_file, now=now, may_change=visit.person.may(Role.ADMIN))


@page.get("/new", role=Role.ADMIN)
def new(visit: Visit) -> Response:
    """The form for an app."""
    return visit.render("app_new.html", **_choices(visit))


@page.post("/new", role=Role.ADMIN)
def create(visit: Visit) -> Response:
    """Make an app; its key is on the page that comes back, and on no other."""
    name = visit.form.get("name", "").strip()
    taken = [one.name for one in visit.parts.apps()]
    content, lists = {key: value for key, value in _content(visit.form).items() if value is not None}, _lists(visit)
    with visit.parts.database.write() as connection:
        key = apps.create(
            connection,
            name,
            content,
            policies=_policies(visit),
            lists=lists,
            actor=visit.person.name,
            taken=_others(visit, taken),
        )
    return visit.render("app_key.html", name=name, key=key)


@page.get("/app/<name>")
def detail(visit: Visit) -> Response:
    """One app: what it may do, its keys, what it asked for."""
    found, now = _found(visit), now_ms()
    with visit.parts.database.read() as connection:
        week = overview(connection, since=now - 7 * DAY_MS, until=now + 1, app=found.app.name)
    return visit.render(
        "app.html",
        one=found,
        now=now,
        week=week,
        refused=_refused(visit).get(found.app.name, {}),
        may_change=visit.person.may(Role.ADMIN),
        keep_days=_KEEP_DAYS,
        **_choices(visit),
    )


@page.post("/app/<name>/change", role=Role.ADMIN)
def change(visit: Visit) -> Response:
    """Change what it may do, and how often."""
    name, changes, policies, lists = _name(visit), _content(visit.form), _policies(visit), _lists(visit)
    with visit.parts.database.write() as connection:
        apps.change(connection, name, changes, policies=policies, lists=lists, actor=visit.person.name)
    return visit.redirect("apps", f"/app/{name}", said=visit.text("Saved. It holds everywhere within seconds."))


@page.post("/app/<name>/rotate", role=Role.ADMIN)
def rotate(visit: Visit) -> Response:
    """Make a new key; the one in use goes on for as long as was chosen."""
    name, days = _name(visit), visit.form.get("keep_days", "7")
    if days not in {str(one) for one in _KEEP_DAYS}:
        raise InvalidRequest("The old key can be kept for 0, 1, 7 or 30 days.", param="keep_days")
    with visit.parts.database.write() as connection:
        key = apps.rotate(connection, name, keep_s=int(days) * _DAY_S, actor=visit.person.name)
    return visit.render("app_key.html", name=name, key=key)


@page.post("/app/<name>/revoke", role=Role.ADMIN)
def revoke(visit: Visit) -> Response:
    """End one key at once."""
    name = _name(visit)
    with visit.parts.database.write() as connection:
        apps.revoke(connection, name, visit.form.get("key", ""), actor=visit.person.name)
    return visit.redirect("apps", f"/app/{name}", said=visit.text("The key is refused everywhere within seconds."))


@page.post("/app/<name>/switch", role=Role.ADMIN)
def switch(visit: Visit) -> Response:
    """Switch an app off, or on again."""
    name, is_on = _name(visit), visit.form.get("on") == "1"
    with visit.parts.database.write() as connection:
        apps.switch(connection, name, is_on=is_on, actor=visit.person.name)
    said = "The app is let in again." if is_on else "The app is refused everywhere within seconds."
    return visit.redirect("apps", f"/app/{name}", said=visit.text(said))


@page.get("/offenders")
def offenders(visit: Visit) -> Response:
    """The end users for whom a policy's escalation began: until when, and who undid it."""
    with visit.parts.database.read() as connection:
        rows = escalations.latest(connection)
    return visit.render("offenders.html", rows=rows, now=now_ms(), may_undo=visit.person.may(Role.REVIEWER))


@page.post("/offenders/<int(max=9223372036854775807):number>/undo", role=Role.REVIEWER)
def undo(visit: Visit) -> Response:
    """End one before its time."""
    with visit.parts.database.write() as connection:
        escalations.undo(connection, visit.arguments["number"], actor=visit.person.name)
    return visit.redirect("apps", "/offenders", said=visit.text("Undone; it holds everywhere within seconds."))


def _name(visit: Visit) -> str:
    """The app's name in the address. Raises NotFound for what can be none."""
    name = str(visit.arguments["name"])
    if not NAME.fullmatch(name):
        raise visit.missing()
    return name


def _found(visit: Visit) -> StoredApp:
    with visit.parts.database.read() as connection:
        return apps.find(connection, _name(visit))


def _policies(visit: Visit) -> list[str]:
    return sorted(policy.name for policy in policies_now(visit))


def _lists(visit: Visit) -> list[str]:
    """The names of all lists; one of the database may have been made just now, elsewhere."""
    with visit.parts.database.read() as connection:
        stored = {one.name for one in read_lists(connection)}
    return sorted(stored.union(visit.parts.lists or ()))


def _others(visit: Visit, names: list[str]) -> list[str]:
    """Those of these names that are not the database's own, which says so itself."""
    with visit.parts.database.read() as connection:
        stored = {one.app.name for one in apps.load_apps(connection)}
    return [name for name in names if name not in stored]


def _choices(visit: Visit) -> dict[str, Any]:
    return {
        "policies": _policies(visit),
        "named": [(name, name) for name in _policies(visit)],
        "doors": [door.value for door in Door],
        "lists": _lists(visit),
        "places": ", ".join(DEFAULT_END_USER),
    }


def _content(form: Mapping[str, str]) -> dict[str, object]:
    """The fields of a form in the words of the apps file; None for one that was left empty."""
    found: dict[str, object] = {name: form.get(name, "").strip() or None for name in _TEXTS}
    for name in _LISTS:
        found[name] = [one.strip() for one in form.get(name, "").split(",") if one.strip()] or None
    limits = {name: form.get(name, "").strip() for name in _LIMITS}
    found["limits"] = {name: _count(text) for name, text in limits.items() if text} or None
    return found


def _count(text: str) -> int | str:
    """The number, or what was written in its place; of one that is far too long, too."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else text


def _refused(visit: Visit) -> Mapping[str, Mapping[str, int]]:
    """By app, how many requests were over which limit since the service started."""
    found: dict[str, dict[str, int]] = {}
    for (app, result), count in visit.parts.app_requests().items():
        if result in _OVER and count:
            found.setdefault(app, {})[_OVER[result]] = int(count)
    return found
