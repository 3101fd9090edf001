"""Apps that people manage: on every database that the store runs on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_files import headers
from apps import client_of
from fakes import FakeEngine
from processes import Running, run_command, running, until
from sqlalchemy import select

from moderation_service.config.settings import Settings
from moderation_service.core.app import Door, key_digest
from moderation_service.core.verdict import Action
from moderation_service.errors import InvalidRequest, NotFound
from moderation_service.observability.metrics import Metrics
from moderation_service.store import apps, escalations
from moderation_service.store.database import Database
from moderation_service.store.escalations import StoredEscalation
from moderation_service.store.opened import open_store
from moderation_service.store.schema import keys, trail
from moderation_service.store.trail import now_ms
from moderation_service.web.escalation import Escalated, Escalator, SharedStandings
from moderation_service.web.following import Following
from moderation_service.web.service import Service, build_service

POLICIES = ("strict", "balanced")
DAY_S = 86_400
TOLD = {"description": "The shop.", "policies": ["strict"], "doors": ["moderate"], "limits": {"per_minute": 9}}


def create(database: Database, name: str = "shop", content: dict[str, Any] | None = None, **more: Any) -> str:
    with database.write() as connection:
        return apps.create(connection, name, content or {}, policies=POLICIES, actor="anna", **more)


def stored(database: Database, name: str = "shop") -> apps.StoredApp:
    with database.read() as connection:
        return apps.find(connection, name)


def test_an_app_is_kept_in_the_words_of_the_file_and_its_key_as_a_hash_only(database: Database) -> None:
    key = create(database, content=TOLD)
    found = stored(database)
    assert (found.app.description, found.app.policies, found.app.policy) == ("The shop.", {"strict"}, "strict")
    assert (found.app.doors, found.app.limits.per_minute, found.content) == ({Door.MODERATE}, 9, TOLD)
    assert [one.digest for one in found.app.keys] == [key_digest(key)]
    with database.read() as connection:
        everything = [*connection.execute(select(keys)), *connection.execute(select(trail))]
    assert key not in str(everything)
    assert found.keys[0].hint == key[-4:]


def test_a_new_key_lets_the_one_in_use_go_on_for_a_while_and_there_are_never_three(database: Database) -> None:
    first = create(database)
    with database.write() as connection:
        second = apps.rotate(connection, "shop", keep_s=7 * DAY_S, actor="anna")
    one, two = stored(database).app.keys
    assert (one.digest, two.digest) == (key_digest(first), key_digest(second))
    assert one.expires is not None
    assert abs(one.expires - now_ms() / 1000 - 7 * DAY_S) < 60
    assert two.expires is None
    with database.write() as connection:
        third = apps.rotate(connection, "shop", keep_s=DAY_S, actor="anna")
    assert [one.digest for one in stored(database).app.keys] == [key_digest(second), key_digest(third)]
    with database.write() as connection:
        last = apps.rotate(connection, "shop", keep_s=0, actor="anna")
    assert [one.digest for one in stored(database).app.keys] == [key_digest(last)]


def test_every_change_is_in_the_trail_with_who_and_what(database: Database) -> None:
    create(database, content={"limits": {"per_day": 1}})
    with database.write() as connection:
        changes = {"limits": {"per_day": 2}, "policy": "strict"}
        apps.change(connection, "shop", changes, policies=POLICIES, actor="bert")
        apps.switch(connection, "shop", is_on=False, actor="bert")
        apps.switch(connection, "shop", is_on=False, actor="bert")
        apps.revoke(connection, "shop", "1", actor="bert")
    with database.read() as connection:
        rows = list(connection.execute(select(trail).order_by(trail.c.id)))
    assert [(row.actor, row.action, row.subject) for row in rows] == [
        ("anna", "app.create", "apps/shop"),
        *[("bert", f"app.{word}", "apps/shop") for word in ("change", "disable", "revoke")],
    ]
    assert json.loads(rows[1].before) == {"limits": {"per_day": 1}}
    assert json.loads(rows[1].after) == {"limits": {"per_day": 2}, "policy": "strict"}
    found = stored(database)
    assert (found.app.is_enabled, found.app.keys) == (False, ())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("Shop", {}, "The name of an app"),
        ("shop", {}, "There is an app of this name already."),
        ("in-file", {}, "There is an app of this name already."),
        ("new", {"policy": "gentle"}, "`policy`: there is no policy 'gentle'"),
        ("new", {"policies": ["strict", "balanced"]}, "needs a `policy`"),
        ("new", {"doors": ["window"]}, "`doors` must be one of"),
        ("new", {"limits": {"per_hour": 1}}, "unknown field 'per_hour'"),
        ("new", {"limits": {"per_day": -1}}, "`limits.per_day` must be a whole number"),
        ("new", {"keys": {"a": {"sha256": "x"}}}, "unknown field 'keys'"),
        ("new", {"expires": "soon"}, "`expires` must be a day"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(
    database: Database, name: str, content: dict[str, Any], told: str
) -> None:
    create(database)
    with pytest.raises(InvalidRequest) as caught:
        create(database, name, content, taken=["in-file"])
    assert told in caught.value.message
    with database.read() as connection:
        assert [one.app.name for one in apps.load_apps(connection)] == ["shop"]


@pytest.mark.parametrize("text", ["店 😀 𠀀", "\\ud83d\\ude00", "a\x85\x7f\x00\x1b: # {"])
def test_a_description_may_have_any_character(database: Database, text: str) -> None:
    create(database, content={"description": text})
    assert stored(database).app.description == text


def test_what_is_not_there_can_not_be_changed(database: Database) -> None:
    with database.write() as connection, pytest.raises(NotFound):
        apps.rotate(connection, "nobody", keep_s=0, actor="anna")
    create(database)
    with database.write() as connection, pytest.raises(NotFound):
        apps.revoke(connection, "shop", "7", actor="anna")


def test_a_policy_that_has_gone_refuses_the_app_and_not_all_apps(database: Database) -> None:
    with database.write() as connection:
        apps.create(connection, "shop", {"policies": ["gone"]}, policies=["gone"], actor="anna")
        assert apps.find(connection, "shop").app.policy == "gone"


def test_escalations_are_on_record_and_undone_once(database: Database) -> None:
    now = now_ms()
    with database.write() as connection:
        begun = StoredEscalation(0, "shop", "ab" * 16, "strict", Action.BLOCK, 3, now, now + 9000, None, None)
        escalations.add(connection, [begun])
        (found,) = escalations.latest(connection)
        assert (found.end_user, found.action, found.is_running(now), found.is_running(now + 9000)) == (
            *("ab" * 16, Action.BLOCK, True, False),
        )
        assert escalations.undone_since(connection, 0) == []
        escalations.undo(connection, found.id, actor="anna")
        escalations.undo(connection, found.id, actor="bert")
        (undone,) = escalations.undone_since(connection, now)
    assert (undone.undone_by, undone.is_running(now)) == ("anna", False)
    with database.write() as connection, pytest.raises(NotFound):
        escalations.undo(connection, 999, actor="anna")


# What a process follows


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """Makes a service whose apps are in the file of a database, and what follows it."""
    with contextlib.ExitStack() as ends:

        def make(earlier: Service | None = None) -> tuple[Service, Following]:
            settings = Settings()
            store = open_store(f"sqlite:///{tmp_path / 'followed.db'}", settings, events=Metrics(version="0"))
            assert store is not None
            ends.callback(store.close)
            made = build_service(settings, engine=FakeEngine(), store=store, earlier=earlier)
            assert made.following is not None
            return made, made.following

        yield make


def test_a_reload_while_the_database_is_away_opens_the_service_to_nobody(serve: Any, tmp_path: Path) -> None:
    first, following = serve()
    assert client_of(first).post("/moderate", json={"prompt": "hello"}).status_code == 200
    key = create(first.database)
    following.refresh()
    first.database.close()
    file = tmp_path / "followed.db"
    kept = file.read_bytes()
    for one in tmp_path.glob("followed.db*"):
        one.unlink()
    file.write_bytes(b"no database" * 100)
    second, following = serve(first)
    client = client_of(second)
    assert client.post("/moderate", json={"prompt": "hello"}).status_code == 401
    assert client.post("/moderate", json={"prompt": "hello"}, headers=headers(key)).status_code == 200
    file.write_bytes(kept)
    with second.database.write() as connection:
        apps.revoke(connection, "shop", "1", actor="anna")
    assert following.refresh_or_go_on()
    assert client.post("/moderate", json={"prompt": "hello"}, headers=headers(key)).status_code == 401


def test_what_one_worker_has_read_holds_for_those_that_are_made_after_it(serve: Any, tmp_path: Path) -> None:
    first, following = serve()
    key = create(first.database)
    following.refresh()
    with first.database.write() as connection:
        apps.revoke(connection, "shop", "1", actor="anna")
    first.database.close()
    worker = os.fork()
    if not worker:  # the workers follow, and this process makes the next ones
        following.refresh()
        os._exit(0)
    assert os.waitpid(worker, 0)[1] == 0
    for one in tmp_path.glob("followed.db*"):
        one.unlink()
    (tmp_path / "followed.db").write_bytes(b"no database" * 100)
    # This process itself knows the key still; neither a reload nor another worker lets it in.
    second, _ = serve(first)
    assert client_of(second).post("/moderate", json={"prompt": "hello"}, headers=headers(key)).status_code == 401
    following.open()
    try:
        assert client_of(first).post("/moderate", json={"prompt": "hello"}, headers=headers(key)).status_code == 401
    finally:
        following.close(5)


def test_a_slow_worker_brings_no_revoked_key_back(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, slow = serve()
    second, quick = serve(first)
    key = create(first.database)
    load = apps.load_apps

    def overtaken(connection: Any) -> Any:
        found = load(connection)
        monkeypatch.setattr(apps, "load_apps", load)
        with second.database.write() as other:
            apps.revoke(other, "shop", "1", actor="anna")
        quick.refresh()
        return found

    monkeypatch.setattr(apps, "load_apps", overtaken)
    slow.refresh()
    assert client_of(first).post("/moderate", json={"prompt": "hello"}, headers=headers(key)).status_code == 401
    with first.database.write() as connection:
        new = apps.rotate(connection, "shop", keep_s=0, actor="anna")
    slow.refresh()
    assert client_of(first).post("/moderate", json={"prompt": "hello"}, headers=headers(new)).status_code == 200
    first.database.close()
    second.database.close()
    for one in tmp_path.glob("followed.db*"):
        one.unlink()
    (tmp_path / "followed.db").write_bytes(b"no database" * 100)
    third, _ = serve(second)
    for given, wanted in ((key, 401), (new, 200)):
        told = client_of(third).post("/moderate", json={"prompt": "hello"}, headers=headers(given))
        assert told.status_code == wanted


def test_that_there_are_no_apps_is_known_over_a_reload_without_the_database(serve: Any, tmp_path: Path) -> None:
    first, _ = serve()
    first.database.close()
    for one in tmp_path.glob("followed.db*"):
        one.unlink()
    (tmp_path / "followed.db").write_bytes(b"no database" * 100)
    second, _ = serve(first)
    assert client_of(second).post("/moderate", json={"prompt": "hello"}).status_code == 200


def test_a_start_while_the_database_is_away_opens_the_service_to_nobody(serve: Any, tmp_path: Path) -> None:
    before, _ = serve()
    key = create(before.database)
    before.database.close()
    file = tmp_path / "followed.db"
    kept = file.read_bytes()
    for one in tmp_path.glob("followed.db*"):
        one.unlink()
    file.write_bytes(b"no database" * 100)
    first, _ = serve()
    # A reload knows no more than the start did.
    second, following = serve(first)
    for client in (client_of(first), client_of(second)):
        for sent in ({}, headers(key), headers("some-other-key")):
            told = client.post("/moderate", json={"prompt": "hello"}, headers=sent)
            assert (told.status_code, told.get_json()["error"]["type"]) == (503, "store_unavailable")
            assert told.headers["Retry-After"] == "2"
    file.write_bytes(kept)
    assert following.refresh_or_go_on()
    assert client.post("/moderate", json={"prompt": "hello"}).status_code == 401
    assert client.post("/moderate", json={"prompt": "hello"}, headers=headers(key)).status_code == 200


def test_a_database_without_apps_that_comes_late_opens_the_service_again(serve: Any, tmp_path: Path) -> None:
    before, _ = serve()
    before.database.close()
    file = tmp_path / "followed.db"
    kept = file.read_bytes()
    file.write_bytes(b"no database" * 100)
    service, following = serve()
    client = client_of(service)
    assert client.post("/moderate", json={"prompt": "hello"}).status_code == 503
    file.write_bytes(kept)
    assert following.refresh_or_go_on()
    assert client.post("/moderate", json={"prompt": "hello"}).status_code == 200


def test_keys_end_though_nothing_can_be_written_down(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service, following = serve()
    create(service.database)
    following.refresh()
    with service.database.write() as connection:
        apps.revoke(connection, "shop", "1", actor="anna")
    begun = [Escalated("shop", f"{number:032x}", "strict", Action.BLOCK, 3, 1.0, 2.0) for number in range(2)]
    following._escalator = Escalator(SharedStandings(), events=service.metrics)
    following._escalator.begun.extend(begun)

    def broken(*_: Any) -> None:
        raise ValueError("a row that can't be")

    with monkeypatch.context() as patched:
        patched.setattr(escalations, "add", broken)
        assert not following.refresh_or_go_on()
    assert [key for app in service.keys.apps for key in app.keys] == []
    assert list(following._escalator.begun) == begun
    assert following.refresh_or_go_on()
    assert not following._escalator.begun


# Running services


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    policies = tmp_path / "policies.yaml"
    rule = "{after_blocks: 2, within_minutes: 10, action: block, for_minutes: 60}"
    policies.write_text(f"policies: {{balanced: {{escalation: {rule}}}}}")
    return {
        "MODERATION_STORE": f"sqlite:///{tmp_path / 'moderation.db'}",
        "MODERATION_POLICIES_FILE": str(policies),
        "MODERATION_WORKERS": "2",
    }


@pytest.fixture
def service(variables: dict[str, str]) -> Iterator[Running]:
    with running(**variables) as service:
        yield service


def status(service: Running, key: str | None, prompt: str = "hello") -> int:
    sent = headers(key) if key else {}
    return service.request("POST", "/moderate", {"prompt": prompt}, **sent).status


def everywhere(service: Running, key: str | None, wanted: int) -> bool:
    """So in both workers: each request is a connection of its own, and either may take it."""
    return [status(service, key) for _ in range(12)] == [wanted] * 12


def command(variables: dict[str, str], *arguments: str) -> str:
    done = run_command("apps", *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.mark.store
def test_running_workers_follow_the_commands_within_seconds(service: Running, variables: dict[str, str]) -> None:
    assert status(service, None) == 200
    key = command(variables, "create", "shop", "--policies", "strict", "--per-day", "100000")
    # From the first app on everybody needs a key; a worker that does not know of it yet takes any.
    until(lambda: everywhere(service, None, 401), within_s=15)
    assert everywhere(service, key, 200)
    command(variables, "disable", "shop")
    until(lambda: everywhere(service, key, 401), within_s=15)
    assert status(service, None) == 401
    command(variables, "enable", "shop")
    new = command(variables, "rotate", "shop", "--keep-days", "0")
    until(lambda: everywhere(service, new, 200) and everywhere(service, key, 401), within_s=15)
    assert key not in "".join(service.lines)
    assert new not in "".join(service.lines)


@pytest.mark.store
def test_an_escalation_is_on_record_and_pardoned_by_a_command(service: Running, variables: dict[str, str]) -> None:
    def action(text: str) -> str:
        body = {"prompt": text, "metadata": {"user_id": "anna"}}
        return str(service.request("POST", "/moderate", body).json["action"])

    assert [action(text) for text in ("bomb 1", "bomb 2", "hello")] == ["block"] * 3
    until(lambda: "running" in command(variables, "offenders"), within_s=15)
    number = command(variables, "offenders").split()[0]
    command(variables, "pardon", number)
    until(lambda: action("hello") == "allow", within_s=15)
    assert "undone" in command(variables, "offenders")


@pytest.mark.store
def test_a_service_that_others_reach_may_have_its_keys_in_the_database(variables: dict[str, str]) -> None:
    command(variables, "create", "shop")
    with running("--host", "0.0.0.0", **variables) as service:
        assert status(service, None) == 401
