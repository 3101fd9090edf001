"""A PostgreSQL that hangs: it takes connections and statements, and never answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

import pytest
from databases import Postgres
from processes import until
from sqlalchemy import text

from moderation_service.errors import StoreUnavailable
from moderation_service.store.database import Database

pytestmark = pytest.mark.store
PATIENCE_S = 1.0


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    database = Database(f"{postgres.new_database()}?connect_timeout=2", patience_s=PATIENCE_S)
    database.prepare()
    yield database
    database.close()


def asked(database: Database) -> float | None:
    """How many seconds it took to be told that there is no answer; None where there was one."""
    started = monotonic()
    try:
        with database.read() as connection:
            connection.execute(text("SELECT 1"))
    except StoreUnavailable:
        return monotonic() - started
    return None


def test_a_server_that_hangs_holds_no_thread_for_long_and_is_used_again_afterwards(
    postgres: Postgres, database: Database
) -> None:
    assert asked(database) is None
    with postgres.hanging():
        took: list[float | None] = []
        threads = [threading.Thread(target=lambda: took.append(asked(database))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(took) == len(threads)
        assert all(seconds is not None and seconds < 15 for seconds in took)
        # Known to hang: nobody else waits for it.
        later = asked(database)
        assert later is not None
        assert later < 0.5
    until(lambda: asked(database) is None)


def test_a_statement_that_takes_too_long_keeps_nobody_else_waiting(postgres: Postgres, database: Database) -> None:
    def too_slow() -> None:
        with database.read() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 600"))
            # In all it takes longer than a server that hangs, and each answer comes in time.
            connection.execute(text("SELECT pg_sleep(0.5)"))
            connection.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(StoreUnavailable):
        too_slow()
    assert asked(database) is None


def test_a_server_that_hangs_within_a_transaction_ends_it(postgres: Postgres, database: Database) -> None:
    def ask_twice() -> None:
        with database.read() as connection:
            connection.execute(text("SELECT 1"))
            with postgres.hanging():
                connection.execute(text("SELECT 2"))

    started = monotonic()
    with pytest.raises(StoreUnavailable):
        ask_twice()
    assert monotonic() - started < 10 * PATIENCE_S
    until(lambda: asked(database) is None)
