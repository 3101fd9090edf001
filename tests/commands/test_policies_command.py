from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from recorded import Recorded, recorded_service

from moderation_service.commands.cli import cli

FILE = "policies:\n  own: {extends: balanced, actions: {controversial: block}, thresholds: {unsafe: 0.9}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    with recorded_service(tmp_path) as made:
        made.moderate("bread", "an election", "an insult", "a bomb")
        yield made


def run(*arguments: object, **variables: str) -> Result:
    return CliRunner().invoke(cli, ["policies", *map(str, arguments)], env=variables)


def compared(recorded: Recorded, *arguments: object) -> Result:
    done = run("compare", *arguments, MODERATION_STORE=recorded.url)
    assert done.exit_code == 0, done.output
    return done


def test_show_prints_what_a_policy_inherits_too(file: Path) -> None:
    shown = json.loads(run("show", f"{file}:own").output)
    assert shown["prompt"]["actions"] == {"safe": "allow", "controversial": "block", "unsafe": "block"}
    assert json.loads(run("show", "own", "--policies-file", file).output) == shown


def test_diff_prints_the_places_that_differ(file: Path) -> None:
    lines = [line.split() for line in run("diff", "balanced", f"{file}:own").output.splitlines()]
    assert [line[:2] for line in lines if line[0].startswith("prompt")] == [
        ["prompt.actions.controversial", "flag"],
        ["prompt.thresholds.unsafe", "-"],
    ]
    assert run("diff", "strict", "strict").output == ""


def test_a_policy_that_is_none_is_named_with_those_there_are(file: Path) -> None:
    done = run("show", f"{file}:mine")
    assert done.exit_code == 2
    assert "There is no policy 'mine'; there are balanced, loose, own, strict." in done.output


def test_compare_says_first_how_many_more_would_be_blocked(recorded: Recorded, file: Path) -> None:
    lines = compared(recorded, "balanced", f"{file}:own").output.splitlines()
    assert lines[:3] == [
        "4 checks, balanced (A) and own (B)",
        "  blocked by A 1, by B 3",
        "  B blocks 2 that A does not, and lets 0 pass that A blocks",
    ]
    assert any(line.split()[:1] == ["unethical_acts"] for line in lines)


def test_compare_as_json_names_examples_by_their_ids(recorded: Recorded) -> None:
    found: Any = json.loads(compared(recorded, "balanced", "strict", "--json").output)
    assert (found["checks"], found["newly_blocked"], found["unknown"], found["aside"]) == (4, 2, 0, {})
    assert [(one["a"], one["b"], one["safety"]) for one in found["examples"]] == [
        ("flag", "block", "controversial"),
        ("flag", "block", "controversial"),
    ]


def test_compare_as_csv_has_a_row_for_each_group(recorded: Recorded) -> None:
    rows = list(csv.DictReader(io.StringIO(compared(recorded, "balanced", "strict", "--csv").output)))
    assert [(row["group"], row["name"]) for row in rows][:2] == [("all", ""), ("app", "")]
    assert [row["newly_blocked"] for row in rows if row["group"] == "category"] == ["1", "1", "0"]


@pytest.mark.parametrize("since", ["1h", "7d", "2020-01-01", "2020-01-01T00:00+08:00"])
def test_a_period_is_a_while_ago_or_a_date(recorded: Recorded, since: str) -> None:
    assert compared(recorded, "loose", "strict", "--since", since).output.startswith("4 checks")
    assert compared(recorded, "loose", "strict", "--until", "2020-01-02").output.startswith("0 checks")


@pytest.mark.parametrize("since", ["yesterday", "-1d", "9999999d"])
def test_what_is_no_period_is_refused(recorded: Recorded, since: str) -> None:
    done = run("compare", "loose", "strict", "--since", since, MODERATION_STORE=recorded.url)
    assert done.exit_code == 2
    assert "neither a time ago" in done.output


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    done = run("compare", "loose", "strict", MODERATION_STORE="off")
    assert done.exit_code == 1
    assert "no database of records" in str(done.exception)
