from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from moderation_service.commands.cli import cli
from moderation_service.store.database import Database
from moderation_service.store.lists import read_lists


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "house.csv").write_text(
        "id,side,kind,text,exceptions,reason,expires\n"
        "w1,block,word,weed,,drugs,\n"
        "b1,allow,phrase,bath bomb,,a product,\n"
        "old,block,word,grass,,,2001-01-01\n"
        "p1,block,pattern,[0-9]{16},,,\n",
        encoding="utf-8",
    )
    (tmp_path / "zh.txt").write_text("毒品\n", encoding="utf-8")
    return tmp_path


def run(*words: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, ["lists", *words], **options)


def test_check_says_what_is_in_the_lists(folder: Path) -> None:
    done = run("check", str(folder))
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        f"{'house':<24} 4 entries: 3 block, 1 allow, 1 pattern, 1 expired",
        f"{'zh':<24} 1 entries: 1 block, 0 allow, 0 pattern, 0 expired",
    ]


def test_check_says_where_a_pattern_is_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,kind\nweed,\n(?=a)b,pattern\n")
    done = run("check", str(tmp_path))
    assert done.exit_code != 0
    assert str(done.exception).startswith(f"{tmp_path}/a.csv:3: the pattern is refused")


def test_test_says_which_entries_stand_in_a_text(folder: Path) -> None:
    done = run("test", "grass and weed for my Bath  Bomb", "--lists-file", str(folder))
    assert done.exit_code == 3
    assert done.output.splitlines() == [
        "BLOCK  'weed' at 10, by house/w1: drugs",
        "ALLOW  'Bath  Bomb' at 22, by house/b1: a product",
    ]
    told = run("test", "-", "--lists-file", str(folder), "--list", "zh", "--json", input="卖毒品")
    assert (told.exit_code, [(one["text"], one["start"], one["end"]) for one in json.loads(told.output)]) == (
        3,
        [("毒品", 1, 3)],
    )
    assert run("test", "bread", "--lists-file", str(folder)).output == "No entry stands in it.\n"


def test_what_is_exported_is_read_again(folder: Path) -> None:
    for form in ("csv", "jsonl"):
        done = run("export", "house", "--format", form, "--lists-file", str(folder))
        (folder / f"again-{form}.{form}").write_text(done.output, encoding="utf-8")
    assert (
        run("check", str(folder / "again-csv.csv")).output.split(maxsplit=1)[1]
        == (run("check", str(folder / "again-jsonl.jsonl")).output.split(maxsplit=1)[1])
    )


def test_a_list_that_is_not_there_is_named(folder: Path) -> None:
    done = run("export", "none", "--lists-file", str(folder))
    assert str(done.exception) == "there is no list 'none'; there are house, zh."


def test_a_list_is_given_to_an_app_that_there_is(folder: Path, tmp_path: Path) -> None:
    variables = {"MODERATION_STORE": f"sqlite:///{tmp_path / 'records.db'}"}
    words = str(folder / "zh.txt")

    def done(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, env=variables)

    assert done("apps", "create", "shop", "--policies", "strict").exit_code == 0
    assert "there is no app 'shp'; there are shop" in str(done("lists", "import", words, "--app", "shp").exception)
    refused = done("lists", "import", words, "--policy", "blanced").exception
    assert "there is no policy 'blanced'" in str(refused)
    assert "not for both" in str(done("lists", "import", words, "--policy", "strict", "--app", "shop").exception)
    assert done("lists", "import", words, "--app", "shop").output == "zh: 1 entries.\n"
    assert "there is no list 'zn'; there are zh" in str(done("apps", "change", "shop", "--lists", "zn").exception)
    assert done("apps", "change", "shop", "--lists", "zh").exit_code == 0
    assert json.loads(done("apps", "show", "shop").output)["lists"] == ["zh"]
    assert done("lists", "import", words, "--policy", "strict").exit_code == 0
    database = Database(variables["MODERATION_STORE"])
    with database.read() as connection:
        (stored,) = read_lists(connection)
    assert (stored.policy, stored.app) == ("strict", None)
    database.close()
