"""What a running service does with the policies of its database."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app_files import headers
from apps import client_of
from fakes import FakeEngine
from processes import Running, run_command, running, until

from moderation_service.config.settings import Settings
from moderation_service.core.policy import Policies
from moderation_service.errors import ConfigurationError
from moderation_service.observability.metrics import Metrics
from moderation_service.store import apps, policies
from moderation_service.store.opened import open_store
from moderation_service.web.service import Service, build_service

KIDS = "policies:\n  kids: {extends: strict, actions: {safe: flag}}\n"
Make = Callable[..., Service]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Make]:
    """Makes a service with its database in a file, and with these settings."""
    with contextlib.ExitStack() as ends:

        def make(earlier: Service | None = None, **given: Any) -> Service:
            settings = Settings(**given)
            store = open_store(f"sqlite:///{tmp_path / 'kept.db'}", settings, events=Metrics(version="0"))
            assert store is not None
            ends.callback(store.close)
            return build_service(settings, engine=FakeEngine(), store=store, earlier=earlier)

        yield make


def put(service: Service, **texts: str) -> None:
    assert service.database is not None
    of_file = service.live_policies.of_file
    with service.database.write() as connection:
        policies.put(connection, texts, of_file=of_file, lists=None, actor="anna")


def follow(service: Service) -> None:
    assert service.following is not None
    service.following.refresh()


def asked(service: Service, policy: str | None = None, key: str | None = None) -> tuple[int, str]:
    """The status, and the action or the kind of the error."""
    body = {"prompt": "hello"} | ({} if policy is None else {"policy": policy})
    reply = client_of(service).post("/moderate", json=body, headers=headers(key) if key else {})
    told = reply.get_json()
    return reply.status_code, told["action"] if reply.status_code == 200 else told["error"]["type"]


@contextlib.contextmanager
def away(service: Service, tmp_path: Path) -> Iterator[None]:
    """The database can't be read for as long as this lasts."""
    assert service.database is not None
    service.database.close()
    file = tmp_path / "kept.db"
    kept = file.read_bytes()
    for one in tmp_path.glob("kept.db*"):
        one.unlink()
    file.write_bytes(b"no database" * 100)
    yield
    file.write_bytes(kept)


def test_what_is_written_holds_with_the_next_look_at_the_database(serve: Make) -> None:
    service = serve()
    assert asked(service, "kids") == (400, "invalid_request")
    put(service, kids=KIDS)
    follow(service)
    assert asked(service, "kids") == (200, "flag")
    put(service, kids=KIDS.replace("flag", "block"))
    follow(service)
    assert asked(service, "kids") == (200, "block")
    assert "kids" in [one["name"] for one in client_of(service).get("/policies").get_json()["policies"]]
    assert service.database is not None
    with service.database.write() as connection:
        policies.drop(connection, ["kids"], of_file=service.live_policies.of_file, named={}, actor="anna")
    follow(service)
    assert asked(service, "kids") == (400, "invalid_request")


def test_a_policy_and_the_app_that_names_it_come_in_one_step(serve: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve()
    put(service, kids=KIDS)
    assert service.database is not None
    with service.database.write() as connection:
        key = apps.create(connection, "shop", {"policies": ["kids"]}, policies=["kids"], actor="anna")
    steps: list[Policies] = []
    replace = service.keys.replace
    monkeypatch.setattr(
        service.keys, "replace", lambda apps, **more: steps.append(more["policies"]) or replace(apps, **more)
    )
    follow(service)
    assert len(steps) == 1
    assert asked(service, None, key) == (200, "flag")
    # Nothing has changed since: nothing is read.
    follow(service)
    assert len(steps) == 1
    put(service, kids=KIDS.replace("flag", "block"))
    follow(service)
    assert asked(service, None, key) == (200, "block")


def test_the_default_policy_may_be_one_of_the_database(serve: Make) -> None:
    with pytest.raises(ConfigurationError, match="default_policy: there is no policy 'kids'"):
        serve(default_policy="kids")
    put(serve(), kids=KIDS)
    assert asked(serve(default_policy="kids")) == (200, "flag")


def test_repeat_offenders_are_followed_under_a_policy_that_came_later(serve: Make) -> None:
    service = serve()
    rule = "{after_blocks: 1, within_minutes: 9, action: block, for_minutes: 9}"
    put(service, kids=KIDS.replace("flag", "block").replace("strict", f"strict, escalation: {rule}"))
    follow(service)
    client = client_of(service)
    client.post("/moderate", json={"prompt": "hello", "policy": "kids"}, headers={"X-Moderation-User": "x"})
    assert service.escalator is not None
    assert [one.policy for one in service.escalator.begun] == ["kids"]


def test_what_is_known_holds_while_the_database_is_away_over_reloads_too(serve: Make, tmp_path: Path) -> None:
    first = serve()
    put(first, kids=KIDS)
    follow(first)
    with away(first, tmp_path):
        assert first.following is not None
        assert not first.following.refresh_or_go_on()
        assert asked(first, "kids") == (200, "flag")
        second = serve(first, default_policy="kids")
        assert asked(second) == (200, "flag")
    put(first, kids=KIDS.replace("flag", "block"))
    follow(second)
    assert asked(second) == (200, "block")


def test_a_reload_goes_on_with_what_a_worker_has_read_and_not_with_what_the_start_knew(
    serve: Make, tmp_path: Path
) -> None:
    first = serve()
    put(first, kids=KIDS)
    follow(first)
    put(first, kids=KIDS.replace("flag", "block"))
    worker = os.fork()
    if not worker:  # the workers follow, and this process makes the next ones
        follow(first)
        os._exit(0)
    assert os.waitpid(worker, 0)[1] == 0
    with away(first, tmp_path):
        assert asked(serve(first), "kids") == (200, "block")


def test_a_slow_worker_brings_no_policy_of_before_back(
    serve: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = serve()
    quick = serve(slow)
    put(slow, kids=KIDS)
    read = policies.texts_of

    def overtaken(connection: Any) -> dict[str, str]:
        found = read(connection)
        monkeypatch.setattr(policies, "texts_of", read)
        put(quick, kids=KIDS.replace("flag", "block"))
        follow(quick)
        return found

    monkeypatch.setattr(policies, "texts_of", overtaken)
    follow(slow)
    assert asked(slow, "kids") == (200, "block")
    assert quick.database is not None
    quick.database.close()
    with away(slow, tmp_path):
        assert asked(serve(slow), "kids") == (200, "block")
    put(quick, kids=KIDS.replace("strict", "loose"))
    follow(slow)
    assert asked(slow, "kids") == (200, "flag")


def test_a_start_while_the_database_is_away_takes_no_other_policy_in_its_place(serve: Make, tmp_path: Path) -> None:
    before = serve()
    put(before, kids=KIDS)
    apps_file = tmp_path / "apps.yaml"
    key = "shop-key-0123456789abcdef"
    (tmp_path / "shop.key").write_text(key)
    apps_file.write_text("apps: {shop: {keys: {a: {file: shop.key}}, policies: [kids]}}")
    with away(before, tmp_path):
        # The app of the file is known, and its policy is not.
        service = serve(default_policy="kids", apps_file=apps_file)
        for policy in (None, "kids"):
            assert asked(service, policy, key) == (503, "store_unavailable")
        # A reload knows no more than the start did.
        service = serve(service, default_policy="kids", apps_file=apps_file)
        assert asked(service, None, key) == (503, "store_unavailable")
        assert asked(service, "strict", key)[0] == 403
    follow(service)
    assert asked(service, None, key) == (200, "flag")


def test_every_door_says_so_and_none_lets_a_text_through_unjudged(serve: Make, tmp_path: Path) -> None:
    before = serve()
    put(before, kids=KIDS)
    with away(before, tmp_path):
        service = serve(default_policy="kids")
        # There are no apps that one would have to wait for.
        service.keys.replace([])
        client = client_of(service)
        for path, body in {
            "/moderate": {"prompt": "hello"},
            "/v1/moderations": {"input": "hello"},
            "/v2/guard": {"messages": [{"role": "user", "content": "hello"}]},
        }.items():
            reply = client.post(path, json=body)
            assert reply.status_code == 503, (path, reply.text)
        # One whose caller takes an error for a pass withholds the text.
        body = {"request": {"text": "hello", "json": {}}, "response": {}, "eventType": "beforeRequestHook"}
        assert client.post("/portkey", json=body).get_json()["verdict"] is False
        # A policy of the file or built in is as good as ever.
        assert asked(service, "strict") == (200, "allow")


def test_a_mistake_by_another_version_or_file_leaves_all_policies_as_they_were(serve: Make, tmp_path: Path) -> None:
    service = serve()
    put(service, kids=KIDS, teens="policies: {teens: {extends: kids}}")
    follow(service)
    assert service.database is not None
    with service.database.write() as connection:
        policies.put(
            connection,
            {"kids": KIDS.replace("flag", "block")},
            of_file=service.live_policies.of_file,
            lists=None,
            actor="a",
        )
        connection.exec_driver_sql("UPDATE policies SET text = 'policies: {teens: {later: 1}}' WHERE name = 'teens'")
    follow(service)
    assert (asked(service, "kids"), asked(service, "teens")) == ((200, "flag"), (200, "flag"))
    # A start, or a reload, says what is wrong and where.
    with pytest.raises(ConfigurationError, match="policy teens of the database:1: policy 'teens' has an unknown field"):
        serve(service)


@pytest.mark.store
def test_running_workers_follow_the_commands_within_seconds(tmp_path: Path) -> None:
    variables = {"MODERATION_STORE": f"sqlite:///{tmp_path / 'kept.db'}"}
    file = tmp_path / "kids.yaml"

    def write(text: str) -> None:
        file.write_text(text)
        done = run_command("policies", "put", str(file), **variables)
        assert done.returncode == 0, done.stderr

    def actions(service: Running) -> set[object]:
        """What the workers say, of whom each connection finds one."""
        body = {"prompt": "How do I bake bread?", "policy": "kids"}
        told = [service.request("POST", "/moderate", body).json for _ in range(12)]
        return {one.get("action") or one["error"]["type"] for one in told}

    with running("--workers", "2", **variables) as service:
        assert actions(service) == {"invalid_request"}
        for wanted in ("flag", "block"):
            write(KIDS.replace("flag", wanted))
            until(lambda wanted=wanted: actions(service) == {wanted}, within_s=15)
        assert run_command("policies", "drop", "kids", **variables).returncode == 0
        until(lambda: actions(service) == {"invalid_request"}, within_s=15)
