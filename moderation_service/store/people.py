"""The console's people, their sessions, and what stands between a guesser and a password.

Functions on a connection, so that a change and its line in the trail are one transaction. Of everything that opens a
door (session, link) only a hash is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, case, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ..core.person import Person, Role
from .database import insert_new
from .schema import people, sessions, sign_in_failures, sign_in_links

__all__ = [
    "BY_LINK",
    "MAX_NAME_CHARS",
    "TRIES_MS",
    "Account",
    "add_person",
    "all_people",
    "begin_session",
    "change_person",
    "count_failure",
    "end_session",
    "end_sessions_of",
    "find_account",
    "find_by_subject",
    "find_person",
    "find_session",
    "forget_failures",
    "hold_administrators",
    "is_person_name",
    "make_link",
    "use_link",
]

BY_LINK = "terminal"
"""Who came by the link on the terminal, in the trail."""
MAX_NAME_CHARS = 64
TRIES_MS = 15 * 60_000
"""How long tries to sign in are counted together."""
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may sign in: with a password, or as `subject` of an OpenID Connect provider."""

    id: int
    name: str
    role: Role
    password: str | None
    issuer: str | None
    subject: str | None
    created_at: int
    signed_in_at: int | None
    disabled_at: int | None

    @property
    def person(self) -> Person:
        """Who that is once signed in."""
        return Person(self.name, self.role, self.id)

    def to_json(self) -> dict[str, object]:
        """What the trail keeps of it: never the password's hash."""
        return {"role": self.role.value, "disabled": self.disabled_at is not None}


def is_person_name(name: str) -> bool:
    """Whether somebody may have this name: 1 to 64 characters that can be printed, without spaces around."""
    return 0 < len(name) <= MAX_NAME_CHARS and name.isprintable() and name == name.strip() and name != BY_LINK


def find_account(connection: Connection, number: int) -> Account | None:
    """The account of this number."""
    return _account(connection.execute(select(people).where(people.c.id == number)).first())


def find_person(connection: Connection, name: str) -> Account | None:
    """The account of this name."""
    return _account(connection.execute(select(people).where(people.c.name == name)).first())


def find_by_subject(connection: Connection, *, issuer: str, subject: str) -> Account | None:
    """The account that a provider's person has."""
    wanted = (people.c.issuer == issuer) & (people.c.subject == subject)
    return _account(connection.execute(select(people).where(wanted)).first())


def all_people(connection: Connection) -> Sequence[Account]:
    """Every account, by name."""
    rows = connection.execute(select(people).order_by(people.c.name))
    return [account for row in rows if (account := _account(row)) is not None]


def hold_administrators(connection: Connection) -> set[int]:
    """The administrators who may sign in, who stay what they are for the rest of this transaction but by itself.

    Of two who keep each other out at the same moment, the second finds that it is none any more.
    """
    may = (people.c.role == Role.ADMIN.value) & people.c.disabled_at.is_(None)
    # In one order, so that two transactions don't wait for each other. SQLite has one writer at a time anyway.
    held = select(people.c.id).where(may).order_by(people.c.id).with_for_update()
    return set(connection.execute(held).scalars())


def add_person(
    connection: Connection,
    name: str,
    role: Role,
    *,
    now_ms: int,
    password: str | None = None,
    issuer: str | None = None,
    subject: str | None = None,
) -> bool:
    """Add an account; False when the name, or the provider's person, has one."""
    values = {
        "name": name,
        "role": role.value,
        "password": password,
        "issuer": issuer,
        "subject": subject,
        "created_at": now_ms,
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(people).values(values))
    except IntegrityError:
        return False
    return True


def change_person(connection: Connection, account: Account, **values: object) -> None:
    """Change columns of an account. Its sessions end: none may outlive the role or password that it was begun with.

    Nor may a link of theirs that was not used yet.
    """
    connection.execute(update(people).where(people.c.id == account.id).values(values))
    connection.execute(delete(sign_in_links).where(sign_in_links.c.person_id == account.id))
    end_sessions_of(connection, account)


def begin_session(connection: Connection, person: Person, *, now_ms: int, lifetime_ms: int) -> str:
    """Begin a session, and return the secret that its cookie holds."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    values = {
        "digest": _digest(secret),
        "person_id": person.id,
        "role": person.role.value,
        "created_at": now_ms,
        "expires_at": now_ms + lifetime_ms,
    }
    connection.execute(insert(sessions).values(values))
    if person.id is not None:
        connection.execute(update(people).where(people.c.id == person.id).values(signed_in_at=now_ms))
    return secret


def find_session(connection: Connection, secret: str, *, now_ms: int) -> Person | None:
    """Who holds this secret, with the role that they have now; None for a session that is over, or disabled people."""
    found = (
        select(sessions.c.role, sessions.c.person_id, people.c.name, people.c.role, people.c.disabled_at)
        .select_from(sessions.outerjoin(people, sessions.c.person_id == people.c.id))
        .where(sessions.c.digest == _digest(secret), sessions.c.expires_at > now_ms)
    )
    row = connection.execute(found).first()
    if row is None:
        return None
    role, person_id, name, role_now, disabled_at = row
    if person_id is None:
        return Person(BY_LINK, Role(role))
    return None if name is None or disabled_at is not None else Person(name, Role(role_now), person_id)


def end_session(connection: Connection, secret: str) -> None:
    """End a session, if there is one."""
    connection.execute(delete(sessions).where(sessions.c.digest == _digest(secret)))


def end_sessions_of(connection: Connection, account: Account) -> None:
    """End all of somebody's sessions."""
    connection.execute(delete(sessions).where(sessions.c.person_id == account.id))


def make_link(
    connection: Connection, role: Role, *, now_ms: int, lifetime_ms: int, account: Account | None = None
) -> str:
    """The secret of a link by which one can sign in once: as this person, or as somebody without an account.

    An earlier link of this person is good no more: it may have gone to somebody else.
    """
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    person_id = None if account is None else account.id
    if person_id is not None:
        connection.execute(delete(sign_in_links).where(sign_in_links.c.person_id == person_id))
    expires_at = now_ms + lifetime_ms
    values = {"digest": _digest(secret), "role": role.value, "expires_at": expires_at, "person_id": person_id}
    connection.execute(insert(sign_in_links).values(values))
    return secret


def use_link(connection: Connection, secret: str, *, now_ms: int) -> Person | None:
    """Whom a link lets in, which it does once."""
    ours = sign_in_links.c.digest == _digest(secret)
    row = connection.execute(select(sign_in_links).where(ours)).first()
    # Whoever deletes the row has used the link: of two at the same time one finds nothing to delete.
    if row is None or connection.execute(delete(sign_in_links).where(ours)).rowcount != 1:
        return None
    if row.expires_at <= now_ms:
        return None
    if row.person_id is None:
        return Person(BY_LINK, Role(row.role))
    account = find_account(connection, row.person_id)
    return None if account is None or account.disabled_at is not None else account.person


def count_failure(connection: Connection, key: str, *, now_ms: int) -> int:
    """Count one more try, and return how many that makes; a window begins with its first."""
    table, is_over = sign_in_failures, sign_in_failures.c.since <= now_ms - TRIES_MS
    insert_new(connection, table, [{"key": key, "since": now_ms, "count": 0}], unless=["key"])
    counted = (
        update(table)
        .where(table.c.key == key)
        .values(count=case((is_over, 1), else_=table.c.count + 1), since=case((is_over, now_ms), else_=table.c.since))
        .returning(table.c.count)
    )
    return int(connection.execute(counted).scalar_one())


def forget_failures(connection: Connection, key: str) -> None:
    """The right password was given."""
    connection.execute(delete(sign_in_failures).where(sign_in_failures.c.key == key))


def _digest(secret: str) -> bytes:
    # The secrets are long and random, so a plain hash is enough.
    return hashlib.sha256(secret.encode()).digest()


def _account(row: Row[Any] | None) -> Account | None:
    return None if row is None else Account(**{**row._mapping, "role": Role(row.role)})
