"""Policies that people keep in the database: as they were written, with every earlier version and who wrote it.

A policy that is built in, or stands in the policies file, is not kept here. Nothing is taken that the reader of the
file would refuse, or that leaves another policy or an app without what it names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Row, func, select

from ..config.policy_text import MAX_POLICIES, stored_policies
from ..core.app import App
from ..core.policy import Policies, Policy
from ..core.policy_diff import differences, flat_rules
from ..core.prepared_answer import PreparedAnswer
from ..errors import ConfigurationError, HasChanged, InvalidRequest, NotFound
from .apps import load_apps
from .database import bump
from .lists import read_lists
from .schema import policies
from .trail import now_ms, record

__all__ = [
    "SUBJECT",
    "StoredPolicy",
    "drop",
    "find",
    "history",
    "load_policies",
    "named_by",
    "put",
    "texts_of",
]

SUBJECT = "policies"
"""What is counted in `revisions` at each change."""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """One version of a policy: the `number`-th change of this name. `at` is in milliseconds since 1970."""

    name: str
    number: int
    text: str | None
    """None where it was dropped."""
    version: str | None
    """Of what it said when it was written (`Policy.version`); what it extends may have changed since then."""
    at: int
    actor: str


def load_policies(connection: Connection) -> list[StoredPolicy]:
    """What is kept now, by name."""
    return [one for one in _latest(connection).values() if one.text is not None]


def texts_of(connection: Connection) -> dict[str, str]:
    """What is kept now: the text of each policy."""
    return _texts(_latest(connection))


def find(connection: Connection, name: str) -> StoredPolicy:
    """The policy of this name as it is kept now. Raises NotFound."""
    found = _latest(connection).get(name)
    if found is None or found.text is None:
        raise NotFound(f"There is no policy {name!r} in the database.")
    return found


def history(connection: Connection, name: str) -> list[StoredPolicy]:
    """All versions of the policies that had this name, the newest first."""
    wanted = select(policies).where(policies.c.name == name.replace("\0", "")).order_by(policies.c.number.desc())
    return [_stored(row) for row in connection.execute(wanted)]


def put(
    connection: Connection,
    texts: Mapping[str, str],
    *,
    of_file: Policies,
    lists: Collection[str] | None,
    actor: str,
    over: int | None = None,
    place: str | None = None,
) -> list[str]:
    """Keep these texts as the policies of these names, and return the names of those that have changed by it.

    `of_file` are the policies that are built in or stand in the file, `lists` the names of all lists. With `over` each
    must still be at this number; 0 for one that is not there. `place` is what complaints call a text.

    Raises InvalidRequest with the line, HasChanged.
    """
    known = _held(connection)
    now = _texts(known)
    for name in texts:
        if name in of_file:
            raise InvalidRequest(f"The policy {name!r} is built in, or in the policies file.", param="name")
        _require(known.get(name), name, over)
    after = {**now, **texts}
    if len(after) > max(len(now), MAX_POLICIES):
        raise InvalidRequest(f"There may be {MAX_POLICIES} policies in the database.", param="name")
    written = {name: place or f"policy {name}" for name in texts}
    try:
        resolved = stored_policies(after, of_file, written=written, lists=lists)
    except ConfigurationError as error:
        raise InvalidRequest(str(error), param="text") from None
    changed = [name for name in texts if texts[name] != now.get(name)]
    before = _said(now, of_file)
    for name in changed:
        _add(connection, known.get(name), name, texts[name], before.get(name), resolved[name], actor)
    return changed


def drop(
    connection: Connection,
    names: Collection[str],
    *,
    of_file: Policies,
    named: Mapping[str, str],
    actor: str,
    over: int | None = None,
) -> None:
    """Keep the policies of these names no longer; their versions stay readable.

    `named` says of names that settings or files need what needs them. Raises NotFound, HasChanged, and InvalidRequest
    where something else needs one of them.
    """
    known = _held(connection)
    now = _texts(known)
    for name in names:
        if name not in now:
            raise NotFound(f"There is no policy {name!r} in the database.")
        _require(known[name], name, over)
    needed = {**_needed(connection), **named}
    for name in names:
        # One of the file goes before it: whatever names it means that one.
        if name in needed and name not in of_file:
            raise InvalidRequest(f"The policy {name!r} is needed: {needed[name]}.", param="name")
    try:
        stored_policies({name: text for name, text in now.items() if name not in names}, of_file)
    except ConfigurationError as error:
        raise InvalidRequest(f"Without it something would be wrong: {error}", param="name") from None
    before = _said(now, of_file)
    for name in names:
        _add(connection, known[name], name, None, before.get(name), None, actor)


def named_by(default: str, apps: Iterable[App], answers: Iterable[PreparedAnswer]) -> dict[str, str]:
    """By the name of a policy what of the settings and their files names it."""
    found = {name: "a prepared answer is for it" for one in answers for name in one.policies}
    for app in apps:
        found |= _named_by_app(app)
    return {**found, default: "it is `default_policy`"}


def _latest(connection: Connection) -> dict[str, StoredPolicy]:
    newest = select(policies.c.name, func.max(policies.c.number).label("number")).group_by(policies.c.name).subquery()
    wanted = select(policies).join(newest, (policies.c.name == newest.c.name) & (policies.c.number == newest.c.number))
    rows = connection.execute(wanted.order_by(policies.c.name))
    return {row.name: _stored(row) for row in rows}


def _held(connection: Connection) -> dict[str, StoredPolicy]:
    """What is kept, which nobody else can change before this transaction ends: its first step takes the counter."""
    bump(connection, SUBJECT)
    return _latest(connection)


def _texts(known: Mapping[str, StoredPolicy]) -> dict[str, str]:
    return {name: one.text for name, one in known.items() if one.text is not None}


def _require(found: StoredPolicy | None, name: str, over: int | None) -> None:
    number = 0 if found is None or found.text is None else found.number
    if over is None or over == number:
        return
    if found is None:
        raise HasChanged(f"There is no policy {name!r}.", param="name")
    if not over:
        raise HasChanged(f"There is a policy {name!r} already.", param="name")
    by = f"{found.actor} has {'dropped' if found.text is None else 'changed'} it"
    raise HasChanged(f"The policy {name!r} has changed meanwhile: {by} (change {found.number}).", param="number")


def _needed(connection: Connection) -> dict[str, str]:
    """By the name of a policy what of the database names it."""
    found: dict[str, str] = {}
    for one in read_lists(connection):
        if one.policy is not None:
            found[one.policy] = f"the list {one.name!r} counts for it"
    for stored in load_apps(connection):
        found |= _named_by_app(stored.app)
    return found


def _named_by_app(app: App) -> dict[str, str]:
    names = {*(app.policies or ()), *([app.policy] if app.policy else ())}
    return dict.fromkeys(names, f"the app {app.name!r} names it")


def _said(texts: Mapping[str, str], of_file: Policies) -> Mapping[str, Policy]:
    """What they said before a change, for the trail; nothing where a change of the file has made them unreadable."""
    try:
        return stored_policies(texts, of_file)
    except ConfigurationError:
        return {}


def _add(
    connection: Connection,
    earlier: StoredPolicy | None,
    name: str,
    text: str | None,
    before: Policy | None,
    after: Policy | None,
    actor: str,
) -> None:
    """Add a version, and write down the rules that are others now."""
    number = 1 if earlier is None else earlier.number + 1
    version = None if after is None else after.version
    row = {"name": name, "number": number, "text": text, "version": version, "at": now_ms(), "actor": actor[:200]}
    connection.execute(policies.insert().values(row))
    is_new = earlier is None or earlier.text is None
    action = "policy.drop" if text is None else "policy.create" if is_new else "policy.change"
    was = None if is_new else {"version": earlier and earlier.version, **_rules(before, after)}
    became = None if after is None else {"version": version, **_rules(after, before)}
    record(connection, actor=actor, action=action, subject=f"{SUBJECT}/{name}", before=was, after=became)


def _rules(policy: Policy | None, other: Policy | None) -> dict[str, str]:
    """The rules of a policy that the other one has otherwise; all of them where there is none."""
    if policy is None:
        return {}
    rules = dict(flat_rules(policy))
    if other is None:
        return {place: rules[place] for place in rules if place not in ("name", "version")}
    return {one.place: rules[one.place] for one in differences(policy, other) if one.place in rules}


def _stored(row: Row[tuple[object, ...]]) -> StoredPolicy:
    return StoredPolicy(row.name, row.number, row.text, row.version, row.at, row.actor)
