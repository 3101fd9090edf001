"""Policies that people keep in the database: on every database that the store runs on."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from moderation_service.config.policy_file import load_policies, read_policies
from moderation_service.config.policy_text import stored_policies
from moderation_service.core.policy import Policies
from moderation_service.core.verdict import Action, Severity, Target
from moderation_service.errors import ConfigurationError, HasChanged, InvalidRequest, NotFound
from moderation_service.store import apps, policies
from moderation_service.store.database import Database
from moderation_service.store.lists import make_list
from moderation_service.store.schema import trail

KIDS = "policies:\n  kids:\n    extends: strict  # for the small ones\n    description: For children.\n"
TEENS = "policies:\n  teens: {extends: kids, actions: {controversial: flag}, shadow: strict}\n"
IN_FILE = "policies:\n  school: {extends: strict}\n"


@pytest.fixture
def of_file(tmp_path: Path) -> Policies:
    file = tmp_path / "policies.yaml"
    file.write_text(IN_FILE)
    return load_policies(file, default="balanced")


def put(database: Database, of_file: Policies, actor: str = "anna", over: int | None = None, **texts: str) -> list[str]:
    with database.write() as connection:
        return policies.put(connection, texts, of_file=of_file, lists=["drugs"], actor=actor, over=over)


def drop(database: Database, of_file: Policies, *names: str, named: dict[str, str] | None = None, **more: Any) -> None:
    with database.write() as connection:
        policies.drop(connection, names, of_file=of_file, named=named or {}, actor="anna", **more)


def kept(database: Database) -> dict[str, str]:
    with database.read() as connection:
        return policies.texts_of(connection)


def test_a_policy_is_kept_as_it_was_written_with_all_its_versions(database: Database, of_file: Policies) -> None:
    assert put(database, of_file, kids=KIDS) == ["kids"]
    assert put(database, of_file, "bert", kids=KIDS.replace("strict", "loose")) == ["kids"]
    # What changes nothing makes no version.
    assert put(database, of_file, kids=KIDS.replace("strict", "loose")) == []
    drop(database, of_file, "kids")
    assert kept(database) == {}
    put(database, of_file, kids=KIDS)
    with database.read() as connection:
        versions = policies.history(connection, "kids")
        assert policies.find(connection, "kids").text == KIDS
    assert [(one.number, one.actor, one.text and one.text.split()[3]) for one in versions] == [
        (4, "anna", "strict"),
        (3, "anna", None),
        (2, "bert", "loose"),
        (1, "anna", "strict"),
    ]
    # The version is that of the records: of what the policy says.
    assert versions[0].version == versions[3].version != versions[1].version
    assert versions[2].version is not None
    with pytest.raises(NotFound), database.read() as connection:
        policies.find(connection, "nobody")


def test_every_change_is_in_the_trail_with_the_rules_that_it_changed(database: Database, of_file: Policies) -> None:
    put(database, of_file, kids=KIDS)
    put(database, of_file, "bert", kids=KIDS.replace("strict", "balanced"))
    drop(database, of_file, "kids")
    with database.read() as connection:
        rows = list(connection.execute(select(trail).order_by(trail.c.id)))
    assert [(row.actor, row.action, row.subject) for row in rows] == [
        ("anna", "policy.create", "policies/kids"),
        ("bert", "policy.change", "policies/kids"),
        ("anna", "policy.drop", "policies/kids"),
    ]
    places = {"prompt.actions.controversial", "response.actions.controversial"}
    before, after = json.loads(rows[1].before), json.loads(rows[1].after)
    assert before.keys() == after.keys() == {"version", *places}
    assert {(before[place], after[place]) for place in places} == {("block", "flag")}
    assert rows[0].before is None
    assert rows[2].after is None
    assert json.loads(rows[2].before)["description"] == "For children."


def test_what_is_kept_may_extend_the_file_the_built_in_and_what_is_kept(database: Database, of_file: Policies) -> None:
    # The one that is extended comes later, in the alphabet and in time.
    both = {"kids": KIDS, "a": "policies: {a: {extends: kids, shadow: [teens, school]}}", "teens": TEENS}
    assert sorted(put(database, of_file, **both)) == ["a", "kids", "teens"]
    put(database, of_file, pupils="policies: {pupils: {extends: school}}")
    found = of_file.and_stored(stored_policies(kept(database), of_file))
    assert found.get("teens").rules[Target.PROMPT].actions[Severity.CONTROVERSIAL] is Action.FLAG
    assert [one.name for one in found.get("a").shadow] == ["teens", "school"]
    assert found.get("pupils").rules == found.get("strict").rules


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("new", "policies:\n  new:\n    actions: {unsafe: blok}\n", "policy new:3: `actions.unsafe` must be one of"),
        ("new", "policies:\n  new: {thresholds: {unsafe: 7}}", "policy new:2: `thresholds.unsafe` must be a number"),
        ("new", "policies:\n  new: {thresholds: {unsafe: .nan}}", "`thresholds.unsafe` must be a number"),
        ("new", "policies:\n  new: {lists: gone}", "policy new:2: `lists`: there is no list 'gone'"),
        ("new", "policies:\n  new: {extends: nobody}", "`extends`: no policy 'nobody'"),
        ("new", "policies:\n  new: {shadow: nobody}", "`shadow`: policy 'nobody' is neither"),
        ("new", "policies:\n  new: {extends: new}", "may extend itself"),
        ("kids", KIDS.replace("strict", "teens"), "none of kids, teens may extend itself"),
        ("new", "policies:\n  other: {}", "it must define the policy 'new', and no other"),
        ("new", "policies: {new: {}, other: {}}", "it must define the policy 'new', and no other"),
        ("../x", "policies:\n  ../x: {}", "policy name '../x'"),
        ("__proto__", "policies:\n  __proto__: {}", "policy name '__proto__'"),
        ("kіds", "policies:\n  kіds: {}", "policy name"),
        ("n" * 65, f"policies:\n  {'n' * 65}: {{}}", "policy name"),
        ("strict", "policies: {strict: {extends: loose}}", "is built in, or in the policies file"),
        ("school", "policies: {school: {extends: loose}}", "is built in, or in the policies file"),
        ("new", "", "the file is empty"),
        ("new", "policies: " + "[" * 3000, "nested too deeply"),
        ("new", "policies: {new: {description: '" + "x" * 64_000 + "'}}", "the limit is 64000"),
        ("new", "policies: {new: {description: 'a\0b'}}", "not valid YAML"),
        ("new", "policies: &a\n  new: *a", "policy 'new' has an unknown field 'new'"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_changes_nothing(
    database: Database, of_file: Policies, name: str, text: str, told: str
) -> None:
    put(database, of_file, kids=KIDS, teens=TEENS)
    with pytest.raises(InvalidRequest) as caught:
        put(database, of_file, **{name: text})
    assert told in caught.value.message
    assert kept(database) == {"kids": KIDS, "teens": TEENS}


def test_aliases_can_not_make_a_mountain_of_a_small_text(database: Database, of_file: Policies) -> None:
    tags = [f"a{one}{two}" for one in "abcdefghij" for two in "abcdefghij"]
    messages = ", ".join(f"{tag}: {'*t' if at else '&t ' + 'x' * 2000}" for at, tag in enumerate(tags))
    answers = "".join(f"      {category}: *m\n" for category in ("violent", "pii", "jailbreak"))
    text = f"policies:\n  new:\n    message: &m {{{messages}}}\n    answers:\n{answers}"
    with pytest.raises(InvalidRequest, match="too large with what it extends"):
        put(database, of_file, new=text)


def test_there_is_an_end_to_how_many_there_may_be(database: Database, of_file: Policies) -> None:
    put(database, of_file, **{f"p{at}": f"policies: {{p{at}: {{}}}}" for at in range(100)})
    with pytest.raises(InvalidRequest, match="There may be 100 policies"):
        put(database, of_file, new="policies: {new: {}}")
    put(database, of_file, p1="policies: {p1: {extends: strict}}")


def test_of_two_who_edit_the_same_policy_the_second_is_told(database: Database, of_file: Policies) -> None:
    put(database, of_file, kids=KIDS, over=0)
    with pytest.raises(HasChanged, match="There is a policy 'kids' already"):
        put(database, of_file, kids=TEENS.replace("teens", "kids"), over=0)
    put(database, of_file, "bert", kids=KIDS + "    streaming: hold\n", over=1)
    with pytest.raises(HasChanged, match=r"has changed meanwhile: bert has changed it \(change 2\)"):
        put(database, of_file, kids=KIDS + "    keep_text: all\n", over=1)
    with pytest.raises(HasChanged, match="has changed meanwhile"):
        drop(database, of_file, "kids", over=1)
    drop(database, of_file, "kids", over=2)
    with pytest.raises(HasChanged, match="has dropped it"):
        put(database, of_file, kids=KIDS, over=2)


def test_of_two_who_save_at_the_same_moment_one_is_told(database: Database, of_file: Policies) -> None:
    put(database, of_file, kids=KIDS)
    told: list[str] = []
    start = threading.Barrier(2)

    def save(action: str) -> None:
        start.wait()
        try:
            put(database, of_file, action, kids=f"{KIDS}    on_uncovered: {action}\n", over=1)
        except HasChanged as error:
            told.append(error.message)

    threads = [threading.Thread(target=save, args=(action,)) for action in ("flag", "block")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    with database.read() as connection:
        assert [one.number for one in policies.history(connection, "kids")] == [2, 1]


def test_what_something_else_needs_stays(database: Database, of_file: Policies) -> None:
    put(
        database,
        of_file,
        kids=KIDS,
        teens=TEENS,
        club="policies: {club: {}}",
        shade="policies: {shade: {shadow: club}}",
    )
    with database.write() as connection:
        apps.create(connection, "shop", {"policies": ["teens"]}, policies=["teens"], actor="anna")
        make_list(connection, "words", policy="shade", actor="anna")
    for name, told in {
        "kids": "policy teens of the database:2: `extends`: no policy 'kids'",
        "club": "policy shade of the database:1: `shadow`: policy 'club'",
        "teens": "is needed: the app 'shop' names it",
        "shade": "is needed: the list 'words' counts for it",
    }.items():
        with pytest.raises(InvalidRequest) as caught:
            drop(database, of_file, name)
        assert told in caught.value.message
    put(database, of_file, usual="policies: {usual: {}}")
    with pytest.raises(InvalidRequest, match="is needed: it is `default_policy`"):
        drop(database, of_file, "usual", named={"usual": "it is `default_policy`"})
    with pytest.raises(NotFound):
        drop(database, of_file, "nobody")
    assert len(kept(database)) == 5


def test_a_change_of_what_others_extend_must_not_break_them(database: Database, of_file: Policies) -> None:
    more = "policies:\n  teens:\n    extends: kids\n" + tools(20, "b")
    put(database, of_file, kids=KIDS + tools(40, "a"), teens=more)
    with pytest.raises(InvalidRequest, match="policy teens of the database:5: `tools` may have 64 globs"):
        put(database, of_file, kids=KIDS + tools(50, "a"))


def tools(number: int, letter: str) -> str:
    return "    tools:\n" + "".join(f"      {letter}{at}: {{}}\n" for at in range(number))


def test_those_that_a_change_of_the_file_has_broken_can_be_dropped_together(
    database: Database, of_file: Policies
) -> None:
    put(database, of_file, a="policies: {a: {extends: school}}", b="policies: {b: {extends: school}}")
    without = read_policies(None, default="balanced")
    with pytest.raises(ConfigurationError, match="policy a of the database:1: `extends`: no policy 'school'"):
        stored_policies(kept(database), without)
    drop(database, without, "a", "b")
    assert kept(database) == {}


def test_one_of_the_same_name_in_the_file_counts(database: Database, of_file: Policies, tmp_path: Path) -> None:
    put(database, of_file, kids=KIDS)
    file = tmp_path / "more.yaml"
    file.write_text("policies: {kids: {extends: loose}}")
    of_file = load_policies(file, default="balanced")
    found = of_file.and_stored(stored_policies(kept(database), of_file))
    assert found.get("kids").rules == found.get("loose").rules
    with database.write() as connection:
        apps.create(connection, "shop", {"policies": ["kids"]}, policies=["kids"], actor="anna")
    # Nothing needs the one of the database then.
    drop(database, of_file, "kids", named={"kids": "it is `default_policy`"})
