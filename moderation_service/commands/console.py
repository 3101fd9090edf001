"""The commands under `console`: the people who may use it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.person import Role
from ..errors import ConfigurationError
from .options import CONTEXT, load, setting_options

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..config.settings import Settings
    from ..store.database import Database

__all__ = ["console_group", "sign_in_address"]

_STORE = ("host", "port", "console_url", "data_dir")
_ROLES = click.Choice([role.value for role in Role])
_ACTOR = "command line"


@click.group("console", context_settings=CONTEXT)
def console_group() -> None:
    """The console's people. Commands work on the database that the settings name (`store`)."""


@console_group.command("link", context_settings=CONTEXT)
@setting_options(*_STORE)
def link(config_file: Path | None, **flags: object) -> None:
    """Print a link by which one person can sign in once, as an administrator, within fifteen minutes."""
    settings = load(config_file, flags).settings
    click.echo(sign_in_address(settings, _database(settings)))


@console_group.group("user", context_settings=CONTEXT)
def user_group() -> None:
    """Add, list and change the people who sign in with a password."""


@user_group.command("add", context_settings=CONTEXT)
@click.argument("name")
@click.option("--role", type=_ROLES, default=Role.VIEWER.value, show_default=True, help="What they may do.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.option("--subject", help="Who this is at the provider of `console_oidc_issuer`, instead of a password.")
@setting_options(*_STORE, "console_oidc_issuer")
def add(
    config_file: Path | None, name: str, role: str, password_stdin: bool, subject: str | None, **flags: object
) -> None:
    """Add NAME, and ask for a password."""
    from ..console.passwords import hash_password
    from ..store import people
    from ..store.trail import now_ms

    if name == people.BY_LINK:
        raise ConfigurationError(f"{name!r} stands for the link on the terminal.")
    if not people.is_person_name(name):
        raise ConfigurationError(
            f"NAME must be 1 to {people.MAX_NAME_CHARS} characters that can be printed, without spaces around."
        )
    settings = load(config_file, flags).settings
    database = _database(settings)
    if subject is None:
        how: dict[str, str] = {"password": hash_password(_password(from_stdin=password_stdin))}
    elif settings.console_oidc_issuer is None:
        raise ConfigurationError("--subject: needs `console_oidc_issuer`.")
    else:
        how = {"issuer": str(settings.console_oidc_issuer), "subject": subject}
    with database.write() as connection:
        if not people.add_person(connection, name, Role(role), now_ms=now_ms(), **how):
            raise ConfigurationError(f"There is somebody named {name!r} already.")
        _record(connection, "add", name, after={"role": role})
    click.echo(f"{name} may sign in as {role}.")


@user_group.command("list", context_settings=CONTEXT)
@setting_options(*_STORE)
def list_people(config_file: Path | None, **flags: object) -> None:
    """Print everybody who may sign in, or could once."""
    from ..console.shown import shown_time
    from ..store import people

    with _database(load(config_file, flags).settings).read() as connection:
        accounts = people.all_people(connection)
    for account in accounts:
        state = "disabled" if account.disabled_at is not None else "active"
        seen = shown_time(account.signed_in_at) if account.signed_in_at is not None else "never signed in"
        click.echo(f"{account.name:<24} {account.role.value:<10} {state:<10} {seen}")


@user_group.command("disable", context_settings=CONTEXT)
@click.argument("name")
@setting_options(*_STORE)
def disable(config_file: Path | None, name: str, **flags: object) -> None:
    """Keep NAME out, and end their sessions at once."""
    from ..store.trail import now_ms

    _change(load(config_file, flags).settings, name, "disable", disabled_at=now_ms())
    click.echo(f"{name} is out.")


@user_group.command("enable", context_settings=CONTEXT)
@click.argument("name")
@setting_options(*_STORE)
def enable(config_file: Path | None, name: str, **flags: object) -> None:
    """Let NAME in again."""
    _change(load(config_file, flags).settings, name, "enable", disabled_at=None)
    click.echo(f"{name} may sign in again.")


@user_group.command("role", context_settings=CONTEXT)
@click.argument("name")
@click.argument("role", type=_ROLES)
@setting_options(*_STORE)
def change_role(config_file: Path | None, name: str, role: str, **flags: object) -> None:
    """Give NAME another ROLE; their sessions end."""
    _change(load(config_file, flags).settings, name, "role", role=role)
    click.echo(f"{name} is {role}.")


@user_group.command("password", context_settings=CONTEXT)
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@setting_options(*_STORE)
def change_password(config_file: Path | None, name: str, password_stdin: bool, **flags: object) -> None:
    """Give NAME another password; their sessions end."""
    from ..console.passwords import hash_password

    hashed = hash_password(_password(from_stdin=password_stdin))
    _change(load(config_file, flags).settings, name, "password", password=hashed)
    click.echo(f"{name} has a new password.")


def sign_in_address(settings: Settings, database: Database) -> str:
    """The address of a link that is good for one sign-in. Raises StoreUnavailable."""
    from ..console.page import address
    from ..console.sign_in import LINK_LIFETIME_MS
    from ..server.gunicorn_app import base_url
    from ..store import people
    from ..store.trail import now_ms

    try:
        with database.write() as connection:
            secret = people.make_link(connection, Role.ADMIN, now_ms=now_ms(), lifetime_ms=LINK_LIFETIME_MS)
    finally:
        # Its file must not be open when the workers are forked.
        database.close()
    return f"{settings.console_url or base_url(settings)}{address('enter', token=secret)}"


def _database(settings: Settings) -> Database:
    from ..core.loopback import is_loopback
    from ..store.choice import store_address

    address = store_address(settings, is_local=is_loopback(settings.host))
    if address is None:
        raise ConfigurationError("store: there is no database for these settings; set MODERATION_STORE or `store`.")
    from ..store.database import Database

    return Database(address)


def _password(*, from_stdin: bool) -> str:
    from ..console.passwords import MIN_CHARS

    given = sys.stdin.readline().rstrip("\r\n") if from_stdin else click.prompt("Password", hide_input=True)
    if len(given) < MIN_CHARS:
        raise ConfigurationError(f"The password needs {MIN_CHARS} characters or more.")
    if not from_stdin and click.prompt("Once more", hide_input=True) != given:
        raise ConfigurationError("The two passwords differ.")
    return str(given)


def _change(settings: Settings, name: str, action: str, **values: object) -> None:
    from ..store import people

    with _database(settings).write() as connection:
        account = people.find_person(connection, name)
        if account is None:
            raise ConfigurationError(f"There is nobody named {name!r}.")
        people.change_person(connection, account, **values)
        changed = people.find_person(connection, name)
        _record(connection, action, name, before=account.to_json(), after=changed and changed.to_json())


def _record(connection: Connection, action: str, name: str, *, before: object = None, after: object = None) -> None:
    from ..store.trail import record

    record(connection, actor=_ACTOR, action=f"people.{action}", subject=f"people:{name}", before=before, after=after)
