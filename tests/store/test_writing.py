"""Batches of records become rows, names, policies, texts and sums, each once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recording import NOW, a_record, written
from sqlalchemy import func, select

from moderation_service.core.policy import BUILT_IN
from moderation_service.store import writing
from moderation_service.store.database import Database
from moderation_service.store.record import Kept
from moderation_service.store.records import Filter, find, page, text_of
from moderation_service.store.schema import (
    decisions,
    latencies,
    names,
    policy_versions,
    rollup,
    shadow_decisions,
    texts,
)
from moderation_service.store.writing import HOUR_MS, DatabaseSink


def rows(database: Database, statement: Any) -> list[Any]:
    with database.read() as connection:
        return [row._asdict() for row in connection.execute(statement)]


def count(database: Database, table: Any) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_scores_are_stored_to_the_last_bit(database: Database) -> None:
    # In single precision 0.7 would fall below a threshold of 0.7.
    written(database, a_record(p_unsafe=0.7, p_flagged=0.1 + 0.2))
    [row] = rows(database, select(decisions.c.p_unsafe, decisions.c.p_flagged))
    assert row == {"p_unsafe": 0.7, "p_flagged": 0.1 + 0.2}


def test_names_stand_once_whatever_the_number_of_records_and_writers(database: Database) -> None:
    for _ in range(2):
        assert written(database, *[a_record(app=app) for app in ("shop", "bank", "shop")]) == 0
    apps = rows(database, select(names.c.name).where(names.c.kind == "app").order_by(names.c.name))
    assert apps == [{"name": "bank"}, {"name": "shop"}]


def test_a_policy_is_kept_whole_with_its_version(database: Database) -> None:
    balanced = BUILT_IN["balanced"]
    written(database, a_record(), a_record())
    [row] = rows(database, select(policy_versions))
    assert (row["name"], row["version"]) == ("balanced", balanced.version)
    assert json.loads(row["content"]) == balanced.to_json()


def test_a_batch_that_was_written_unnoticed_is_not_written_twice(database: Database) -> None:
    # The connection broke as the database said that it was done.
    batch = [a_record(decision_id=f"mod_{number:024x}") for number in range(3)]
    written(database, *batch)
    assert written(database, *batch, a_record(), again=True) == 0
    assert count(database, decisions) == 4
    assert rows(database, select(func.sum(rollup.c.n).label("n"))) == [{"n": 4}]


def test_what_the_database_refuses_does_not_hold_up_the_rest(database: Database) -> None:
    good, bad = a_record(), a_record(chars=1 << 80)
    assert written(database, good, bad, a_record()) == 1
    assert count(database, decisions) == 2


@pytest.mark.parametrize("name", ["a\0b", "'; DROP TABLE decisions; --", "大麻", "x" * 5000])
def test_any_name_can_be_stored_and_found(database: Database, name: str) -> None:
    assert written(database, a_record(app=name)) == 0
    with database.read() as connection:
        [found] = page(connection, Filter(since=0, until=NOW + 1, app=name)).rows
    assert found.app == name[:200].replace("\0", "\ufffd")


def test_names_that_callers_make_up_do_not_fill_the_table(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_MOST_NAMES", 3)
    for number in range(10):
        written(database, a_record(tool=f"tool-{number}"))
    tools = rows(database, select(names.c.name).where(names.c.kind == "tool").order_by(names.c.id))
    assert [one["name"] for one in tools] == ["tool-0", "tool-1", "tool-2", "(other)"]


def test_names_that_callers_make_up_do_not_fill_the_memory(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_MOST_NAMES", 3)
    sink = DatabaseSink(database, records_days=1)
    for number in range(10):
        sink.write([a_record(tool=f"tool-{number}")], lambda *_: None, again=False)
    assert set(sink._names["tool"]) == {None, "tool-0", "tool-1", "tool-2"}
    assert count(database, decisions) == 10


def test_after_a_restart_names_are_known_though_there_are_as_many_as_there_may_be(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_MOST_NAMES", 3)
    sent = ["tool-0", "to\0ol", "x" * 300, "late"]
    for name in sent:
        written(database, a_record(tool=name))
    sink = DatabaseSink(database, records_days=1)
    for _ in range(2):
        sink.write([a_record(tool=name) for name in sent], lambda *_: None, again=False)
    assert set(sink._names["tool"]) == {None, "tool-0"}
    asked = select(names.c.name).join_from(decisions, names, decisions.c.tool == names.c.id).order_by(decisions.c.id)
    assert [one["name"] for one in rows(database, asked)] == ["tool-0", "to\ufffdol", "x" * 200, "(other)"] * 3


def test_a_kept_text_has_its_context_and_its_end(database: Database) -> None:
    kept = Kept("Make a bomb\0!", [("user", "Hello"), ("assistant", "你好")], 7)
    record = a_record(kept=kept)
    written(database, record)
    with database.read() as connection:
        text = text_of(connection, record.decision_id)
    assert text is not None
    assert text.text == "Make a bomb\ufffd!"
    assert text.context == [("user", "Hello"), ("assistant", "你好")]
    assert text.until == NOW + 7 * 24 * HOUR_MS


def test_without_a_policy_that_keeps_it_no_text_is_stored(database: Database) -> None:
    record = a_record()
    written(database, record)
    assert count(database, texts) == 0
    with database.read() as connection:
        assert text_of(connection, record.decision_id) is None


def test_sums_are_by_hour_app_door_action_and_categories(database: Database) -> None:
    written(database, a_record(latency_ms=1.0), a_record(latency_ms=2.5), a_record(action=0, categories=0))
    written(database, a_record(at=NOW + HOUR_MS, degraded=True), a_record(latency_ms=4.0))
    found = rows(database, select(rollup.c.hour, rollup.c.action, rollup.c.n, rollup.c.degraded, rollup.c.latency_ms))
    hour = NOW - NOW % HOUR_MS
    assert sorted(tuple(row.values()) for row in found) == [
        (hour, 0, 1, 0, 12.5),
        (hour, 2, 3, 0, 7.5),
        (hour + HOUR_MS, 2, 1, 1, 12.5),
    ]
    assert sum(row["n"] for row in rows(database, select(latencies.c.n))) == 5


def test_what_watching_policies_would_have_done_stands_beside_the_decision(database: Database) -> None:
    strict, loose = BUILT_IN["strict"], BUILT_IN["loose"]
    record = a_record(shadow=[("strict", strict.version, 2), ("loose", loose.version, 0)])
    written(database, record)
    written(database, record, again=True)
    table = shadow_decisions.c
    joined = shadow_decisions.join(policy_versions, policy_versions.c.id == table.policy)
    statement = select(table.decision_id, policy_versions.c.name, table.action).select_from(joined)
    with database.read() as connection:
        found = connection.execute(statement.order_by(table.action)).all()
    assert [tuple(row) for row in found] == [(record.decision_id, "loose", 0), (record.decision_id, "strict", 2)]


def test_a_check_that_ended_with_an_error_has_a_record_without_a_verdict(database: Database) -> None:
    record = a_record(
        severity=None, p_unsafe=None, p_flagged=None, categories=0, action=3, error="too_large", engine="", model=""
    )
    written(database, record)
    with database.read() as connection:
        [found] = find(connection, record.decision_id)
    assert (found.action, found.severity, found.error) == (None, None, "too_large")
