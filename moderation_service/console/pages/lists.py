"""Lists: what stands in them, editing those of the database, and trying entries before they count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from ...config.list_file import parse_list, write_csv
from ...core.list_entry import Entry, Kind, Side, entry_of
from ...core.listing import Listing
from ...core.person import Role
from ...core.verdict import Action, Category, Target
from ...errors import ConfigurationError, InvalidRequest
from ..marked import marked
from ..page import Page, Visit
from ..policies_now import policies_now

if TYPE_CHECKING:
    from ...core.app import App
    from ...engines.lists import Lists
    from ...store.lists import StoredList

__all__ = ["page"]

page = Page("lists", title="Lists", order=50)
_PER_PAGE = 100
_WEEK_MS = 7 * 24 * 3_600_000
_FIELDS = ("kind", "side", "text", "exceptions", "targets", "action", "category", "reason", "expires")


@page.get()
def show(visit: Visit) -> Response:
    """All lists, and the forms to make one and to try a text."""
    return _overview(visit)


@page.post("/test", role=Role.REVIEWER)
def test(visit: Visit) -> Response:
    """Which entries stand in a text."""
    text = visit.form.get("text", "").replace("\r\n", "\n")
    if not text.strip():
        raise InvalidRequest("Write a text.", param="text")
    lists = _lists(visit)
    target = Target.RESPONSE if visit.form.get("target") == "response" else Target.PROMPT
    return _overview(visit, tried=text, found=lists.find(sorted(lists), target, text))


@page.post("/make", role=Role.ADMIN)
def make(visit: Visit) -> Response:
    """A new list in the database."""
    from ...store.lists import make_list

    name = visit.form.get("name", "").strip()
    policy, app = _counts_for(visit)
    if name in _lists(visit):
        raise InvalidRequest("There is a list of this name already.", param="name")
    with visit.parts.database.write() as connection:
        make_list(connection, name, policy=policy, app=app, actor=visit.person.name)
    return _changed(visit, name, visit.text("The list was made."))


@page.post("/<name>/attach", role=Role.ADMIN)
def attach(visit: Visit) -> Response:
    """Say for which policy or app the list counts."""
    from ...store.lists import attach_list

    name = _own_name(visit)
    policy, app = _counts_for(visit)
    with visit.parts.database.write() as connection:
        attach_list(connection, name, policy=policy, app=app, actor=visit.person.name)
    return _changed(visit, name, visit.text("Saved. It holds everywhere within seconds."))


@page.get("/<name>")
def entries(visit: Visit) -> Response:
    """The entries of a list."""
    return _entries(visit)


@page.get("/<name>/export.csv", role=Role.REVIEWER)
def export(visit: Visit) -> Response:
    """The list as a file."""
    lines = "".join(write_csv(_known(visit)))
    return visit.download(lines.encode(), name="list.csv", kind="text/csv")


@page.post("/<name>/add", role=Role.REVIEWER)
def add(visit: Visit) -> Response:
    """One more entry; with `try` what it would have hit instead."""
    from ...store.lists import add_entries

    name = _own_name(visit)
    entry = _entry(visit, name)
    if visit.form.get("try"):
        return _entries(visit, trial=_trial(visit, entry), form=dict(visit.form))
    with visit.parts.database.write() as connection:
        add_entries(connection, name, [entry], actor=visit.person.name)
    return _changed(visit, name, visit.text("The entry was added."))


@page.post("/<name>/import", role=Role.REVIEWER)
def import_text(visit: Visit) -> Response:
    """Many entries: a line each, or a CSV with its header."""
    from ...store.lists import add_entries

    name = _own_name(visit)
    text = visit.form.get("rows", "").replace("\r\n", "\n")
    is_csv = "text" in text.partition("\n")[0].split(",")
    try:
        found = parse_list(text, suffix=".csv" if is_csv else ".txt", name=name, source=visit.text("Line"))
        _check(found)
    except ConfigurationError as error:
        raise InvalidRequest(str(error), param="rows") from None
    if not found:
        raise InvalidRequest("There is no entry in it.", param="rows")
    with visit.parts.database.write() as connection:
        add_entries(connection, name, found, actor=visit.person.name)
    return _changed(visit, name, visit.text("{n} entries were added.", n=len(found)))


@page.post("/<name>/remove", role=Role.REVIEWER)
def remove(visit: Visit) -> Response:
    """One entry less."""
    from ...store.lists import remove_entry

    name = _own_name(visit)
    with visit.parts.database.write() as connection:
        remove_entry(connection, name, visit.form.get("entry", ""), actor=visit.person.name)
    return _changed(visit, name, visit.text("The entry was removed."))


@page.post("/<name>/drop", role=Role.ADMIN)
def drop(visit: Visit) -> Response:
    """The list and all its entries are gone; not of one that is named elsewhere, where the name would be a mistake."""
    from ...store.lists import remove_list

    name = _own_name(visit)
    if any(name in one.lists for one in (*policies_now(visit), *_apps(visit).values())):
        raise InvalidRequest("A policy or an app names this list; take it out there first.", param="name")
    with visit.parts.database.write() as connection:
        remove_list(connection, name, actor=visit.person.name)
    _refresh(visit)
    return visit.redirect("lists", said=visit.text("The list was removed."))


def _lists(visit: Visit) -> Lists:
    if visit.parts.lists is None:
        raise InvalidRequest("The libraries for lists are not installed.", param="lists")
    return visit.parts.lists


def _known(visit: Visit) -> list[Entry]:
    lists, name = _lists(visit), visit.arguments["name"]
    if name not in set(lists):
        _refresh(visit)
    if name not in set(lists):
        raise visit.missing()
    return list(lists[name])


def _stored(visit: Visit) -> dict[str, StoredList]:
    """The lists of the database, by name."""
    from ...store.lists import read_lists

    with visit.parts.database.read() as connection:
        return {one.name: one for one in read_lists(connection)}


def _apps(visit: Visit) -> dict[str, App]:
    """All apps by name; one of the database may have been made just now."""
    from ...store.apps import load_apps

    with visit.parts.database.read() as connection:
        stored = {one.app.name: one.app for one in load_apps(connection)}
    return stored | {one.name: one for one in visit.parts.apps()}


def _counts_for(visit: Visit) -> tuple[str | None, str | None]:
    """The policy or the app that was chosen in a form."""
    kind, _, name = visit.form.get("counts_for", "").strip().partition(":")
    if not kind:
        return None, None
    if kind == "policy" and name in visit.parts.policies:
        return name, None
    if kind == "app" and name in _apps(visit):
        return None, name
    raise InvalidRequest("There is no such policy or app.", param="counts_for")


def _choices(visit: Visit) -> list[tuple[str, str]]:
    """What a list can count for without being named there."""
    policies = [(f"policy:{one.name}", visit.text("policy {name}", name=one.name)) for one in visit.parts.policies]
    return policies + [(f"app:{name}", visit.text("app {name}", name=name)) for name in sorted(_apps(visit))]


def _own_name(visit: Visit) -> str:
    """The name of a list that can be edited here."""
    name = str(visit.arguments["name"])
    if name not in _stored(visit):
        raise visit.missing()
    return name


def _entry(visit: Visit, name: str) -> Entry:
    fields: dict[str, object] = {field: visit.form.get(field, "") for field in _FIELDS}
    if fields["side"] == Side.ALLOW.value:
        fields["action"] = ""
    entry = entry_of({**fields, "author": visit.person.name[:100]}, list_name=name)
    try:
        _check([entry])
    except ConfigurationError as error:
        raise InvalidRequest(str(error), param="text") from None
    return entry


def _check(found: Sequence[Entry]) -> None:
    from ...engines.lists import bad_entries

    for entry, reason in bad_entries(found):
        raise ConfigurationError(f"{entry.origin}: {reason}." if entry.origin else f"{reason}.")


def _trial(visit: Visit, entry: Entry) -> object:
    from ...engines import create_lists
    from ...store.list_trial import try_on_records
    from ...store.trail import now_ms

    alone = create_lists({entry.list_name: [entry]})
    found = try_on_records(
        visit.parts.database,
        lambda target, text: alone.find([entry.list_name], target, text),
        since=now_ms() - _WEEK_MS,
    )
    examples = [(one, marked(one.text, (one.hit.span.start, one.hit.span.end))) for one in found.examples]
    return {"texts": found.texts, "hits": found.hits, "examples": examples}


def _changed(visit: Visit, name: str, said: str) -> Response:
    _refresh(visit)
    return visit.redirect("lists", f"/{name}", said=said)


def _refresh(visit: Visit) -> None:
    """Have a change in this process at once; the others have it within seconds."""
    if visit.parts.refresh_lists is not None:
        visit.parts.refresh_lists()


def _overview(visit: Visit, *, tried: str = "", found: Listing | None = None) -> Response:
    lists, stored = _lists(visit), _stored(visit)
    sizes = {name: len(lists[name]) for name in sorted({*lists, *stored}) if name in set(lists)}
    hits = [] if found is None else [one for one in (found.block, found.flag, *found.allowed) if one is not None]
    return visit.render(
        "lists.html",
        sizes=sizes,
        stored=stored,
        naming=_naming(visit, sizes, stored),
        choices=_choices(visit),
        tried=tried,
        hits=[(hit, marked(tried, (hit.span.start, hit.span.end))) for hit in hits],
    )


def _naming(visit: Visit, names: Iterable[str], stored: Mapping[str, StoredList]) -> dict[str, list[str]]:
    """By list the policies and apps whose texts are compared with it."""
    found: dict[str, list[str]] = {}
    policies, apps = list(visit.parts.policies), _apps(visit)
    for name in names:
        own = stored.get(name)
        by_policy = {one.name for one in policies if name in one.lists} | {own.policy if own else None}
        by_app = {one.name for one in apps.values() if name in one.lists} | {own.app if own else None}
        found[name] = [visit.text("policy {name}", name=one) for one in sorted(filter(None, by_policy))]
        found[name] += [visit.text("app {name}", name=one) for one in sorted(filter(None, by_app))]
    return found


def _entries(visit: Visit, *, trial: object = None, form: dict[str, str] | None = None) -> Response:
    wanted = visit.query.get("q", "").strip()
    found = [one for one in _known(visit) if wanted.casefold() in f"{one.text}\n{one.reason}\n{one.id}".casefold()]
    first = visit.query.get("from", "0")
    start = int(first) if first.isascii() and first.isdecimal() and len(first) < 8 else 0
    name = visit.arguments["name"]
    own = _stored(visit).get(name)
    chosen = "" if own is None else f"policy:{own.policy}" if own.policy else f"app:{own.app}" if own.app else ""
    return visit.render(
        "list.html",
        name=name,
        is_own=own is not None,
        chosen=chosen,
        choices=_choices(visit),
        entries=found[start : start + _PER_PAGE],
        count=len(found),
        wanted=wanted,
        newer=max(0, start - _PER_PAGE) if start else None,
        older=start + _PER_PAGE if start + _PER_PAGE < len(found) else None,
        kinds=[one.value for one in Kind],
        sides=[one.value for one in Side],
        actions=[Action.BLOCK.value, Action.FLAG.value],
        targets=[one.value for one in Target],
        categories=list(Category),
        trial=trial,
        form={name: (form or {}).get(name, "") for name in _FIELDS},
    )
