"""The commands under `apps`: apps, their keys and repeat offenders in the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import click

from .options import CONTEXT, load
from .stored import (
    ACTOR,
    app_names_in_file,
    list_names,
    moment_text,
    opened_database,
    policy_names,
    store_config_option,
)

if TYPE_CHECKING:
    from ..store.apps import StoredApp

__all__ = ["apps_group"]

_NAME = click.argument("name")
_DAY_S = 86_400
# A limit that is taken out.
_NO_LIMIT = "none"


@click.group("apps", context_settings=CONTEXT)
def apps_group() -> None:
    """Apps in the database, their keys and limits; see docs/apps.md. Running services follow within seconds."""


def _fields(command: Callable[..., None]) -> Callable[..., None]:
    """The options for what an app may do."""
    for option in reversed(
        (
            click.option("--description", help="For people."),
            click.option("--policy", help="Policy of requests that name none."),
            click.option("--policies", help="Policies that it may name, separated by commas."),
            click.option("--doors", help="Doors that it may use, separated by commas."),
            click.option("--lists", help="Lists for its texts, whatever the policy, separated by commas."),
            click.option("--end-user", help="Where its requests name the end user, separated by commas."),
            click.option("--expires", help="Day or moment from which on its keys are refused."),
        )
    ):
        command = option(command)
    return command


def _limits(command: Callable[..., None]) -> Callable[..., None]:
    for name in ("at-once", "per-day", "per-minute", "per-second"):
        command = click.option(f"--{name}", help="Requests; `none` for as many as it likes.")(command)
    return command


@apps_group.command("create", context_settings=CONTEXT)
@_NAME
@store_config_option
@_fields
@_limits
def create_command(name: str, config_file: Path | None, **given: str | None) -> None:
    """Make an app and show its key, once."""
    from ..store import apps

    settings = load(config_file, {}).settings
    with opened_database(settings) as database, database.write() as connection:
        key = apps.create(
            connection,
            name,
            {key: value for key, value in _content(given, {}).items() if value is not None},
            policies=policy_names(settings),
            lists=None if given.get("lists") is None else list_names(settings, connection),
            actor=ACTOR,
            taken=app_names_in_file(settings),
        )
    click.echo(f"The key of {name!r} is shown only now; the services let it in within seconds:", err=True)
    click.echo(key)


@apps_group.command("list", context_settings=CONTEXT)
@store_config_option
def list_command(config_file: Path | None) -> None:
    """Show all apps, with how many keys let somebody in."""
    from ..store import apps

    with opened_database(load(config_file, {}).settings) as database, database.read() as connection:
        found, now = apps.load_apps(connection), int(time() * 1000)
    for one in found:
        keys = sum(key.is_valid(now) for key in one.keys)
        state = "on" if one.app.is_enabled else "off"
        shown = f"{one.app.name:24} {state:4} {keys} key{'s' if keys != 1 else ' '}  {one.app.description}"
        click.echo(shown.rstrip())


@apps_group.command("show", context_settings=CONTEXT)
@_NAME
@store_config_option
def show_command(name: str, config_file: Path | None) -> None:
    """Show an app as JSON, without its keys."""
    from ..store import apps

    with opened_database(load(config_file, {}).settings) as database, database.read() as connection:
        click.echo(json.dumps(_document(apps.find(connection, name)), ensure_ascii=False, indent=2))


@apps_group.command("rotate", context_settings=CONTEXT)
@_NAME
@store_config_option
@click.option("--keep-days", type=click.FloatRange(0, 365), default=7, show_default=True, help="For the key in use.")
def rotate_command(name: str, config_file: Path | None, keep_days: float) -> None:
    """Make a new key and show it, once. The one in use goes on for a while."""
    from ..store import apps

    with opened_database(load(config_file, {}).settings) as database, database.write() as connection:
        key = apps.rotate(connection, name, keep_s=keep_days * _DAY_S, actor=ACTOR)
    click.echo(f"The new key of {name!r} is shown only now; the old one ends in {keep_days:g} days:", err=True)
    click.echo(key)


@apps_group.command("revoke", context_settings=CONTEXT)
@_NAME
@click.argument("key_name")
@store_config_option
def revoke_command(name: str, key_name: str, config_file: Path | None) -> None:
    """End one key of an app at once; `show` has the names of the keys."""
    from ..store import apps

    with opened_database(load(config_file, {}).settings) as database, database.write() as connection:
        apps.revoke(connection, name, key_name, actor=ACTOR)


@apps_group.command("disable", context_settings=CONTEXT)
@_NAME
@store_config_option
def disable_command(name: str, config_file: Path | None) -> None:
    """Refuse all keys of an app, until `enable`."""
    _switch(config_file, name, is_on=False)


@apps_group.command("enable", context_settings=CONTEXT)
@_NAME
@store_config_option
def enable_command(name: str, config_file: Path | None) -> None:
    """Let the keys of an app in again."""
    _switch(config_file, name, is_on=True)


@apps_group.command("change", context_settings=CONTEXT)
@_NAME
@store_config_option
@_fields
def change_command(name: str, config_file: Path | None, **given: str | None) -> None:
    """Change what an app may do; an empty text takes a field out."""
    _change(config_file, name, given)


@apps_group.command("limits", context_settings=CONTEXT)
@_NAME
@store_config_option
@_limits
def limits_command(name: str, config_file: Path | None, **given: str | None) -> None:
    """Change how many requests an app may make; what isn't named stays."""
    _change(config_file, name, given)


@apps_group.command("offenders", context_settings=CONTEXT)
@store_config_option
def offenders_command(config_file: Path | None) -> None:
    """Show the end users for whom an `escalation` began, the newest first."""
    from ..store import escalations

    with opened_database(load(config_file, {}).settings) as database, database.read() as connection:
        found, now = escalations.latest(connection), int(time() * 1000)
    for one in found:
        state = "undone" if one.undone_at is not None else "running" if one.is_running(now) else "over"
        who = f"{one.app or '-':20} {one.policy:16} {one.action.value:5}"
        click.echo(f"{one.id:6} {state:7} {who} until {moment_text(one.until)}  {one.end_user}")


@apps_group.command("pardon", context_settings=CONTEXT)
@click.argument("number", type=int)
@store_config_option
def pardon_command(number: int, config_file: Path | None) -> None:
    """End an escalation before its time; `offenders` has the numbers."""
    from ..store import escalations

    with opened_database(load(config_file, {}).settings) as database, database.write() as connection:
        escalations.undo(connection, number, actor=ACTOR)


def _switch(config_file: Path | None, name: str, *, is_on: bool) -> None:
    from ..store import apps

    with opened_database(load(config_file, {}).settings) as database, database.write() as connection:
        apps.switch(connection, name, is_on=is_on, actor=ACTOR)


def _change(config_file: Path | None, name: str, given: dict[str, str | None]) -> None:
    from ..store import apps

    settings = load(config_file, {}).settings
    with opened_database(settings) as database, database.write() as connection:
        before = apps.find(connection, name).content
        lists = None if given.get("lists") is None else list_names(settings, connection)
        content = _content(given, before)
        apps.change(connection, name, content, policies=policy_names(settings), lists=lists, actor=ACTOR)


def _content(given: dict[str, str | None], before: Any) -> dict[str, object]:
    """What was given in the words of the apps file; None for what is to be taken out."""
    found: dict[str, object] = {}
    for name in ("description", "policy", "expires"):
        if (value := given.get(name)) is not None:
            found[name] = value or None
    for name in ("policies", "doors", "lists", "end_user"):
        if (value := given.get(name)) is not None:
            found[name] = [one.strip() for one in value.split(",") if one.strip()] or None
    limits = dict(before.get("limits") or {})
    for name in ("per_second", "per_minute", "per_day", "at_once"):
        value = given.get(name)
        if value == _NO_LIMIT:
            limits.pop(name, None)
        elif value is not None:
            limits[name] = int(value) if value.isdecimal() else value
    if limits != (before.get("limits") or {}):
        found["limits"] = limits or None
    return found


def _document(found: StoredApp) -> dict[str, object]:
    keys = [
        {
            "name": key.label,
            "ends_with": key.hint,
            "created": moment_text(key.created_at),
            "expires": None if key.expires_at is None else moment_text(key.expires_at),
            "revoked": None if key.revoked_at is None else moment_text(key.revoked_at),
        }
        for key in found.keys
    ]
    return {"name": found.app.name, "enabled": found.app.is_enabled, **found.content, "keys": keys}
