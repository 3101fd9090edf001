"""What is asked of the records is found, page by page, and nothing that a caller sends becomes SQL."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recording import NOW, a_record, written
from sqlalchemy import func, select

from moderation_service.core.verdict import Category, Severity, Target
from moderation_service.errors import InvalidRequest
from moderation_service.store.database import Database
from moderation_service.store.overview import overview, usage
from moderation_service.store.records import Cursor, Filter, choices, count, find, page
from moderation_service.store.schema import decisions
from moderation_service.store.writing import DAY_MS, HOUR_MS

RECENT = {"since": NOW - DAY_MS, "until": NOW + 1}
USER, TEXT = bytes(range(16)), bytes(range(16, 32))


def ids(database: Database, **wanted: Any) -> list[str]:
    with database.read() as connection:
        found = page(connection, Filter(**(RECENT | wanted)))
        assert count(connection, Filter(**(RECENT | wanted))) == len(found.rows)
    return [one.decision_id for one in found.rows]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"app": "bank"}, {"app": "bank"}),
        ({"key": "bank:2"}, {"key": "bank:2"}),
        ({"door": "lakera"}, {"door": "lakera"}),
        ({"engine": "lite"}, {"engine": "lite"}),
        ({"policy": "strict"}, {"policy": "strict"}),
        ({"error": "too_large", "action": 3}, {"error": "too_large"}),
        ({"error": "too_large", "action": 3}, {"actions": frozenset({"error"})}),
        ({"action": 1}, {"actions": frozenset({"flag"})}),
        ({"action": 0}, {"actions": frozenset({"allow", "flag"})}),
        ({"target": 1}, {"target": Target.RESPONSE}),
        ({"severity": 1}, {"severity": Severity.CONTROVERSIAL}),
        ({"categories": 0b1010}, {"category": Category.PII}),
        ({"degraded": True}, {"degraded": True}),
        ({"list_entry": "drugs#7"}, {"listed": True}),
        ({"user_hash": USER.hex()}, {"user": USER}),
        ({"text_hash": TEXT.hex()}, {"text": TEXT}),
    ],
)
def test_a_filter_lets_through_what_fits_and_nothing_else(
    database: Database, fields: dict[str, Any], wanted: dict[str, Any]
) -> None:
    fitting = a_record(**fields)
    written(database, a_record(), fitting, a_record(at=NOW - 2 * DAY_MS, **fields))
    assert ids(database, **wanted) == [fitting.decision_id]


def test_conditions_hold_together(database: Database) -> None:
    both = a_record(app="bank", action=1)
    written(database, a_record(app="bank"), a_record(action=1), both)
    assert ids(database, app="bank", actions=frozenset({"flag"})) == [both.decision_id]
    assert ids(database, app="bank", actions=frozenset()) == []


def test_pages_have_every_decision_once_the_newest_first_whatever_comes_meanwhile(database: Database) -> None:
    # Many of one millisecond, and new ones while the pages are turned.
    sent = [a_record(at=NOW - number // 7) for number in range(40)]
    written(database, *sent)
    seen: list[str] = []
    after = None
    while True:
        with database.read() as connection:
            found = page(connection, Filter(**RECENT), after=after, size=9)
        assert len(found.rows) <= 9
        seen += [one.decision_id for one in found.rows]
        times = [one.at for one in found.rows]
        assert times == sorted(times, reverse=True)
        if found.after is None:
            break
        after = Cursor.parse(str(found.after))
        written(database, a_record(at=NOW))
    assert sorted(seen) == sorted(one.decision_id for one in sent)


@pytest.mark.parametrize("text", ["", "1", "-", "a-b", "1-2-3", "1--2", "٣-١", "9" * 50 + "-1", "1;-1"])
def test_a_cursor_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Cursor.parse(text)


def test_a_count_ends_at_its_bound(database: Database) -> None:
    written(database, *[a_record() for _ in range(12)])
    with database.read() as connection:
        assert count(connection, Filter(**RECENT), most=10) == 11
        assert count(connection, Filter(**RECENT), most=12) == 12


def test_a_decision_is_found_by_its_id_and_by_that_of_its_request(database: Database) -> None:
    one, two, other = a_record(request_id="chat-1"), a_record(request_id="chat-1"), a_record()
    written(database, one, two, other)
    with database.read() as connection:
        assert [row.decision_id for row in find(connection, f" {other.decision_id}\n")] == [other.decision_id]
        assert {row.decision_id for row in find(connection, "chat-1")} == {one.decision_id, two.decision_id}
        [shown] = find(connection, other.decision_id)
    assert dataclasses.replace(shown, id=0).to_json() == {
        "at": NOW,
        "id": other.decision_id,
        "request_id": other.request_id,
        "app": "shop",
        "key": "shop:1",
        "door": "moderate",
        "target": "prompt",
        "safety": "unsafe",
        "p_unsafe": 0.95,
        "p_flagged": 0.99,
        "categories": ["violent"],
        "refusal": None,
        "action": "block",
        "policy": "balanced",
        "policy_version": other.policy_version,
        "tool": None,
        "engine": "vllm",
        "model": "guard",
        "reason": None,
        "error": None,
        "degraded": False,
        "cached": False,
        "windows": 1,
        "span": None,
        "chars": 10,
        "latency_ms": 12.5,
        "text_hash": "00" * 16,
        "user_hash": None,
        "list_entry": None,
        "list_action": None,
        "escalated": None,
    }


HOSTILE = st.one_of(
    st.sampled_from(
        [
            "' OR 1=1 --",
            '" OR ""="',
            "1; DROP TABLE decisions",
            "shop' UNION SELECT value FROM secrets --",
            "%",
            "_",
            "shop\0",
            "\\",
            "${app}",
            ":app",
            "?",
        ]
    ),
    st.text(max_size=40),
)


@given(text=HOSTILE)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_caller_filters_by_never_becomes_sql(database: Database, text: str) -> None:
    with database.read() as connection:
        is_new = not connection.execute(select(func.count()).select_from(decisions)).scalar_one()
    if is_new:
        written(database, a_record())
    fields = ("app", "key", "door", "engine", "policy", "error")
    with database.read() as connection:
        for name in fields:
            wanted = Filter(**RECENT, **{name: text})
            assert page(connection, wanted).rows == []
        assert page(connection, Filter(**RECENT, actions=frozenset({text}))).rows == []
        assert find(connection, text) == []
        assert usage(connection, since=0, until=NOW + 1, app=text) == []
        assert connection.execute(select(func.count()).select_from(decisions)).scalar_one() == 1


def test_what_to_choose_from_is_what_was_seen(database: Database) -> None:
    written(database, a_record(app="b"), a_record(app="a"), a_record(app=""))
    with database.read() as connection:
        assert choices(connection, "app") == ["a", "b"]


def test_the_overview_sums_what_was_decided(database: Database) -> None:
    written(
        database,
        a_record(at=NOW - HOUR_MS, categories=0b11, latency_ms=8.0),
        a_record(app="bank", door="lakera", action=0, categories=0, latency_ms=150.0, cached=True),
        a_record(action=1, degraded=True, latency_ms=40.0),
        a_record(action=3, categories=0, error="too_large", latency_ms=0.0),
        a_record(at=NOW - 3 * DAY_MS),
    )
    with database.read() as connection:
        found = overview(connection, since=NOW - DAY_MS, until=NOW + 1)
        shop = overview(connection, since=NOW - DAY_MS, until=NOW + 1, app="shop")
        week = overview(connection, since=NOW - 7 * DAY_MS, until=NOW + 1)
    assert found.total.actions == {"allow": 1, "flag": 1, "block": 1, "error": 1}
    assert (found.total.checks, found.total.degraded, found.total.cached, found.total.chars) == (4, 1, 1, 40)
    assert found.total.mean_ms == pytest.approx((8 + 150 + 40) / 3)
    assert {app: one.checks for app, one in found.apps.items()} == {"shop": 3, "bank": 1}
    assert {door: one.checks for door, one in found.doors.items()} == {"moderate": 3, "lakera": 1}
    assert {one: sums.checks for one, sums in found.categories.items()} == {
        Category.VIOLENT: 2,
        Category.NON_VIOLENT_ILLEGAL_ACTS: 1,
    }
    assert [one.checks for one in found.steps.values()] == [1, 3]
    assert found.quantiles_ms == {50: 50, 95: 150, 99: 150}
    assert shop.total.checks == 3
    assert (week.total.checks, len(week.steps), week.step) == (5, 2, DAY_MS)


def test_an_overview_of_nothing_is_empty(database: Database) -> None:
    with database.read() as connection:
        found = overview(connection, since=0, until=NOW)
    assert (found.total.checks, found.total.mean_ms, found.quantiles_ms) == (0, None, {})


def test_usage_is_by_day_app_and_door(database: Database) -> None:
    written(database, a_record(), a_record(app="bank"), a_record(at=NOW - DAY_MS), a_record(door="lakera"))
    with database.read() as connection:
        found = usage(connection, since=NOW - 7 * DAY_MS, until=NOW + 1)
    day = NOW - NOW % DAY_MS
    assert [(one.day, one.app, one.door, one.sums.checks) for one in found] == [
        (day - DAY_MS, "shop", "moderate", 1),
        (day, "bank", "moderate", 1),
        (day, "shop", "lakera", 1),
        (day, "shop", "moderate", 1),
    ]
