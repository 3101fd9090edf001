"""The commands under `policies`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import CONTEXT, load, setting_options
from .stored import MOMENT, open_database

if TYPE_CHECKING:
    from ..core.policy import Policies, Policy

__all__ = ["policies_group"]

_NAMES_HELP = "A policy is named as in a request, or as FILE:NAME to take it from another policy file."


@click.group("policies", context_settings=CONTEXT)
def policies_group() -> None:
    """Work with policy files, and try policies on what was recorded."""


@policies_group.command("check", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Read a policy FILE as `serve` would and say what it defines, or what is wrong and where."""
    from ..config.policy_file import load_policies
    from ..core.policy import BUILT_IN

    found = load_policies(file, default="balanced")
    for policy in found:
        origin = "built in" if BUILT_IN.get(policy.name) == policy else "from the file"
        click.echo(f"{policy.name:<20} {origin:<14} {policy.description}")


@policies_group.command("show", context_settings=CONTEXT, epilog=_NAMES_HELP)
@click.argument("policy")
@setting_options("policies_file")
def show(policy: str, config_file: Path | None, **given: Any) -> None:
    """Print all rules of a POLICY as JSON, with what it inherits."""
    found = _named(policy, _policies(config_file, given))
    click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))


@policies_group.command("diff", context_settings=CONTEXT, epilog=_NAMES_HELP)
@click.argument("a")
@click.argument("b")
@setting_options("policies_file")
def diff(a: str, b: str, config_file: Path | None, **given: Any) -> None:
    """Print where the policies A and B differ: the place, what A has there, what B has."""
    from ..core.policy_diff import differences

    policies = _policies(config_file, given)
    found = differences(_named(a, policies), _named(b, policies))
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

    policies = _policies(config_file, given)
    ours, theirs = _named(a, policies), _named(b, policies)
    database = open_database(load(config_file, given).settings)
    with database.read() as connection:
        until_ms = now_ms() if until is None else until
        period = Period(connection, since_ms=since, until_ms=until_ms, app=app, policy=judged_by)
        found = compare_policies(period.cases(), ours, theirs, most_examples=examples)
    if form == "json":
        document = {"since": since, **found.to_json(), "aside": dict(period.aside)}
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        click.echo(render_csv(found) if form == "csv" else render_text(found, period.aside), nl=False)


def _policies(config_file: Path | None, given: dict[str, Any]) -> Policies:
    from ..config.policy_file import load_policies

    settings = load(config_file, given).settings
    return load_policies(settings.policies_file, default=settings.default_policy)


def _named(spelled: str, policies: Policies) -> Policy:
    """The policy of that name, or the one of another file."""
    from ..config.policy_file import load_policies
    from ..errors import InvalidRequest

    file, colon, name = spelled.rpartition(":")
    known = load_policies(Path(file), default="balanced") if colon else policies
    try:
        return known.get(name)
    except InvalidRequest:
        names = ", ".join(sorted(one.name for one in known))
        raise click.UsageError(f"There is no policy {name!r}; there are {names}.") from None
