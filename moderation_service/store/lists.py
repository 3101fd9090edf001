"""Lists that people keep in the database, and edit while the service runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from ..core.list_entry import Entry, entry_of, fields_of, is_list_name
from ..core.listing import Attached
from ..errors import InvalidRequest
from .database import Database, bump, revision_of
from .schema import list_entries, lists
from .trail import now_ms, record

__all__ = [
    "EditedLists",
    "StoredList",
    "add_entries",
    "attach_list",
    "entries_of",
    "lists_revision",
    "make_list",
    "read_lists",
    "remove_entry",
    "remove_list",
]

_SUBJECT = "lists"
_CONTENTS = (
    select(lists.c.name, list_entries.c.content)
    .join(lists, lists.c.id == list_entries.c.list_id)
    .order_by(list_entries.c.id)
)


@dataclass(frozen=True, slots=True)
class StoredList:
    """A list in the database; it counts for the texts of `policy` or of `app` without being named there."""

    name: str
    policy: str | None
    app: str | None
    size: int


def read_lists(connection: Connection) -> list[StoredList]:
    """All lists, by name."""
    size = select(func.count()).where(list_entries.c.list_id == lists.c.id).scalar_subquery()
    wanted = select(lists.c.name, lists.c.policy, lists.c.app, size.label("size")).order_by(lists.c.name)
    return [StoredList(row.name, row.policy, row.app, row.size) for row in connection.execute(wanted)]


class EditedLists:
    """Reads all lists anew; entries that are as they were are the same objects as before."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[str, str], Entry] = {}

    def __call__(self) -> tuple[dict[str, list[Entry]], Attached]:
        """The entries of every list, and the lists that count without being named."""
        known: dict[tuple[str, str], Entry] = {}
        found: dict[str, list[Entry]] = {}
        policies: dict[str, list[str]] = {}
        apps: dict[str, list[str]] = {}
        with self._database.read() as connection:
            for one in read_lists(connection):
                found[one.name] = []
                if one.policy is not None:
                    policies.setdefault(one.policy, []).append(one.name)
                if one.app is not None:
                    apps.setdefault(one.app, []).append(one.name)
            for name, content in connection.execute(_CONTENTS):
                entry = self._known.get((name, content)) or entry_of(json.loads(content), list_name=name)
                known[name, content] = entry
                found[name].append(entry)
        self._known = known
        return found, Attached(policies, apps)


def lists_revision(database: Database) -> int:
    """A number that is another one after every change."""
    with database.read() as connection:
        return revision_of(connection, _SUBJECT)


def entries_of(connection: Connection, name: str) -> list[Entry]:
    """The entries of a list, oldest first."""
    rows = connection.execute(_CONTENTS.where(lists.c.name == name))
    return [entry_of(json.loads(row.content), list_name=name) for row in rows]


def make_list(
    connection: Connection, name: str, *, policy: str | None = None, app: str | None = None, actor: str
) -> None:
    """Make a list, which counts for this policy or this app. Raises InvalidRequest for a name that is taken or none."""
    if not is_list_name(name):
        raise InvalidRequest("A list's name has up to 64 of a-z, 0-9, '-' and '_'.", param="name")
    if _id_of(connection, name) is not None:
        raise InvalidRequest("There is a list of this name already.", param="name")
    counts_for = _counts_for(policy, app)
    connection.execute(lists.insert().values(name=name, **counts_for, created_at=now_ms()))
    record(connection, actor=actor, action="list.make", subject=f"lists/{name}", after=counts_for)
    bump(connection, _SUBJECT)


def attach_list(connection: Connection, name: str, *, policy: str | None, app: str | None, actor: str) -> None:
    """Say anew for which policy or app a list counts; for none, where both are None. Raises InvalidRequest."""
    identity, counts_for = _known(connection, name), _counts_for(policy, app)
    before = connection.execute(select(lists.c.policy, lists.c.app).where(lists.c.id == identity)).one()
    if before._asdict() == counts_for:
        return
    connection.execute(lists.update().where(lists.c.id == identity).values(**counts_for))
    subject = f"lists/{name}"
    record(connection, actor=actor, action="list.attach", subject=subject, before=before._asdict(), after=counts_for)
    bump(connection, _SUBJECT)


def remove_list(connection: Connection, name: str, *, actor: str) -> None:
    """Remove a list with its entries. Raises InvalidRequest where there is none."""
    before = {"entries": [fields_of(entry) for entry in entries_of(connection, name)[:100]]}
    identity = _known(connection, name)
    connection.execute(delete(list_entries).where(list_entries.c.list_id == identity))
    connection.execute(delete(lists).where(lists.c.id == identity))
    record(connection, actor=actor, action="list.remove", subject=f"lists/{name}", before=before)
    bump(connection, _SUBJECT)


def add_entries(connection: Connection, name: str, entries: Sequence[Entry], *, actor: str) -> None:
    """Add entries; those whose id is there already take its place. Raises InvalidRequest where there is no list."""
    identity = _known(connection, name)
    before: list[object] = []
    for part in _parts([entry.id for entry in entries]):
        mine = (list_entries.c.list_id == identity) & list_entries.c.entry.in_(part)
        before += [json.loads(one) for one in connection.execute(select(list_entries.c.content).where(mine)).scalars()]
        connection.execute(delete(list_entries).where(mine))
    now = now_ms()
    rows = [
        {"list_id": identity, "entry": entry.id, "content": _content(entry), "created_at": now} for entry in entries
    ]
    if rows:
        connection.execute(list_entries.insert(), rows)
    # Of an import its size is enough: the entries themselves are in the list.
    few = len(entries) <= 20
    after: object = [json.loads(_content(entry)) for entry in entries] if few else {"entries": len(entries)}
    changed: object = (before or None) if few else {"entries": len(before)}
    record(connection, actor=actor, action="list_entry.add", subject=f"lists/{name}", before=changed, after=after)
    bump(connection, _SUBJECT)


def remove_entry(connection: Connection, name: str, entry: str, *, actor: str) -> None:
    """Remove an entry. Raises InvalidRequest where there is none."""
    mine = (list_entries.c.list_id == _known(connection, name)) & (list_entries.c.entry == entry)
    content = connection.execute(select(list_entries.c.content).where(mine)).scalar_one_or_none()
    if content is None:
        raise InvalidRequest("There is no such entry.", param="entry")
    connection.execute(delete(list_entries).where(mine))
    before = json.loads(content)
    record(connection, actor=actor, action="list_entry.remove", subject=f"lists/{name}#{entry}", before=before)
    bump(connection, _SUBJECT)


def _counts_for(policy: str | None, app: str | None) -> dict[str, str | None]:
    if policy is not None and app is not None:
        raise InvalidRequest("A list counts for a policy or for an app, not for both.", param="app")
    return {"policy": policy, "app": app}


def _content(entry: Entry) -> str:
    return json.dumps({name: text for name, text in fields_of(entry).items() if text}, ensure_ascii=False)


def _id_of(connection: Connection, name: str) -> int | None:
    found: int | None = connection.execute(select(lists.c.id).where(lists.c.name == name)).scalar_one_or_none()
    return found


def _known(connection: Connection, name: str) -> int:
    identity = _id_of(connection, name)
    if identity is None:
        raise InvalidRequest("There is no such list in the database.", param="list")
    return identity


def _parts(values: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    return (values[at : at + size] for at in range(0, len(values), size))
