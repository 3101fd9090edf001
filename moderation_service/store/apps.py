"""Apps that people manage: kept in the words of the apps file, their keys as hashes. Every change is in the trail.

A key is shown once, to whoever makes it; what is kept is its SHA-256 and its last four characters, to tell keys apart.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Row, select

from ..config.apps_file import MAX_APPS, NAME, read_app
from ..core.app import MAX_KEYS, App, AppKey, key_digest
from ..errors import InvalidRequest, NotFound
from .database import bump
from .schema import apps, keys
from .trail import now_ms, record

__all__ = [
    "SUBJECT",
    "StoredApp",
    "StoredKey",
    "change",
    "create",
    "find",
    "load_apps",
    "packed",
    "revoke",
    "rotate",
    "switch",
    "unpacked",
]

SUBJECT = "apps"
"""What is counted in `revisions` at each change."""
_HINT_CHARS = 4


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as people see it; times in milliseconds since 1970."""

    label: str
    hint: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None

    def is_valid(self, now: int) -> bool:
        """Whether it lets its holder in."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class StoredApp:
    """An app with what only people need to know of it."""

    id: int
    app: App
    content: Mapping[str, object]
    """In the words of the apps file, without keys."""
    keys: Sequence[StoredKey]
    created_at: int
    updated_at: int


def load_apps(connection: Connection) -> list[StoredApp]:
    """All apps by name, those that are switched off too."""
    by_app: dict[int, list[Row[tuple[object, ...]]]] = {}
    for key in connection.execute(select(keys).order_by(keys.c.created_at, keys.c.id)):
        by_app.setdefault(key.app_id, []).append(key)
    return [_stored(row, by_app.get(row.id, [])) for row in connection.execute(select(apps).order_by(apps.c.name))]


def packed(found: Iterable[StoredApp]) -> dict[str, str]:
    """The apps as texts by their names, with what a service needs to know of them."""
    return {
        one.app.name: json.dumps(
            {
                "content": one.content,
                "enabled": one.app.is_enabled,
                "keys": [[key.label, key.digest.hex(), key.expires] for key in one.app.keys],
            }
        )
        for one in found
    }


def unpacked(texts: Mapping[str, str]) -> list[App]:
    """The apps of such texts."""
    found = []
    for name, text in texts.items():
        told = json.loads(text)
        used = tuple(AppKey(label, bytes.fromhex(digest), 0, expires) for label, digest, expires in told["keys"])
        found.append(_app(name, told["content"], used, is_enabled=told["enabled"]))
    return found


def find(connection: Connection, name: str) -> StoredApp:
    """The app of this name. Raises NotFound."""
    found = next((one for one in load_apps(connection) if one.app.name == name), None)
    if found is None:
        raise NotFound("There is no such app in the database.")
    return found


def create(
    connection: Connection,
    name: str,
    content: Mapping[str, object],
    *,
    policies: Collection[str],
    lists: Collection[str] | None = None,
    actor: str,
    taken: Collection[str] = (),
) -> str:
    """Make an app, and return its key, which nobody can find out later.

    `policies` and `lists` are the names of those that there are; lists are not checked where None. `taken` are names
    that are used elsewhere. Raises InvalidRequest that names the field.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequest("The name of an app has up to 64 of a-z, 0-9, '-' and '_'.", param="name")
    known = {one.app.name for one in load_apps(connection)}
    if name in known or name in taken:
        raise InvalidRequest("There is an app of this name already.", param="name")
    if len(known) >= MAX_APPS:
        raise InvalidRequest(f"There may be {MAX_APPS} apps.", param="name")
    read_app(name, content, policies=policies, lists=lists)
    now = now_ms()
    values = {"name": name, "content": json.dumps(content, ensure_ascii=False), "created_at": now, "updated_at": now}
    made = connection.execute(apps.insert().values(**values)).inserted_primary_key
    assert made is not None
    key = _add_key(connection, int(made[0]), "1", now)
    _changed(connection, actor, "app.create", name, before=None, after=content)
    return key


def change(
    connection: Connection,
    name: str,
    changes: Mapping[str, object],
    *,
    policies: Collection[str],
    lists: Collection[str] | None = None,
    actor: str,
) -> None:
    """Change fields of an app; one that is None is taken out. Raises NotFound, InvalidRequest as `create` does."""
    found = find(connection, name)
    after = {key: value for key, value in {**found.content, **changes}.items() if value is not None}
    read_app(name, after, policies=policies, lists=lists)
    _update(connection, found, content=json.dumps(after, ensure_ascii=False))
    _changed(connection, actor, "app.change", name, before=found.content, after=after)


def rotate(connection: Connection, name: str, *, keep_s: float, actor: str) -> str:
    """Make a new key, and return it. The one in use ends after `keep_s`; an older one ends at once. Raises NotFound."""
    found, now = find(connection, name), now_ms()
    valid = [one for one in found.keys if one.is_valid(now)]
    for old in valid[: len(valid) - (MAX_KEYS - 1)]:
        _update_key(connection, found, old.label, revoked_at=now)
    ends = now + int(keep_s * 1000)
    for last in valid[len(valid) - (MAX_KEYS - 1) :]:
        earlier = last.expires_at is not None and last.expires_at < ends
        values = {"revoked_at": now} if keep_s <= 0 else {} if earlier else {"expires_at": ends}
        if values:
            _update_key(connection, found, last.label, **values)
    label = str(1 + max((int(one.label) for one in found.keys if one.label.isdecimal()), default=0))
    key = _add_key(connection, found.id, label, now)
    _changed(connection, actor, "app.rotate", name, before=[one.label for one in valid], after=label)
    return key


def revoke(connection: Connection, name: str, label: str, *, actor: str) -> None:
    """End a key at once. Raises NotFound."""
    found = find(connection, name)
    if label not in {one.label for one in found.keys if one.revoked_at is None}:
        raise NotFound("The app has no such key.")
    _update_key(connection, found, label, revoked_at=now_ms())
    _changed(connection, actor, "app.revoke", name, before=label, after=None)


def switch(connection: Connection, name: str, *, is_on: bool, actor: str) -> None:
    """Switch an app on or off: its keys are refused while it is off. Raises NotFound."""
    found = find(connection, name)
    if found.app.is_enabled is not is_on:
        _update(connection, found, disabled_at=None if is_on else now_ms())
        action = "app.enable" if is_on else "app.disable"
        _changed(connection, actor, action, name, before={"enabled": not is_on}, after={"enabled": is_on})


def _stored(row: Row[tuple[object, ...]], rows: Sequence[Row[tuple[object, ...]]]) -> StoredApp:
    content = json.loads(row.content)
    found = [StoredKey(key.name, key.hint, key.created_at, key.expires_at, key.revoked_at) for key in rows]
    used = tuple(
        AppKey(key.name, bytes(key.digest), 0, None if key.expires_at is None else key.expires_at / 1000)
        for key in rows
        if key.revoked_at is None
    )
    app = _app(row.name, content, used, is_enabled=row.disabled_at is None)
    return StoredApp(row.id, app, content, found, row.created_at, row.updated_at)


def _app(name: str, content: Mapping[str, object], used: tuple[AppKey, ...], *, is_enabled: bool) -> App:
    # Policies are not looked for: one that has gone refuses the app's requests, not all apps.
    return replace(read_app(name, content, policies=None), keys=used, is_enabled=is_enabled)


def _add_key(connection: Connection, app_id: int, label: str, now: int) -> str:
    key = "mod-" + secrets.token_urlsafe(32)
    values = {"app_id": app_id, "name": label, "digest": key_digest(key), "hint": key[-_HINT_CHARS:]}
    connection.execute(keys.insert().values(**values, created_at=now))
    return key


def _update(connection: Connection, found: StoredApp, **values: object) -> None:
    connection.execute(apps.update().where(apps.c.id == found.id).values(**values, updated_at=now_ms()))


def _update_key(connection: Connection, found: StoredApp, label: str, **values: object) -> None:
    wanted = (keys.c.app_id == found.id) & (keys.c.name == label)
    connection.execute(keys.update().where(wanted).values(**values))


def _changed(connection: Connection, actor: str, action: str, name: str, *, before: object, after: object) -> None:
    record(connection, actor=actor, action=action, subject=f"{SUBJECT}/{name}", before=before, after=after)
    bump(connection, SUBJECT)
