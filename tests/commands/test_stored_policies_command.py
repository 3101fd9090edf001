"""The commands for policies that the database keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from databases import sqlite_with_tables

from moderation_service.commands.cli import cli

FILE = """# Two that belong together.
policies:
  kids:
    description: For children.
    extends: strict  # as strict as can be
  teens:
    extends: kids
    actions: {controversial: flag}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("MODERATION_STORE", sqlite_with_tables(tmp_path / "moderation.db"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.yaml").write_text(FILE)

    def run(*words: str, **more: str) -> Result:
        return CliRunner().invoke(cli, list(words), env=more)

    return run


def told(done: Result) -> str:
    """What the command says went wrong."""
    assert done.exit_code != 0, done.output
    return f"{done.output} {done.exception}"


def test_the_policies_of_a_file_are_put_listed_read_changed_and_dropped(run: Run, tmp_path: Path) -> None:
    assert run("policies", "put", "two.yaml").output.split() == ["kids", "written", "teens", "written"]
    rows = [line.split()[:2] for line in run("policies", "list").output.splitlines()]
    assert rows[2:] == [["loose", "built"], ["kids", "database"], ["teens", "database"]]
    # Each is kept by itself, with its comments, and comes back as a file.
    text = run("policies", "get", "kids").output
    assert text == "policies:\n  kids:\n    description: For children.\n    extends: strict  # as strict as can be\n"
    (tmp_path / "kids.yaml").write_text(text.replace("strict ", "loose "))
    assert run("policies", "put", "kids.yaml", "--over", "1").output.split() == ["kids", "written"]
    assert "as it was" in run("policies", "put", "kids.yaml").output
    assert "(change 2)" in told(run("policies", "put", "kids.yaml", "--over", "1"))
    assert run("policies", "get", "kids", "--change", "1").output == text
    versions = [line.split() for line in run("policies", "versions", "kids").output.splitlines()]
    assert [(one[0], *one[3:]) for one in versions] == [("2", "command", "line"), ("1", "command", "line")]
    assert "`extends`: no policy 'kids'" in told(run("policies", "drop", "kids"))
    assert run("policies", "drop", "kids", "teens").exit_code == 0
    assert "There is no policy 'kids' in the database." in told(run("policies", "get", "kids"))
    assert run("policies", "versions", "kids").output.split()[2] == "dropped"


def test_other_commands_know_them(run: Run) -> None:
    run("policies", "put", "two.yaml")
    shown = json.loads(run("policies", "show", "teens").output)
    assert shown["prompt"]["actions"]["controversial"] == "flag"
    assert "prompt.actions.controversial" in run("policies", "diff", "kids", "teens").output
    assert run("policies", "compare", "strict", "teens").exit_code == 0
    assert run("apps", "create", "shop", "--policies", "kids").exit_code == 0
    assert "the app 'shop' names it" in told(run("policies", "drop", "kids", "teens"))
    # Also as the default policy.
    assert json.loads(run("policies", "show", "kids", MODERATION_DEFAULT_POLICY="kids").output)["name"] == "kids"
    assert "it is `default_policy`" in told(run("policies", "drop", "teens", MODERATION_DEFAULT_POLICY="teens"))


def test_what_files_name_can_not_be_dropped(run: Run, tmp_path: Path) -> None:
    run("policies", "put", "two.yaml")
    (tmp_path / "key").write_text("key-of-the-shop-0123456789")
    (tmp_path / "apps.yaml").write_text("apps: {shop: {keys: {a: {file: key}}, policies: [teens]}}")
    assert "the app 'shop' names it" in told(run("policies", "drop", "teens", MODERATION_APPS_FILE="apps.yaml"))
    (tmp_path / "answers.csv").write_text("question,answer,policies\nwhy?,because,teens\n")
    assert "a prepared answer is for it" in told(
        run("policies", "drop", "teens", MODERATION_ANSWERS_FILE="answers.csv")
    )
    assert run("policies", "drop", "teens").exit_code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policies:\n  a: {}\n  b:\n    actions: {unsafe: no}\n", "policy b:3: `actions.unsafe` must be one of"),
        ("policies:\n  a:\n    actions: {unsafe: no}\n", "mistaken.yaml:3: `actions.unsafe` must be one of"),
        ("policies:\n  ../a: {}\n", "mistaken.yaml:2: policy name '../a'"),
        ("policies:\n  strict: {}\n", "The policy 'strict' is built in, or in the policies file."),
        ("policies: {a: {}, b: {}}", "mistaken.yaml:1: policy 'a' must stand on lines of its own"),
        ("policies:\n  a: &x\n    extends: strict\n  b: *x\n", "mistaken.yaml:4: policy 'b' must stand on lines"),
        ("policies: {}", "mistaken.yaml:1: the file defines no policy"),
        ("", "mistaken.yaml:1: the file is empty"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_kept(run: Run, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mistaken.yaml").write_text(text)
    assert message in told(run("policies", "put", "mistaken.yaml"))
    assert len(run("policies", "list").output.splitlines()) == 3


def test_a_policy_of_the_file_is_changed_there(run: Run, tmp_path: Path) -> None:
    done = run("policies", "put", "two.yaml", MODERATION_POLICIES_FILE=str(tmp_path / "two.yaml"))
    assert "The policy 'kids' is built in, or in the policies file." in told(done)


def test_without_a_database_there_are_those_of_the_file_only(run: Run, tmp_path: Path) -> None:
    done = run("policies", "list", "--policies-file", "two.yaml", MODERATION_STORE="off")
    assert [line.split()[0] for line in done.output.splitlines()][3:] == ["kids", "teens"]
    # None is made for a question.
    new = f"sqlite:///{tmp_path / 'new.db'}"
    assert run("policies", "list", MODERATION_STORE=new).exit_code == 0
    assert not (tmp_path / "new.db").exists()
