"""`moderation-service records`: what is written out, counted and deleted."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path
from time import time
from typing import Any

import pytest
from click.testing import CliRunner, Result
from databases import sqlite_with_tables
from recording import a_record, written

from moderation_service.commands.cli import cli
from moderation_service.core.keyed_hash import KeyedHashes
from moderation_service.store.database import Database
from moderation_service.store.opened import hash_key
from moderation_service.store.record import Kept

DAY_MS = 24 * 3_600_000
NOW = int(time() * 1000)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = sqlite_with_tables(tmp_path / "moderation.db")
    monkeypatch.setenv("MODERATION_STORE", url)
    database = Database(url)
    database.prepare()
    yield database
    database.close()


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, ["records", *arguments], **options)


def test_an_export_has_one_json_line_per_decision_the_newest_first(database: Database) -> None:
    records = [a_record(at=NOW - number * 1000) for number in range(1, 4)]
    written(database, *records, a_record(at=NOW - 8 * DAY_MS))
    done = run("export")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["id"] for line in lines] == [one.decision_id for one in records]
    assert lines[0]["safety"] == "unsafe"
    assert lines[0]["at"].endswith("+00:00")
    assert "text" not in lines[0]


def test_an_export_goes_on_over_many_pages(database: Database) -> None:
    written(database, *[a_record(at=NOW - 1000) for _ in range(2500)])
    assert len(set(run("export").stdout.splitlines())) == 2500


def test_an_export_can_be_narrowed_and_has_texts_only_when_asked_for(database: Database, tmp_path: Path) -> None:
    wanted = a_record(at=NOW - 1000, app="bank", action=1, kept=Kept("a text", [], 9))
    written(database, wanted, a_record(at=NOW - 1000, app="bank"), a_record(at=NOW - 1000, action=1))
    output = tmp_path / "out.jsonl"
    done = run("export", "--app", "bank", "--action", "flag", "--texts", "-o", str(output))
    assert done.exit_code == 0, done.output
    [line] = [json.loads(line) for line in output.read_text().splitlines()]
    assert (line["id"], line["text"]) == (wanted.decision_id, "a text")
    assert output.stat().st_mode & 0o777 == 0o600


def test_a_csv_is_read_back_as_it_was_and_no_cell_is_a_formula(database: Database) -> None:
    evil = '=HYPERLINK("http://evil")'
    written(database, a_record(at=NOW - 1000, request_id=evil, tool='a "b",\nc', categories=0b11))
    [row] = csv.DictReader(io.StringIO(run("export", "--format", "csv").stdout))
    assert row["request_id"] == f"'{evil}"
    assert row["tool"] == 'a "b",\nc'
    assert row["categories"] == "violent; non_violent_illegal_acts"
    assert row["degraded"] == "false"


def test_usage_is_counted_by_day_and_app(database: Database) -> None:
    written(database, *[a_record(at=NOW - 1000, app=app) for app in ("shop", "shop", "bank")])
    rows = [json.loads(line) for line in run("usage").stdout.splitlines()]
    assert [(row["app"], row["checks"], row["block"], row["chars"]) for row in rows] == [
        ("bank", 1, 1, 10),
        ("shop", 2, 2, 20),
    ]
    [row] = csv.DictReader(io.StringIO(run("usage", "--format", "csv", "--app", "bank").stdout))
    assert row["checks"] == "1"


def test_a_purge_asks_first(database: Database) -> None:
    written(database, a_record(at=NOW - 1000), a_record(at=NOW - 10 * DAY_MS))
    assert run("purge", "--before", "7d", input="n\n").exit_code != 0
    assert len(run("export", "--since", "30d").stdout.splitlines()) == 2
    done = run("purge", "--before", "7d", input="y\n")
    assert "deleted: 1 records, 0 texts" in done.output
    assert len(run("export", "--since", "30d").stdout.splitlines()) == 1


@pytest.mark.parametrize("given", [("--user", "eve"), ("--user", "-")])
def test_an_end_user_is_erased_by_the_id_that_the_app_sent(database: Database, given: tuple[str, ...]) -> None:
    with database.write() as connection:
        hashes = KeyedHashes(hash_key(connection))
    for user in ("eve", "adam"):
        whose = hashes.user("shop", user).hex()
        written(database, a_record(at=NOW - 1000, user_hash=whose, kept=Kept(f"by {user}", [], 9)))
    done = run("erase", *given, "--yes", input="eve\n")
    assert done.output == "deleted: 1 records, 1 texts, 0 appeals\n"
    assert [json.loads(line)["text"] for line in run("export", "--texts").stdout.splitlines()] == ["by adam"]


@pytest.mark.parametrize("moment", ["yesterday", "7", "7x", "2026-13-01", "-1d", ""])
def test_a_moment_that_is_none_is_refused(database: Database, moment: str) -> None:
    done = run("export", "--since", moment)
    assert done.exit_code == 2
    assert "such as 7d" in done.output


def test_without_a_database_a_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_STORE", "off")
    assert "no database of records" in str(run("export").exception)


def shown(page: str) -> list[list[str]]:
    text = Path(__file__).parents[2].joinpath("docs", page).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("$ moderation-service records ")]
    assert len(lines) == 5
    return [shlex.split(line.partition(" > ")[0])[3:] for line in lines]


@pytest.mark.parametrize("page", ["records.md", "records.zh-CN.md"])
def test_the_commands_of_the_page_work(
    page: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(database, a_record(at=NOW - 1000))
    monkeypatch.chdir(tmp_path)
    for words in shown(page):
        done = run(*words, input="y\n")
        assert done.exit_code == 0, (words, done.output)
    assert len((tmp_path / "blocked.csv").read_text().splitlines()) == 2
