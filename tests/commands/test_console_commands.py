"""The commands under `console`, on a database of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from databases import sqlite_with_tables

from moderation_service.commands.cli import cli
from moderation_service.console.passwords import is_password
from moderation_service.core.person import Person, Role
from moderation_service.errors import ConfigurationError
from moderation_service.store import people
from moderation_service.store.database import Database
from moderation_service.store.schema import trail
from moderation_service.store.trail import now_ms

PASSWORD = "correct horse battery staple"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    address = sqlite_with_tables(tmp_path / "people.db")
    monkeypatch.setenv("MODERATION_STORE", address)
    return Database(address)


def run(*arguments: str, typed: str = "") -> str:
    done = CliRunner().invoke(cli, ["console", *arguments], input=typed)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def account(database: Database, name: str) -> Any:
    with database.read() as connection:
        return people.find_person(connection, name)


def test_somebody_is_added_with_the_password_that_was_typed_twice(database: Database) -> None:
    shown = run("user", "add", "anna", "--role", "reviewer", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert PASSWORD not in shown
    anna = account(database, "anna")
    assert anna.role is Role.REVIEWER
    assert is_password(PASSWORD, anna.password)
    assert not is_password(PASSWORD + "x", anna.password)


@pytest.mark.parametrize(
    ("arguments", "typed", "said"),
    [
        (["add", "anna"], "too short\n", "12 characters or more"),
        (["add", "anna"], f"{PASSWORD}\n{PASSWORD}x\n", "two passwords differ"),
        (["add", " anna"], "", "without spaces"),
        (["add", "a\tb"], "", "can be printed"),
        (["disable", "nobody"], "", "nobody named 'nobody'"),
    ],
)
def test_mistakes_are_told(database: Database, arguments: list[str], typed: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        run("user", *arguments, typed=typed)
    assert account(database, "anna") is None


def test_a_name_is_taken_once(database: Database) -> None:
    run("user", "add", "anna", "--password-stdin", typed=f"{PASSWORD}\n")
    with pytest.raises(ConfigurationError, match="already"):
        run("user", "add", "anna", "--password-stdin", typed=f"{PASSWORD}\n")


@pytest.mark.parametrize(
    "change", [["disable", "anna"], ["role", "anna", "viewer"], ["password", "anna", "--password-stdin"]]
)
def test_a_change_ends_the_sessions_and_is_in_the_trail(database: Database, change: list[str]) -> None:
    run("user", "add", "anna", "--role", "admin", "--password-stdin", typed=f"{PASSWORD}\n")
    with database.write() as connection:
        secret = people.begin_session(connection, account(database, "anna").person, now_ms=now_ms(), lifetime_ms=60_000)
    run("user", *change, typed="another password of mine\n")
    with database.read() as connection:
        assert people.find_session(connection, secret, now_ms=now_ms()) is None
        rows = connection.execute(trail.select().order_by(trail.c.id)).all()
    assert [row.action for row in rows] == ["people.add", f"people.{change[0]}"]
    assert "argon2" not in str(rows)


def test_the_list_says_who_may_what(database: Database) -> None:
    run("user", "add", "anna", "--password-stdin", typed=f"{PASSWORD}\n")
    run("user", "disable", "anna")
    assert [line.split()[:3] for line in run("user", "list").splitlines()] == [["anna", "viewer", "disabled"]]
    run("user", "enable", "anna")
    assert "active" in run("user", "list")


def test_a_link_signs_in_once(database: Database) -> None:
    shown = run("link", "--console-url", "https://console.example")
    assert shown.startswith("https://console.example/console/enter?token=")
    secret = shown.strip().partition("token=")[2]
    with database.write() as connection:
        assert people.use_link(connection, secret, now_ms=now_ms()) == Person(people.BY_LINK, Role.ADMIN)
        assert people.use_link(connection, secret, now_ms=now_ms()) is None


def test_without_a_database_there_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_STORE", "off")
    with pytest.raises(ConfigurationError, match="there is no database"):
        run("user", "list")


def test_somebody_of_a_provider_is_added_by_their_subject(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="needs `console_oidc_issuer`"):
        run("user", "add", "anna", "--subject", "s-1")
    monkeypatch.setenv("MODERATION_CONSOLE_OIDC_ISSUER", "https://id.example")
    run("user", "add", "anna", "--subject", "s-1", "--role", "admin")
    anna = account(database, "anna")
    assert (anna.issuer, anna.subject, anna.password) == ("https://id.example", "s-1", None)
