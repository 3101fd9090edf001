"""Brings the tables from one version to another with Alembic, on SQLite and PostgreSQL.

SQLite changes a table by making it anew. With foreign keys on, dropping the old one takes the rows that refer to it
along, so they are switched off for as long as it takes, outside of a transaction, and checked afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from ..errors import ConfigurationError
from .schema import metadata

__all__ = ["downgrade", "newest", "upgrade", "version"]

_FOLDER = Path(__file__).parent / "migrations"
# Any number that no other program uses for a lock in the same PostgreSQL database.
_LOCK = 7_283_640_113


def newest() -> str:
    """The version that this program works with."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def version(connection: Connection) -> str | None:
    """The version of the tables; None where there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, *, to: str = "head") -> None:
    """Bring the tables up to date; one process at a time. Raises ConfigurationError for tables of a newer program."""
    with engine.connect() as connection:
        found = version(connection)
    if found != newest() or to != "head":
        _run(engine, to, lambda found: _scripts()._upgrade_revs(to, found))


def downgrade(engine: Engine, *, to: str) -> None:
    """Bring the tables back to an older version, `base` for none; what only the newer one holds is lost."""
    _run(engine, to, lambda found: _scripts()._downgrade_revs(to, found))


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_FOLDER), version_locations=[str(_FOLDER)])


def _run(engine: Engine, to: str, steps: Callable[[Any], Any]) -> None:
    with engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        connection = connection.execution_options(moderation_writes=True)
        if is_sqlite:
            _set_foreign_keys(connection, on=False)
        try:
            with connection.begin():
                if not is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                _migrate(connection, to, steps)
                if is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                    raise ConfigurationError("store: a migration left rows that refer to nothing; it was undone.")
        finally:
            if is_sqlite:
                _set_foreign_keys(connection, on=True)


def _set_foreign_keys(connection: Connection, *, on: bool) -> None:
    driver: Any = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA foreign_keys={'ON' if on else 'OFF'}")


def _migrate(connection: Connection, to: str, steps: Callable[[Any], Any]) -> None:
    scripts = _scripts()
    found = version(connection)
    if found is not None and found not in {one.revision for one in scripts.walk_revisions()}:
        raise ConfigurationError(f"store: the tables are of a newer program (version {found}); update this one.")

    def chosen(revision: Any, context: MigrationContext) -> Any:
        return steps(revision)

    with EnvironmentContext(Config(), scripts, fn=chosen, destination_rev=to) as environment:
        environment.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        environment.run_migrations()
