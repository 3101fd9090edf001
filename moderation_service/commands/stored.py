"""What the commands that work with the database of records share: opening it, moments, rows as CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from ..config.apps_file import load_apps
from ..config.policy_file import check_default, read_policies
from ..config.policy_text import stored_policies
from ..config.settings import Settings
from ..core.policy import Policies
from ..core.spreadsheet import as_text
from ..errors import ConfigurationError
from ..store.choice import store_address
from .options import config_option

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..core.keyed_hash import KeyedHashes
    from ..store.database import Database

    _Type = click.ParamType[int]
else:
    _Type = click.ParamType  # older ones of click are not generic

__all__ = [
    "ACTOR",
    "MOMENT",
    "all_policies",
    "app_names",
    "app_names_in_file",
    "hashes_of",
    "list_names",
    "moment_text",
    "open_database",
    "opened_database",
    "policies_of",
    "policy_names",
    "store_config_option",
    "write_rows",
    "writing",
]

_F = TypeVar("_F", bound=Callable[..., Any])
ACTOR = "command line"
"""In the audit trail: whoever can read the settings."""
_AGO = re.compile(r"(\d{1,5})([hdw])")
_MS = {"h": 3_600_000, "d": 24 * 3_600_000, "w": 7 * 24 * 3_600_000}


class _Moment(_Type):
    """`7d`, `24h`, `2w` ago, or a day such as 2026-03-01 (UTC); becomes milliseconds."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        if match := _AGO.fullmatch(text):
            return int(time() * 1000) - int(match[1]) * _MS[match[2]]
        try:
            day = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is neither a time ago, such as 7d or 24h, nor a day, such as 2026-03-01.", param, ctx)
        return int((day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp() * 1000)


store_config_option = config_option("YAML file with settings; `store` says where the database is.")
"""Which settings, of commands to whom nothing but the database matters."""
MOMENT = _Moment()
"""The type of an option such as `--since`."""


@contextmanager
def writing(output: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a file for its owner only, even if it was there: it is about what people wrote."""
    if output is None:
        yield sys.stdout
        return
    with open(output, "w", encoding="utf-8", opener=_private) as stream:
        yield stream


def _private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # and no pipe or /dev/null
        os.fchmod(descriptor, 0o600)
    return descriptor


def open_database(settings: Settings) -> Database:
    """The database that the settings name; for `store: auto` the file that `serve` makes on this machine.

    Raises ConfigurationError where there is none.
    """
    address = store_address(settings, is_local=True)
    if address is None:
        raise ConfigurationError(
            "store: there is no database of records: it is off, or the extra `console` is missing."
        )
    from ..store.database import Database

    return Database(address)


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """The same, closed at the end."""
    database = open_database(settings)
    try:
        yield database
    finally:
        database.close()


def moment_text(at_ms: int) -> str:
    """A moment of the tables, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def all_policies(settings: Settings) -> Policies:
    """The policies, those of the database too. Raises ConfigurationError for a mistake in one, as the others do."""
    of_file = read_policies(settings.policies_file, default=settings.default_policy)
    policies = of_file.and_stored(stored_policies(_kept_policies(settings), of_file))
    check_default(policies)
    return policies


def policies_of(settings: Settings) -> Policies:
    """The policies of the file; with those of the database where only that may have the default one."""
    of_file = read_policies(settings.policies_file, default=settings.default_policy)
    return of_file if settings.default_policy in of_file else all_policies(settings)


def policy_names(settings: Settings) -> list[str]:
    """The names of the policies."""
    return [policy.name for policy in all_policies(settings)]


def _kept_policies(settings: Settings) -> dict[str, str]:
    """The texts of those in the database; none where there is no database yet."""
    address = store_address(settings, is_local=True)
    if address is None:
        return {}
    from ..store.database import Database
    from ..store.policies import texts_of

    database = Database(address)
    try:
        if database.is_sqlite and not database.is_made:
            return {}
        with database.read() as connection:
            return texts_of(connection)
    finally:
        database.close()


def app_names_in_file(settings: Settings) -> list[str]:
    """The names of the apps in the apps file."""
    if settings.apps_file is None:
        return []
    return [app.name for app in load_apps(settings.apps_file, policies=policy_names(settings))]


def app_names(settings: Settings, connection: Connection) -> list[str]:
    """The names of the apps, those of the file and those of the database."""
    from ..store import apps

    return [*app_names_in_file(settings), *(one.app.name for one in apps.load_apps(connection))]


def list_names(settings: Settings, connection: Connection) -> list[str]:
    """The names of the lists, those of files and those of the database."""
    from ..config.list_file import read_lists
    from ..store import lists

    in_files = [] if settings.lists_file is None else list(read_lists(settings.lists_file))
    return [*in_files, *(one.name for one in lists.read_lists(connection))]


def hashes_of(database: Database, settings: Settings) -> KeyedHashes:
    """The hashes of its records. Raises StoreUnavailable."""
    from ..core.keyed_hash import KeyedHashes
    from ..store.opened import hash_key

    if settings.store_key is not None:
        return KeyedHashes(settings.store_key.value.encode())
    with database.write() as connection:
        return KeyedHashes(hash_key(connection))


def write_rows(rows: Iterable[Mapping[str, object]], columns: list[str], *, to: IO[str], is_csv: bool) -> int:
    """Write rows, and return how many it were. In CSV a cell that a spreadsheet would run gets a `'` in front."""
    written = 0
    if is_csv:
        to.write(_csv_line(columns))
    for row in rows:
        written += 1
        if is_csv:
            to.write(_csv_line([_cell(row[name]) for name in columns]))
        else:
            to.write(json.dumps(row, ensure_ascii=False) + "\n")
    return written


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return as_text(value) if isinstance(value, str) else str(value)
