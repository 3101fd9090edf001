"""A running service keeps records: through reloads, its end, a kill, and a database that goes away."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Postgres
from processes import Running, environment, run_command, running, until
from sqlalchemy import select, text

from moderation_service.errors import StoreUnavailable
from moderation_service.store.database import Database
from moderation_service.store.records import Filter, find, page
from moderation_service.store.schema import decisions, texts

pytestmark = pytest.mark.store

YEAR = {"since": 0, "until": 1 << 60}


def recorded(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(decisions.c.decision_id)).scalars())


def metric(service: Running, name: str) -> float:
    lines = service.request("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_what_was_decided_is_in_the_database_when_the_service_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "records" / "moderation.db"
    with running(
        "--workers", "2", MODERATION_STORE=f"sqlite:///{file}", MODERATION_API_KEYS="shop:secret-key-1"
    ) as one:
        key = {"Authorization": "Bearer secret-key-1", "X_Request_Id": "chat-7"}
        first = one.request("POST", "/moderate", {"prompt": "a bomb"}, **key).json
        ids = {one.request("POST", "/moderate", {"prompt": "bread"}, **key).json["id"] for _ in range(30)}
        one.process.send_signal(signal.SIGHUP)
        until(lambda: any(line.get("event") == "reloaded" for line in one.log))
        ids |= {one.request("POST", "/moderate", {"prompt": "bread"}, **key).json["id"] for _ in range(30)}
        assert one.stop() == 0
    database = Database(f"sqlite:///{file}")
    with contextlib.closing(database):
        assert recorded(database) == ids | {first["id"]}
        with database.read() as connection:
            [found] = [one for one in find(connection, "chat-7") if one.decision_id == first["id"]]
            assert connection.execute(select(texts)).all() == []
    shown = found.app, found.key, found.door, found.action and found.action.value, found.engine
    assert shown == ("shop", "shop", "moderate", "block", "fake")
    # Nobody else on this machine reads it.
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("flags", [("--host", "0.0.0.0", "--allow-open"), ("--console", "off")], ids=["open", "off"])
def test_without_being_asked_for_there_is_no_database_where_there_is_no_console(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    variables = {"MODERATION_STORE": "auto", "MODERATION_DATA_DIR": str(tmp_path / "data")}
    with running(*flags, "--workers", "1", **variables) as one:
        one.moderate("bread")
        assert one.stop() == 0
    assert not (tmp_path / "data").exists()


def test_on_a_bare_machine_there_is_one_in_the_data_folder(tmp_path: Path) -> None:
    variables = {"MODERATION_STORE": "auto", "MODERATION_DATA_DIR": str(tmp_path / "data")}
    with running("--workers", "1", **variables) as one:
        made = one.moderate("bread")
        assert one.stop() == 0
    done = run_command("records", "export", **variables)
    assert json.loads(done.stdout)["id"] == made["id"]


@pytest.mark.parametrize("address", ["mysql://x/y", "sqlite://", "nonsense"])
def test_an_address_that_can_never_work_stops_the_start(address: str, tmp_path: Path, unused_port: int) -> None:
    done = run_command("serve", "--port", str(unused_port), MODERATION_STORE=address, MODERATION_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(b"moderation-service: store: ")
    assert b"Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file and no folder")
    with running("--workers", "1", MODERATION_STORE="auto", MODERATION_DATA_DIR=str(tmp_path / "data")) as one:
        one.moderate("bread")
        assert [line["event"] for line in one.log if line["logger"] == "moderation.store"] == ["store_off"]


@contextlib.contextmanager
def asking(service: Running, ids: list[tuple[float, str]], *, pause_s: float) -> Iterator[None]:
    """Ask all the time, and note when which decision was given."""
    ends = threading.Event()

    def ask() -> None:
        while not ends.wait(pause_s):
            with contextlib.suppress(OSError, AssertionError):
                made = service.moderate("bread")
                ids.append((time.monotonic(), made["id"]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_a_kill_costs_a_second_of_records_at_most_and_leaves_the_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "moderation.db"
    given: list[tuple[float, str]] = []
    with running("--workers", "2", MODERATION_STORE=f"sqlite:///{file}") as one, asking(one, given, pause_s=0.01):
        until(lambda: len(given) > 300)
        killed_at = time.monotonic()
        for pid in [*one.workers(), one.process.pid]:
            os.kill(pid, signal.SIGKILL)
        one.process.wait()
    database = Database(f"sqlite:///{file}")
    with contextlib.closing(database):
        there = recorded(database)
    lost = [at for at, identity in given if identity not in there]
    assert len(there) > 100
    assert all(killed_at - at < 1.0 for at in lost)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_records_are_caught_up_with_after_an_outage_of_postgresql(postgres: Postgres) -> None:
    server = Postgres()
    try:
        url = server.new_database()
        given: list[tuple[float, str]] = []
        with running("--workers", "2", MODERATION_STORE=url) as one, asking(one, given, pause_s=0.02):
            until(lambda: len(given) > 50)
            server.stop()
            before = len(given)
            until(lambda: len(given) > before + 300)
            # As quick as ever, and counted.
            until(lambda: metric(one, "moderation_records_waiting") > 100)
            server.start()
            until(lambda: any(line.get("event") == "store_available_again" for line in one.log))
            one.process.send_signal(signal.SIGTERM)
            assert one.wait() == 0
            events = [line["event"] for line in one.log if line["logger"] == "moderation.store"]
        database = Database(url)
        with contextlib.closing(database):
            assert {identity for _, identity in given} == recorded(database)
        assert "store_unavailable" in events
        assert "store_available_again" in events
        assert not {"records_dropped", "records_lost"} & set(events)
    finally:
        server.close()


def test_a_service_starts_while_its_database_is_away(postgres: Postgres) -> None:
    server = Postgres()
    try:
        url = server.new_database()
        server.stop()
        settings = {
            "MODERATION_STORE": url,
            "MODERATION_STORE_KEY": "0123456789abcdef",
            "MODERATION_API_KEYS": "shop:secret-key-1",
        }
        with running("--workers", "1", **settings) as one:
            made = one.request("POST", "/moderate", {"prompt": "bread"}, Authorization="Bearer secret-key-1")
            assert made.status == 200, made.body
            server.start()
            database = Database(url)
            with contextlib.closing(database):
                until(lambda: made.json["id"] in recorded(database))
            assert one.stop() == 0
    finally:
        server.close()


def test_a_service_without_keys_waits_for_the_database_that_may_have_some(postgres: Postgres) -> None:
    server = Postgres()
    try:
        url = server.new_database()
        server.stop()
        with running("--workers", "1", MODERATION_STORE=url) as one:
            told = one.request("POST", "/moderate", {"prompt": "bread"})
            assert (told.status, told.json["error"]["type"]) == (503, "store_unavailable")
            server.start()
            until(lambda: one.request("POST", "/moderate", {"prompt": "bread"}).status == 200)
            assert one.stop() == 0
    finally:
        server.close()


def test_a_locked_or_broken_database_is_an_error_of_ours(url: str) -> None:
    database = Database(url)
    with contextlib.closing(database):
        with pytest.raises(StoreUnavailable), database.read() as connection:
            connection.execute(text("SELECT * FROM no_such_table"))
        # And the next one works.
        with database.read() as connection:
            assert page(connection, Filter(**YEAR)).rows == []  # type: ignore[arg-type]


def test_a_forked_process_opens_connections_of_its_own(tmp_path: Path) -> None:
    script = """
import os, sys
from moderation_service.store.database import Database
from moderation_service.store.schema import names
database = Database(sys.argv[1])
database.prepare()
children = []
for number in range(4):
    pid = os.fork()
    if not pid:
        for again in range(20):
            with database.write() as connection:
                connection.execute(names.insert().values(kind="app", name=f"{number}-{again}"))
        os._exit(0)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
with database.read() as connection:
    print(len(connection.execute(names.select()).all()))
"""
    command = [sys.executable, "-c", script, f"sqlite:///{tmp_path}/moderation.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment())
    assert (done.stdout, done.stderr) == ("80\n", "")
