"""What is over its time goes by itself, what somebody asks for goes at once, and the sums stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from recording import NOW, a_record, written
from sqlalchemy import func, select

from moderation_service.core.keyed_hash import KeyedHashes
from moderation_service.store import housekeeping
from moderation_service.store.database import Database
from moderation_service.store.erasure import erase_user, purge
from moderation_service.store.housekeeping import Housekeeping
from moderation_service.store.people import TRIES_MS, count_failure
from moderation_service.store.record import Kept
from moderation_service.store.reviews import take
from moderation_service.store.schema import (
    appeals,
    decisions,
    escalations,
    metadata,
    review_items,
    reviews,
    rollup,
    sessions,
    sign_in_failures,
    texts,
    trail,
)
from moderation_service.store.writing import DAY_MS

HASHES = KeyedHashes(b"a key for tests")
TEXT = Kept("What somebody wrote", [], 1)


def count(database: Database, table: Any) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def no_pause(seconds: float) -> None:
    assert seconds > 0


def everything(database: Database) -> str:
    """All that is in the database, as text."""
    with database.read() as connection:
        return repr([connection.execute(table.select()).all() for table in metadata.sorted_tables])


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "now_ms", lambda: NOW)


@pytest.mark.usefixtures("at_noon")
def test_texts_and_records_go_when_their_time_is_over_and_the_sums_stay(database: Database) -> None:
    written(
        database,
        a_record(at=NOW - 91 * DAY_MS),
        a_record(at=NOW - 2 * DAY_MS, kept=TEXT),
        a_record(at=NOW - 1000, kept=TEXT),
    )
    with database.write() as connection:
        common = {"role": "viewer", "created_at": 1}
        connection.execute(sessions.insert().values(digest=b"1" * 32, expires_at=NOW - 1, **common))
        connection.execute(sessions.insert().values(digest=b"2" * 32, expires_at=NOW + 1, **common))
    Housekeeping(database, records_days=90).step()
    assert [count(database, table) for table in (decisions, texts, sessions)] == [2, 1, 1]
    with database.read() as connection:
        assert connection.execute(select(func.sum(rollup.c.n))).scalar_one() == 3


@pytest.mark.usefixtures("at_noon")
def test_counted_tries_to_sign_in_go_when_their_time_is_over(database: Database) -> None:
    with database.write() as connection:
        for key, at in (("old", NOW - TRIES_MS), ("new", NOW - TRIES_MS + 1)):
            count_failure(connection, key, now_ms=at)
    Housekeeping(database, records_days=90).step()
    with database.read() as connection:
        assert connection.execute(select(sign_in_failures.c.key)).scalars().all() == ["new"]


@pytest.mark.usefixtures("at_noon")
@pytest.mark.parametrize("way", ["by itself", "purge"])
def test_repeat_offenders_are_forgotten_as_long_after_their_time_as_records(database: Database, way: str) -> None:
    over, running = NOW - 91 * DAY_MS, NOW + DAY_MS
    common = {"app": "", "user_hash": b"1" * 16, "policy": "p", "action": 2, "blocks": 3, "at": NOW - 99 * DAY_MS}
    with database.write() as connection:
        connection.execute(escalations.insert(), [{**common, "until": until} for until in (over, running)])
    if way == "purge":
        purge(database, before=NOW - 90 * DAY_MS, actor="anna", pause=no_pause)
    else:
        Housekeeping(database, records_days=90).step()
    with database.read() as connection:
        assert connection.execute(select(escalations.c.until)).scalars().all() == [running]


@pytest.mark.usefixtures("at_noon")
def test_records_are_kept_for_ever_where_no_time_is_set(database: Database) -> None:
    written(database, a_record(at=1))
    Housekeeping(database, records_days=0).step()
    assert count(database, decisions) == 1


@pytest.mark.usefixtures("at_noon")
def test_it_goes_a_chunk_at_a_time_and_only_one_process_is_at_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "CHUNK", 4)
    for function in (housekeeping.delete_chunk, housekeeping.delete_decisions):
        monkeypatch.setattr(function, "__kwdefaults__", {"most": 4})
    written(database, *[a_record(at=1) for _ in range(10)])
    one, other = Housekeeping(database, records_days=90), Housekeeping(database, records_days=90)
    assert one.step()
    assert count(database, decisions) == 6
    assert not other.step()
    assert count(database, decisions) == 6
    assert one.step()
    assert not one.step()
    assert count(database, decisions) == 0


def test_a_purge_takes_what_is_older_and_leaves_a_line_in_the_trail(database: Database) -> None:
    written(database, *[a_record(at=NOW - 1, kept=TEXT) for _ in range(3)], a_record(at=NOW, kept=TEXT))
    gone = purge(database, before=NOW, actor="command line", texts_only=True, pause=no_pause)
    assert (gone.decisions, gone.texts) == (0, 3)
    gone = purge(database, before=NOW, actor="command line", pause=no_pause)
    assert (gone.decisions, gone.texts) == (3, 0)
    assert [count(database, table) for table in (decisions, texts)] == [1, 1]
    with database.read() as connection:
        said = connection.execute(select(trail.c.actor, trail.c.action, trail.c.after)).all()
    assert [(row.actor, row.action, json.loads(row.after)["decisions"]) for row in said] == [
        ("command line", "records.purge", 0),
        ("command line", "records.purge", 3),
    ]


def fill(database: Database, *, app: str, user: str, many: int = 1, at: int = NOW) -> str:
    """Decisions of an end user, the first with all that can hang on one."""
    whose = HASHES.user(app, user)
    kept = Kept(f"by {user} of {app}", [], 9)
    sent = [a_record(at=at, app=app, user_hash=whose.hex(), kept=kept) for _ in range(many)]
    written(database, *sent)
    identity = sent[0].decision_id
    with database.write() as connection:
        about = {"decision_id": identity}
        connection.execute(appeals.insert().values(**about, user_hash=whose, text=f"{user} of {app} says", at=NOW))
        connection.execute(review_items.insert().values(**about, why="appealed", at=NOW))
        note = f"about {user} of {app}"
        connection.execute(reviews.insert().values(**about, reviewer="anna", answer="right", note=note, at=NOW))
        until = {"at": NOW, "until": NOW + 1}
        values = {"app": app, "user_hash": whose, "policy": "balanced", "action": 2, "blocks": 3, **until}
        connection.execute(escalations.insert().values(values))
    return identity


@pytest.mark.usefixtures("at_noon")
@pytest.mark.parametrize("way", ["by itself", "purge"])
def test_what_hangs_on_a_record_goes_with_it_and_the_next_reviewer_gets_what_is_there(
    database: Database, way: str
) -> None:
    old = fill(database, app="shop", user="eve", at=NOW - 91 * DAY_MS)
    there = fill(database, app="shop", user="adam", at=NOW - DAY_MS)
    with database.write() as connection:
        connection.execute(reviews.delete())
    if way == "purge":
        purge(database, before=NOW - 90 * DAY_MS, actor="command line", pause=no_pause)
    else:
        Housekeeping(database, records_days=90).step()
    left = everything(database)
    assert old not in left
    assert "eve of shop says" not in left
    with database.write() as connection:
        assert take(connection, reviewer="anna", now_ms=NOW) == there


def test_nothing_of_an_end_user_is_left_after_an_erasure_and_all_of_others_is(database: Database) -> None:
    gone = fill(database, app="shop", user="eve", many=1203)
    kept = [fill(database, app="shop", user="adam"), fill(database, app="bank", user="eve")]
    erased = erase_user(database, HASHES, "eve", actor="command line", app="shop", pause=no_pause)
    assert (erased.decisions, erased.texts, erased.appeals) == (1203, 1203, 1)
    left = everything(database)
    assert "eve of shop" not in left
    assert gone not in left
    assert repr(HASHES.user("shop", "eve")) not in left
    assert all(left.count(one) == 5 for one in kept), "decision, text, appeal, item and review"
    assert count(database, escalations) == 2


def test_without_an_app_an_end_user_is_erased_from_all(database: Database) -> None:
    for app in ("shop", "bank", ""):
        fill(database, app=app, user="eve")
    fill(database, app="bank", user="adam")
    assert erase_user(database, HASHES, "eve", actor="command line", pause=no_pause).decisions == 3
    assert count(database, decisions) == 1


def test_an_appeal_goes_whose_decision_is_gone_already(database: Database) -> None:
    fill(database, app="shop", user="eve")
    with database.write() as connection:
        connection.execute(decisions.delete())
    assert erase_user(database, HASHES, "eve", actor="command line", app="shop", pause=no_pause).appeals == 1


def test_a_purge_takes_what_outlived_its_decision_and_leaves_the_rest(database: Database) -> None:
    fill(database, app="shop", user="eve")
    with database.write() as connection:
        connection.execute(decisions.delete())
    there = fill(database, app="shop", user="adam")
    purge(database, before=NOW - DAY_MS, actor="command line", pause=no_pause)
    for table in (appeals, review_items, reviews):
        with database.read() as connection:
            assert connection.execute(select(table.c.decision_id)).scalars().all() == [there]


def test_what_is_erased_is_not_left_in_the_file_of_sqlite(database: Database, url: str) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL's vacuum does it")
    fill(database, app="shop", user="somebody-with-a-rare-name")
    erase_user(database, HASHES, "somebody-with-a-rare-name", actor="command line", pause=no_pause)
    database.close()
    assert database.url.database is not None
    assert b"somebody-with-a-rare-name" not in Path(database.url.database).read_bytes()
