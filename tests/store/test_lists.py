"""Lists in the database: edits, their trail, services that have them at once, and dry runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from processes import environment, running, until
from sqlalchemy import Connection, select

from moderation_service.commands.cli import cli
from moderation_service.config.settings import Settings
from moderation_service.core.app import App
from moderation_service.core.list_entry import Entry, entry_of
from moderation_service.core.listing import Attached
from moderation_service.core.policy import BUILT_IN, Policies
from moderation_service.core.verdict import Target
from moderation_service.engines.lists import Lists, LiveLists
from moderation_service.errors import InvalidRequest, StoreUnavailable
from moderation_service.store.database import Database
from moderation_service.store.lists import (
    EditedLists,
    add_entries,
    attach_list,
    entries_of,
    lists_revision,
    make_list,
    read_lists,
    remove_entry,
    remove_list,
)
from moderation_service.store.schema import decisions, trail
from moderation_service.web.lists import open_lists


def entry(text: str, **fields: Any) -> Entry:
    return entry_of({"text": text, **fields}, list_name="own")


def add(database: Database, *entries: Entry, policy: str | None = None) -> None:
    with database.write() as connection:
        if "own" not in {one.name for one in read_lists(connection)}:
            make_list(connection, "own", policy=policy, actor="people:kim")
        add_entries(connection, "own", entries, actor="people:kim")


def test_what_is_added_is_there_and_in_the_trail(database: Database) -> None:
    whole = entry("大麻", exceptions="大麻烦", category="pii", expires="2030-01-01", action="flag")
    add(database, whole, entry("weed", id="w"))
    add(database, entry("weed", id="w", reason="drugs"))
    with database.read() as connection:
        assert entries_of(connection, "own") == [whole, entry("weed", id="w", reason="drugs")]
        rows = connection.execute(select(trail).order_by(trail.c.id)).all()
    assert [(row.actor, row.action, row.subject) for row in rows] == [
        ("people:kim", "list.make", "lists/own"),
        ("people:kim", "list_entry.add", "lists/own"),
        ("people:kim", "list_entry.add", "lists/own"),
    ]
    assert json.loads(rows[2].before)[0]["text"] == "weed"
    assert json.loads(rows[2].after)[0]["reason"] == "drugs"


def test_what_is_removed_is_gone_and_in_the_trail(database: Database) -> None:
    add(database, entry("weed", id="w"), entry("grass", id="g"))
    with database.write() as connection:
        remove_entry(connection, "own", "w", actor="people:kim")
    with database.read() as connection:
        assert [one.id for one in entries_of(connection, "own")] == ["g"]
    with database.write() as connection:
        remove_list(connection, "own", actor="people:kim")
    assert EditedLists(database)() == ({}, Attached())


def test_whom_a_list_counts_for_is_changed_is_read_and_is_in_the_trail(database: Database) -> None:
    lists = Lists({})
    kept = live(database, lists)
    add(database, entry("weed"), policy="strict")
    kept.refresh()
    of_shop = Policies(BUILT_IN, default="balanced").of_app(App(name="shop"))
    assert [lists.names(of_shop.get(name)) for name in ("strict", "loose")] == [("own",), ()]
    with database.write() as connection:
        attach_list(connection, "own", policy=None, app="shop", actor="people:kim")
        attach_list(connection, "own", policy=None, app="shop", actor="people:kim")
    kept.refresh()
    assert [lists.names(of_shop.get(name)) for name in ("strict", "loose")] == [("own",), ("own",)]
    assert lists.names(BUILT_IN["strict"]) == ()
    with database.read() as connection:
        (row,) = connection.execute(select(trail).where(trail.c.action == "list.attach"))
    assert (json.loads(row.before), json.loads(row.after)) == (
        {"policy": "strict", "app": None},
        {"policy": None, "app": "shop"},
    )
    with database.write() as connection, pytest.raises(InvalidRequest, match="not for both"):
        attach_list(connection, "own", policy="strict", app="shop", actor="people:kim")


@pytest.mark.parametrize("name", ["", "Own List", "../x", "a" * 65, "'; drop table lists; --"])
def test_a_name_that_is_none_is_refused(database: Database, name: str) -> None:
    with database.write() as connection, pytest.raises(InvalidRequest):
        make_list(connection, name, policy=None, actor="people:kim")


def test_what_is_not_there_can_not_be_changed(database: Database) -> None:
    with database.write() as connection:
        with pytest.raises(InvalidRequest):
            add_entries(connection, "none", [entry("x")], actor="people:kim")
        make_list(connection, "own", policy=None, actor="people:kim")
        with pytest.raises(InvalidRequest):
            make_list(connection, "own", policy=None, actor="people:kim")
        with pytest.raises(InvalidRequest):
            remove_entry(connection, "own", "x' OR '1'='1", actor="people:kim")


# Read by services


def live(database: Database, lists: Lists) -> LiveLists:
    return LiveLists(lists, revision=lambda: lists_revision(database), read=EditedLists(database))


def block(lists: Lists, text: str, name: str = "own") -> str | None:
    found = lists.find([name], Target.PROMPT, text)
    return None if found is None or found.block is None else found.block.entry.id


def test_a_change_is_read_and_nothing_is_read_without_one(database: Database) -> None:
    lists = Lists({"files": [entry("bread", id="b")]})
    kept = live(database, lists)
    assert kept.refresh()
    assert not kept.refresh()
    add(database, entry("weed", id="w"), policy="strict")
    assert kept.refresh()
    assert block(lists, "weed") == "w"
    with database.write() as connection:
        remove_list(connection, "own", actor="people:kim")
    assert kept.refresh()
    assert (block(lists, "weed"), block(lists, "bread", "files")) == (None, "b")


def test_a_list_of_a_file_goes_before_one_of_its_name_in_the_database(database: Database) -> None:
    lists = Lists({"own": [entry("bread", id="file")]})
    add(database, entry("weed", id="w"))
    live(database, lists).refresh()
    assert (block(lists, "weed"), block(lists, "bread")) == (None, "file")


def test_a_database_that_is_away_leaves_the_lists_as_they_are(database: Database) -> None:
    lists = Lists({})
    add(database, entry("weed", id="w"))

    def revision() -> int:
        if away:
            raise StoreUnavailable("Away.")
        return lists_revision(database)

    away = False
    kept = LiveLists(lists, revision=revision, read=EditedLists(database))
    kept.refresh()
    away = True
    with pytest.raises(StoreUnavailable):
        kept.refresh()
    assert block(lists, "weed") == "w"


def test_a_reload_while_the_database_is_away_goes_on_with_the_lists_as_they_were(database: Database) -> None:
    add(database, entry("weed", id="w"), policy="strict")
    _, earlier = open_lists(Settings(), database)

    class Away(Database):
        def read(self) -> AbstractContextManager[Connection]:
            raise StoreUnavailable("Away.")

    lists, _ = open_lists(Settings(), Away(database.url), earlier=earlier)
    assert lists is not None
    assert block(lists, "weed") == "w"
    assert lists.names(BUILT_IN["strict"]) == ("own",)


def test_an_entry_that_nothing_can_be_made_of_ends_no_later_edits(database: Database) -> None:
    lists, faults = Lists({}), [InvalidRequest("`text` is missing."), ValueError("no JSON")]
    read = EditedLists(database)

    def edited() -> tuple[dict[str, list[Entry]], Attached]:
        if faults:
            raise faults.pop()
        return read()

    kept = LiveLists(lists, revision=lambda: lists_revision(database), read=edited, every_s=0.01)
    add(database, entry("weed", id="w"))
    kept.open()
    until(lambda: "own" in set(lists))
    kept.close()
    assert not faults


def test_a_process_that_was_forked_long_after_they_were_read_reads_them_at_once(database: Database) -> None:
    lists = Lists({})
    kept = LiveLists(lists, revision=lambda: lists_revision(database), read=EditedLists(database), every_s=3600)
    kept.refresh()
    add(database, entry("weed", id="w"))
    kept.open()
    until(lambda: "own" in set(lists))
    kept.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[str, Database]]:
    address = f"sqlite:///{tmp_path}/records.db"
    database = Database(address)
    yield address, database
    database.close()


@pytest.mark.store
def test_running_workers_have_an_edit_within_seconds_and_record_what_it_decided(
    tmp_path: Path, store: tuple[str, Database]
) -> None:
    address, database = store
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies:\n  balanced:\n    keep_text: all\n")
    settings = {"MODERATION_STORE": address, "MODERATION_POLICIES_FILE": str(policies), "MODERATION_WORKERS": "2"}
    words = tmp_path / "hotfix.csv"
    words.write_text("id,text\nq,quokka\n")
    with running(**settings) as service:

        def judged() -> dict[str, Any]:
            return service.request("POST", "/moderate", {"prompt": "I like a quokka."}).json

        assert judged()["action"] == "allow"
        runner = CliRunner(env=environment(**settings))
        tried = runner.invoke(cli, ["lists", "import", str(words), "--policy", "balanced"])
        assert tried.output == "hotfix: 1 entries.\n", tried.exception
        # Ten in a row may all come from the worker that was first to look: nothing after this asks for the other.
        until(lambda: all((judged().get("list_entry") or {}).get("list") == "hotfix" for _ in range(10)))
        with database.write() as connection:
            remove_entry(connection, "hotfix", "q", actor="people:kim")
        until(lambda: all(judged()["action"] == "allow" for _ in range(10)))
        # A worker gathers records for up to half a second; one that is told to end writes them, a killed one can't.
        assert service.stop() == 0
    done = runner.invoke(cli, ["lists", "try", str(words), "--examples", "1"])
    first, second = done.output.splitlines()
    assert first.startswith("Of ")
    assert first.split()[1] == first.split()[4]
    assert "BLOCK  'quokka' at 9, by hotfix/q" in second
    with database.read() as connection:
        assert set(connection.execute(select(decisions.c.list_entry)).scalars()) == {None, "hotfix/q"}
