"""The commands under `lists`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import click

from ..errors import ConfigurationError
from .options import CONTEXT, load, setting_options
from .stored import MOMENT

if TYPE_CHECKING:
    from ..core.list_entry import Entry
    from ..core.listing import Hit
    from ..engines.lists import Lists

__all__ = ["lists_group"]

EXIT_BLOCKED = 3


@click.group("lists", context_settings=CONTEXT)
def lists_group() -> None:
    """Work with lists of words, phrases, patterns and domains (docs/lists.md)."""


@lists_group.command("check", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Read a FILE or folder of lists as `serve` would and say what is in it, or what is wrong and where."""
    from ..config.list_file import read_lists

    lists = _compiled(read_lists(file))
    for name in lists:
        click.echo(f"{name:<24} {_summary(lists[name])}")


@lists_group.command("export", context_settings=CONTEXT)
@click.argument("name")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@setting_options("lists_file")
def export(name: str, form: str, config_file: Path | None, **flags: object) -> None:
    """Print the list NAME as CSV or JSON lines.

    In the CSV, a cell that a spreadsheet would take for a formula has a ' in front, which is taken away again when the
    file is read.
    """
    from ..config.list_file import write_csv, write_json_lines

    lists = _lists_of(config_file, flags)
    _refuse_unknown(name, lists)
    for line in (write_csv if form == "csv" else write_json_lines)(lists[name]):
        click.echo(line, nl=False)


@lists_group.command("test", context_settings=CONTEXT)
@click.argument("text")
@click.option("--list", "names", multiple=True, metavar="NAME", help="Compare with this list only; may be repeated.")
@click.option("--response", is_flag=True, help="TEXT is a model's answer, not a prompt.")
@click.option("--json", "as_json", is_flag=True, help="Print the hits as JSON.")
@setting_options("lists_file")
def test(
    text: str, names: Sequence[str], response: bool, as_json: bool, config_file: Path | None, **flags: object
) -> None:
    """Say which entries stand in a TEXT, and what they do; no engine is asked. `-` reads it from standard input.

    Exit code: 0 not blocked by a list, 3 blocked, 1 error, 2 wrong usage.
    """
    from ..core.verdict import Target

    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    lists = _compiled(_lists_of(config_file, flags))
    for name in names:
        _refuse_unknown(name, lists)
    found = lists.find(names or sorted(lists), Target.RESPONSE if response else Target.PROMPT, text)
    hits = [] if found is None else [one for one in (found.block, found.flag, *found.allowed) if one is not None]
    if as_json:
        click.echo(json.dumps([_hit_json(hit, text) for hit in hits], ensure_ascii=False, indent=2))
    elif not hits:
        click.echo("No entry stands in it.")
    for hit in () if as_json else hits:
        click.echo(_hit_line(hit, text))
    sys.exit(EXIT_BLOCKED if found is not None and found.block is not None else 0)


@lists_group.command("import", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--list", "name", help="The list's name.  [default: the file's]")
@click.option("--policy", help="The list counts for this policy without being named by it.")
@click.option("--app", help="The list counts for this app's requests, whatever the policy.")
@setting_options("lists_file")
def import_file(
    file: Path, name: str | None, policy: str | None, app: str | None, config_file: Path | None, **flags: object
) -> None:
    """Put the entries of a FILE (CSV, JSON lines or text) into a list of the database.

    Running services have them within seconds. An entry whose id is there already takes its place.
    """
    from ..config.list_file import read_one_list
    from ..store.lists import add_entries, attach_list, make_list, read_lists
    from .stored import ACTOR, app_names, open_database, policy_names

    name = name or file.stem
    entries = read_one_list(file, name=name)
    _compiled({name: entries})
    settings = load(config_file, flags).settings
    if policy is not None:
        _refuse_unknown(policy, policy_names(settings), what="policy")
    database = open_database(settings)
    try:
        with database.write() as connection:
            if app is not None:
                _refuse_unknown(app, app_names(settings, connection), what="app")
            if name not in {one.name for one in read_lists(connection)}:
                make_list(connection, name, policy=policy, app=app, actor=ACTOR)
            elif policy is not None or app is not None:
                attach_list(connection, name, policy=policy, app=app, actor=ACTOR)
            add_entries(connection, name, entries, actor=ACTOR)
    finally:
        database.close()
    click.echo(f"{name}: {len(entries)} entries.")


@lists_group.command("try", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--since", type=MOMENT, default="7d", show_default=True, help="From here on: 7d, 24h, 2026-03-01.")
@click.option("--examples", type=click.IntRange(0, 1000), default=10, show_default=True, help="How many to show.")
@setting_options("lists_file")
def try_file(file: Path, since: int, examples: int, config_file: Path | None, **flags: object) -> None:
    """Say which of the texts that were kept the entries of a FILE would have hit."""
    from ..config.list_file import read_lists
    from ..store.list_trial import try_on_records
    from .stored import open_database

    lists = _compiled(read_lists(file))
    database = open_database(load(config_file, flags).settings)
    try:
        names = sorted(lists)
        trial = try_on_records(
            database, lambda target, text: lists.find(names, target, text), since=since, examples=examples
        )
    finally:
        database.close()
    click.echo(f"Of {trial.texts} kept texts {trial.hits} would have been hit.")
    for one in trial.examples:
        click.echo(f"{one.decision_id}  {_hit_line(one.hit, one.text)}")


def _lists_of(config_file: Path | None, flags: dict[str, object]) -> dict[str, list[Entry]]:
    from ..config.list_file import read_lists

    path = load(config_file, flags).settings.lists_file
    if path is None:
        raise click.UsageError("Name the lists: --lists-file, or `lists_file` in the settings.")
    return read_lists(path)


def _refuse_unknown(name: str, names: Iterable[str], *, what: str = "list") -> None:
    known = sorted(names)
    if name not in known:
        raise ConfigurationError(f"there is no {what} {name!r}; there are {', '.join(known) or 'none'}.")


def _compiled(lists: Mapping[str, Sequence[Entry]]) -> Lists:
    from ..engines import create_lists

    return create_lists(lists, wanted_by="lists")


def _summary(entries: Iterable[Entry]) -> str:
    from ..core.list_entry import Kind, Side

    entries = list(entries)
    blocks = sum(entry.side is Side.BLOCK for entry in entries)
    counts = {
        "block": blocks,
        "allow": len(entries) - blocks,
        "pattern": sum(entry.kind is Kind.PATTERN for entry in entries),
        "expired": sum(entry.expires_at is not None and entry.expires_at <= time() for entry in entries),
    }
    return f"{len(entries)} entries: " + ", ".join(f"{count} {word}" for word, count in counts.items())


def _hit_json(hit: Hit, text: str) -> dict[str, object]:
    from ..core.list_entry import fields_of

    span = hit.span
    fields = {name: value for name, value in fields_of(hit.entry).items() if value}
    place = {"start": span.start, "end": span.end, "found": text[span.start : span.end]}
    return {"list": hit.entry.list_name, **fields, **place}


def _hit_line(hit: Hit, text: str) -> str:
    entry, span = hit.entry, hit.span
    reason = f": {entry.reason}" if entry.reason else ""
    found = text[span.start : span.end]
    return f"{entry.action.value.upper():<6} {found!r} at {span.start}, by {entry.list_name}/{entry.id}{reason}"
