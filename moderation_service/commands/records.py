"""The commands under `records`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import click

from .options import CONTEXT, load
from .stored import ACTOR, MOMENT, hashes_of, open_database, store_config_option, write_rows, writing

if TYPE_CHECKING:
    from ..store.database import Database
    from ..store.records import Filter

__all__ = ["records_group"]

_PAGE = 1000
_ACTIONS = ("allow", "flag", "block", "error")
_SINCE = click.option(
    "--since", type=MOMENT, default="7d", show_default=True, help="From here on: 7d, 24h, 2026-03-01."
)
_UNTIL = click.option("--until", type=MOMENT, help="Up to here, without it.  [default: now]")
_FORMAT = click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
_OUTPUT = click.option("-o", "--output", type=click.Path(path_type=Path), help="File.  [default: standard output]")
_YES = click.option("--yes", is_flag=True, help="Don't ask.")


@click.group("records", context_settings=CONTEXT)
def records_group() -> None:
    """Take out, count or delete what the database of records holds; see docs/records.md."""


@records_group.command("export", context_settings=CONTEXT)
@store_config_option
@_SINCE
@_UNTIL
@click.option("--app", help="Of this app only.")
@click.option("--action", "actions", type=click.Choice(_ACTIONS), multiple=True, help="Only these; may be repeated.")
@click.option("--texts", "with_texts", is_flag=True, help="With the texts that a policy kept.")
@_FORMAT
@_OUTPUT
def export(
    config_file: Path | None,
    since: int,
    until: int | None,
    app: str | None,
    actions: tuple[str, ...],
    with_texts: bool,
    form: str,
    output: Path | None,
) -> None:
    """Write the records of decisions, the newest first, as JSON lines or CSV."""
    from ..store.records import Filter

    database = open_database(load(config_file, {}).settings)
    wanted = Filter(since=since, until=until or _now(), app=app, actions=frozenset(actions) if actions else None)
    with ExitStack() as closed:
        closed.callback(database.close)
        to = closed.enter_context(writing(output))
        columns = [*_columns(), *(["text"] if with_texts else [])]
        written = write_rows(_exported(database, wanted, with_texts=with_texts), columns, to=to, is_csv=form == "csv")
    click.echo(f"{written} records", err=True)


@records_group.command("usage", context_settings=CONTEXT)
@store_config_option
@click.option("--since", type=MOMENT, default="30d", show_default=True, help="From here on: 30d, 24h, 2026-03-01.")
@_UNTIL
@click.option("--app", help="Of this app only.")
@_FORMAT
@_OUTPUT
def usage_command(
    config_file: Path | None, since: int, until: int | None, app: str | None, form: str, output: Path | None
) -> None:
    """Write how much each app asked for, by day (UTC) and door. It outlives the records."""
    from ..store.overview import usage

    database = open_database(load(config_file, {}).settings)
    with ExitStack() as closed:
        closed.callback(database.close)
        to = closed.enter_context(writing(output))
        with database.read() as connection:
            found = usage(connection, since=since, until=until or _now(), app=app)
        rows = [
            {
                "day": datetime.fromtimestamp(one.day / 1000, UTC).date().isoformat(),
                "app": one.app,
                "door": one.door,
                "checks": one.sums.checks,
                **{action: one.sums.actions[action] for action in _ACTIONS},
                "degraded": one.sums.degraded,
                "cached": one.sums.cached,
                "chars": one.sums.chars,
            }
            for one in found
        ]
        columns = ["day", "app", "door", "checks", *_ACTIONS, "degraded", "cached", "chars"]
        write_rows(rows, columns, to=to, is_csv=form == "csv")


@records_group.command("purge", context_settings=CONTEXT)
@store_config_option
@click.option("--before", type=MOMENT, required=True, help="Older than this: 90d, 2026-03-01.")
@click.option("--texts", "texts_only", is_flag=True, help="Their texts only; the records stay.")
@_YES
def purge_command(config_file: Path | None, before: int, texts_only: bool, yes: bool) -> None:
    """Delete old records and their texts, while the service goes on. Hourly sums stay."""
    from ..store.erasure import purge

    database = open_database(load(config_file, {}).settings)
    what = "texts" if texts_only else "records and texts"
    if not yes:
        click.confirm(f"Delete all {what} from before {_shown(before)}?", abort=True)
    try:
        gone = purge(database, before=before, actor=ACTOR, texts_only=texts_only)
    finally:
        database.close()
    click.echo(f"deleted: {gone.decisions} records, {gone.texts} texts")
    if database.is_sqlite:
        click.echo("The file keeps its size and uses the room again; `VACUUM` makes it smaller.", err=True)


@records_group.command("erase", context_settings=CONTEXT)
@store_config_option
@click.option("--user", required=True, help="The end user's id, as the app sends it; `-` reads it from standard input.")
@click.option("--app", help="Of this app only.  [default: of all]")
@_YES
def erase_command(config_file: Path | None, user: str, app: str | None, yes: bool) -> None:
    """Delete all that belongs to one end user: records, texts, appeals, reviews."""
    from ..store.erasure import erase_user

    settings = load(config_file, {}).settings
    database = open_database(settings)
    if user == "-":
        user = sys.stdin.readline().rstrip("\n")
    if not yes:
        click.confirm("Delete all that belongs to this end user?", abort=True)
    try:
        gone = erase_user(database, hashes_of(database, settings), user, actor=ACTOR, app=app)
    finally:
        database.close()
    click.echo(f"deleted: {gone.decisions} records, {gone.texts} texts, {gone.appeals} appeals")


def _exported(database: Database, wanted: Filter, *, with_texts: bool) -> Iterator[dict[str, object]]:
    """Page by page, so that a long export does not hold up the writers of SQLite's log."""
    from ..store.records import page, text_of

    after = None
    while True:
        with database.read() as connection:
            found = page(connection, wanted, after=after, size=_PAGE)
            rows = [one.to_json() for one in found.rows]
            for row in rows if with_texts else ():
                text = text_of(connection, str(row["id"]))
                row["text"] = None if text is None else text.text
        for row in rows:
            yield {**row, "at": _time(int(str(row["at"])))}
        after = found.after
        if after is None:
            return


def _columns() -> list[str]:
    from ..store.records import EXPORTED

    return list(EXPORTED)


def _now() -> int:
    return int(time() * 1000) + 1


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")


def _shown(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
