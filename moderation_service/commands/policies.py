"""The commands under `policies`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.policy import BUILT_IN
from ..errors import InvalidRequest, NotFound
from .options import CONTEXT, load, setting_options
from .stored import (
    ACTOR,
    MOMENT,
    all_policies,
    list_names,
    moment_text,
    open_database,
    opened_database,
    store_config_option,
)

if TYPE_CHECKING:
    from ..config.settings import Settings
    from ..core.policy import Policies, Policy

__all__ = ["policies_group"]

_NAMES_HELP = "A policy is named as in a request, or as FILE:NAME to take it from another policy file."


@click.group("policies", context_settings=CONTEXT)
def policies_group() -> None:
    """Work with policy files and policies in the database, and try policies on what was recorded."""


@policies_group.command("check", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Read a policy FILE as `serve` would and say what it defines, or what is wrong and where."""
    from ..config.policy_file import load_policies

    found = load_policies(file, default="balanced")
    for policy in found:
        origin = "built in" if BUILT_IN.get(policy.name) == policy else "from the file"
        click.echo(f"{policy.name:<20} {origin:<14} {policy.description}")


@policies_group.command("show", context_settings=CONTEXT, epilog=_NAMES_HELP)
@click.argument("policy")
@setting_options("policies_file")
def show(policy: str, config_file: Path | None, **given: Any) -> None:
    """Print all rules of a POLICY as JSON, with what it inherits."""
    found = _named(policy, load(config_file, given).settings)
    click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))


@policies_group.command("diff", context_settings=CONTEXT, epilog=_NAMES_HELP)
@click.argument("a")
@click.argument("b")
@setting_options("policies_file")
def diff(a: str, b: str, config_file: Path | None, **given: Any) -> None:
    """Print where the policies A and B differ: the place, what A has there, what B has."""
    from ..core.policy_diff import differences

    settings = load(config_file, given).settings
    found = differences(_named(a, settings), _named(b, settings))
    width = max((len(one.place) for one in found), default=0)
    for one in found:
        click.echo(f"{one.place:<{width}}  {one.a or '-'} -> {one.b or '-'}")


@policies_group.command("compare", context_settings=CONTEXT, epilog=_NAMES_HELP)
@click.argument("a")
@click.argument("b")
@click.option("--since", type=MOMENT, default="7d", show_default=True, help="From when on: 12h, 7d, or a date.")
@click.option("--until", type=MOMENT, default=None, help="Until when; otherwise now.")
@click.option("--app", help="Only what this app asked, or this key where it has no app.")
@click.option("--judged-by", metavar="POLICY", help="Only what was decided by this policy.")
@click.option("--examples", type=click.IntRange(0, 1000), default=10, show_default=True, help="Texts to name.")
@click.option("--json", "form", flag_value="json", help="Print the comparison as JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print the counts as CSV.")
@setting_options("policies_file")
def compare(
    a: str,
    b: str,
    since: int,
    until: int | None,
    app: str | None,
    judged_by: str | None,
    examples: int,
    form: str | None,
    config_file: Path | None,
    **given: Any,
) -> None:
    """What the policies A and B would have done with the texts of the last days, from recorded scores.

    No engine is asked. Texts of which it can't be said are counted as unknown, with the reason.
    """
    from ..core.policy_comparison import compare as compare_policies
    from ..store.history import Period
    from ..store.trail import now_ms
    from .policy_comparison_text import render_csv, render_text

    settings = load(config_file, given).settings
    ours, theirs = _named(a, settings), _named(b, settings)
    database = open_database(settings)
    with database.read() as connection:
        until_ms = now_ms() if until is None else until
        period = Period(connection, since_ms=since, until_ms=until_ms, app=app, policy=judged_by)
        found = compare_policies(period.cases(), ours, theirs, most_examples=examples)
    if form == "json":
        document = {"since": since, **found.to_json(), "aside": dict(period.aside)}
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        click.echo(render_csv(found) if form == "csv" else render_text(found, period.aside), nl=False)


@policies_group.command("list", context_settings=CONTEXT)
@setting_options("policies_file")
def list_command(config_file: Path | None, **given: Any) -> None:
    """Show all policies: where each is kept, its version, what it is for."""
    settings = load(config_file, given).settings
    of_file = _of_file(settings)
    for one in all_policies(settings):
        origin = "database" if one.name not in of_file else "built in" if BUILT_IN.get(one.name) == one else "file"
        click.echo(f"{one.name:<24} {origin:<9} {one.version} {one.description}".rstrip())


@policies_group.command("put", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--over", type=click.IntRange(min=0), help="Only over this change (see `versions`); 0: only a new one.")
@store_config_option
def put_command(file: Path, over: int | None, config_file: Path | None) -> None:
    """Keep the policies of a FILE in the database: new ones, or in place of those of the same names."""
    from ..config.policy_text import split_text
    from ..config.yaml_file import read_text
    from ..store import policies

    settings = load(config_file, {}).settings
    texts = split_text(read_text(file), where=str(file))
    with opened_database(settings) as database, database.write() as connection:
        changed = policies.put(
            connection,
            texts,
            of_file=_of_file(settings),
            lists=list_names(settings, connection),
            actor=ACTOR,
            over=over,
            place=str(file) if len(texts) == 1 else None,
        )
    for name in texts:
        click.echo(f"{name:<24} {'written' if name in changed else 'as it was'}")


@policies_group.command("get", context_settings=CONTEXT)
@click.argument("name")
@click.option("--change", "number", type=click.IntRange(min=1), help="As it was after this change; see `versions`.")
@store_config_option
def get_command(name: str, number: int | None, config_file: Path | None) -> None:
    """Print a policy of the database as it was written: a policy file that `put` takes."""
    from ..store import policies

    with opened_database(load(config_file, {}).settings) as database, database.read() as connection:
        if number is None:
            text = policies.find(connection, name).text
        else:
            text = next((one.text for one in policies.history(connection, name) if one.number == number), None)
    if text is None:
        raise NotFound(f"The policy {name!r} has no text of change {number}.")
    click.echo(text, nl=not text.endswith("\n"))


@policies_group.command("versions", context_settings=CONTEXT)
@click.argument("name")
@store_config_option
def versions_command(name: str, config_file: Path | None) -> None:
    """Show who changed a policy of the database and when, the newest first."""
    from ..store import policies

    with opened_database(load(config_file, {}).settings) as database, database.read() as connection:
        found = policies.history(connection, name)
    for one in found:
        click.echo(f"{one.number:5} {moment_text(one.at)} {one.version or 'dropped':<12} {one.actor}")


@policies_group.command("drop", context_settings=CONTEXT)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@store_config_option
def drop_command(names: tuple[str, ...], config_file: Path | None) -> None:
    """Take policies out of the database, all of them or none; not where something else names one."""
    from ..config.answer_file import read_answers
    from ..config.apps_file import load_apps
    from ..store import policies

    settings = load(config_file, {}).settings
    apps = () if settings.apps_file is None else load_apps(settings.apps_file, policies=None)
    answers = () if settings.answers_file is None else read_answers(settings.answers_file, policies=None)
    named = policies.named_by(settings.default_policy, apps, answers)
    with opened_database(settings) as database, database.write() as connection:
        policies.drop(connection, set(names), of_file=_of_file(settings), named=named, actor=ACTOR)


def _of_file(settings: Settings) -> Policies:
    from ..config.policy_file import read_policies

    return read_policies(settings.policies_file, default=settings.default_policy)


def _named(spelled: str, settings: Settings) -> Policy:
    """The policy of that name, or the one of another file. The database is asked for what the file has not."""
    from ..config.policy_file import load_policies

    file, colon, name = spelled.rpartition(":")
    known = load_policies(Path(file), default="balanced") if colon else _of_file(settings)
    if not colon and (name not in known or known.default not in known):
        known = all_policies(settings)
    try:
        return known.get(name)
    except InvalidRequest:
        names = ", ".join(sorted(one.name for one in known))
        raise click.UsageError(f"There is no policy {name!r}; there are {names}.") from None
