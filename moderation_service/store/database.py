"""A database, opened by its address: SQLite on a bare machine, PostgreSQL where several hosts share it.

Nothing is connected before it is used, and each process connects anew: an engine that was made before a fork would
share its sockets with its siblings. The tables are made, or brought up to date, with the first use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, bindparam, create_engine, event, exc, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from ..config.extras import install_command
from ..errors import ConfigurationError, StoreUnavailable
from . import migration
from .postgres import give_up_after

__all__ = ["Database", "bump", "insert_new", "revision_of"]

_BUSY_S = 10.0
_CONNECT_S = 5
_STATEMENT_MS = 30_000
_SILENT_S = _STATEMENT_MS / 1000 + 2.0
"""From then on the server itself would have ended the statement."""
_SILENT_LONGEST_S = 600.0
_RETRY_AFTER_S = 5.0
_POOL_S = 2.0
_HUNG_S = 1.0
"""A failure that took so long is one of a server that hangs. The next ones are then told at once for a while."""
_PAUSE_S = 2.0
_IMMEDIATE = "moderation_writes"
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite+pysqlite"}


class Database:
    """The tables of `schema` at an address. Safe to use from many threads, and after a fork.

    `read()` and `write()` give a Core connection in a transaction, which ends with the block; one that raises is
    rolled back. Both raise StoreUnavailable where the database can't be reached, is locked for too long, or is full;
    what is wrong with a row (IntegrityError, DataError of SQLAlchemy) goes through. A PostgreSQL that says nothing for
    `patience_s` can't be reached.
    """

    def __init__(self, url: str, *, patience_s: float | None = None) -> None:
        self.url = _parsed(url)
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._pid = 0
        self._is_current = False
        self._hangs_until = 0.0

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def is_made(self) -> bool:
        """Whether it is a file that has something in it: apps, with their keys, may be among that."""
        path = Path(self.url.database or "")
        return self.is_sqlite and path.is_file() and path.stat().st_size > 0

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string(hide_password=True)!r})"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """What is read within the block is of one moment (SQLite) or of one statement each (PostgreSQL)."""
        with self._connected() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The same for changes. SQLite is locked from the start: who reads first and writes then would be refused."""
        with self._connected(**{_IMMEDIATE: True}) as connection, connection.begin():
            yield connection

    def prepare(self) -> None:
        """Make the tables, or bring them up to date. Raises StoreUnavailable."""
        with self.read():
            pass

    def engine(self) -> Engine:
        """The engine of this process, whose tables are up to date."""
        with self._lock:
            if monotonic() < self._hangs_until:
                raise StoreUnavailable("The database of records does not answer.", retry_after_s=_RETRY_AFTER_S)
            if self._engine is None or self._pid != os.getpid():
                # That of another process, inherited by a fork, is left to it: closing it here would end its session.
                self._engine, self._pid, self._is_current = _engine(self.url, self._patience_s), os.getpid(), False
            if not self._is_current:
                with self._noticed():
                    migration.upgrade(self._engine)
                self._is_current = True
            return self._engine

    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""
        with self._lock:
            if self._engine is not None and self._pid == os.getpid():
                self._engine.dispose()
            self._engine = None

    @contextmanager
    def _connected(self, **options: Any) -> Iterator[Connection]:
        try:
            engine = self.engine()
            with self._noticed(), engine.connect() as connection:
                yield connection.execution_options(**options) if options else connection
        except (exc.IntegrityError, exc.DataError):
            raise
        except (exc.DBAPIError, exc.TimeoutError, OSError) as error:
            raise StoreUnavailable(_reason(error), retry_after_s=_RETRY_AFTER_S) from error

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        """Notices a server that hangs: threads that ask it must not pile up, each until it gives up."""
        started = monotonic()
        try:
            yield
        except (exc.OperationalError, exc.TimeoutError) as error:
            now = monotonic()
            # An error with a code is an answer: a statement that took too long, or a lock that others had.
            is_answer = getattr(getattr(error, "orig", None), "sqlstate", None) is not None
            if not self.is_sqlite and not is_answer and now - started >= _HUNG_S:
                self._hangs_until = now + _PAUSE_S
            raise


def insert_new(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, unless: Sequence[str]
) -> None:
    """Insert the rows but for those whose columns `unless` are there already."""
    if rows:
        dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(table).on_conflict_do_nothing(index_elements=list(unless))
        connection.execute(statement, list(rows))


def bump(connection: Connection, subject: str) -> None:
    """Count a change of lists, apps and the like, so that other processes read them anew."""
    from .schema import revisions

    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(revisions).values(subject=subject, number=1)
    statement = statement.on_conflict_do_update(index_elements=["subject"], set_={"number": revisions.c.number + 1})
    connection.execute(statement)


def revision_of(connection: Connection, subject: str) -> int:
    """How often it was changed; 0 for never."""
    return int(connection.execute(_revision(), {"subject": subject}).scalar_one_or_none() or 0)


@cache
def _revision() -> Select[Any]:
    """The question for it, made once: every process asks it every two seconds."""
    from .schema import revisions

    return select(revisions.c.number).where(revisions.c.subject == bindparam("subject"))


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise ConfigurationError("store: must be `auto`, `off`, sqlite:///FILE or postgresql://...") from None
    backend = parsed.drivername.partition("+")[0]
    if backend not in _DRIVERS:
        raise ConfigurationError(f"store: {backend} is not supported; take sqlite:///FILE or postgresql://...")
    if backend == "sqlite" and not parsed.database:
        raise ConfigurationError("store: sqlite:/// needs a file; memory would be another one in each process.")
    parsed = parsed.set(drivername=_DRIVERS[backend])
    if backend != "sqlite":
        _require_psycopg()
    return parsed


def _require_psycopg() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        message = f"store: PostgreSQL needs the extra `postgres`: {install_command('postgres')}"
        raise ConfigurationError(message) from error


def _engine(url: URL, patience_s: float | None) -> Engine:
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        _make_file(Path(url.database))
        engine = create_engine(url, connect_args={"timeout": _BUSY_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # Whatever the address says of options stands.
    arguments: dict[str, Any] = {"connect_timeout": _CONNECT_S, "application_name": "moderation-service"}
    if "options" not in url.query:
        arguments["options"] = f"-c statement_timeout={_STATEMENT_MS}"
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    engine = create_engine(
        url, connect_args=arguments, pool_pre_ping=True, pool_size=2, max_overflow=8, pool_timeout=_POOL_S
    )
    give_up_after(engine, patience_s or (_SILENT_S if "options" not in url.query else _SILENT_LONGEST_S))
    return engine


def _make_file(path: Path) -> None:
    """The folder and the file, for their owner only: it may hold what people wrote."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _prepare_sqlite(connection: Any, record: object) -> None:
    # SQLAlchemy shall say when a transaction begins, not the driver.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _reason(error: SQLAlchemyError | OSError) -> str:
    """For the caller: neither the statement nor what was in it."""
    kind = type(getattr(error, "orig", None) or error).__name__
    return f"The database of records can't be used now ({kind})."
