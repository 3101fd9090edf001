"""Messages of webhooks that wait in the database: for a receiver that is away, and over the end of a process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from processes import running, until
from sqlalchemy import select, update
from webhook_receiver import Outcomes, Receiver, receiver

from moderation_service.config.webhook_settings import WEBHOOK_KEPT_S
from moderation_service.errors import StoreUnavailable
from moderation_service.observability.webhooks import Message, Webhooks
from moderation_service.store.database import Database
from moderation_service.store.housekeeping import Housekeeping
from moderation_service.store.outbox import StoredOutbox
from moderation_service.store.schema import webhook_messages
from moderation_service.store.trail import now_ms


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def message(name: str, *, at_ms: int | None = None) -> Message:
    return Message("blocked", name, b"{}", now_ms() if at_ms is None else at_ms)


def waiting(database: Database) -> list[tuple[str, int]]:
    """The messages in the database, with the attempts made."""
    table = webhook_messages.c
    with database.read() as connection:
        return [(row.id, row.attempts) for row in connection.execute(select(webhook_messages).order_by(table.id))]


def hooks(there: Receiver, outcomes: Outcomes, outbox: object, **options: Any) -> Webhooks:
    options = {"first_pause_s": 0.01, "look_every_s": 0.01, **options}
    return Webhooks(there.url, secret=None, wanted=("blocked",), events=outcomes, outbox=outbox, **options)


# In the database


def test_what_is_taken_nobody_else_gets_and_what_is_removed_is_gone(database: Database, url: str) -> None:
    ours, other = StoredOutbox(database), Database(url)
    theirs = StoredOutbox(other)
    assert ours.keep([message("m1"), message("m2"), message("m3")], next_at_ms=0) == 3
    assert ours.keep([message("late")], next_at_ms=now_ms() + 60_000) == 1
    assert [one.id for one in ours.take(2)] == ["m1", "m2"]
    (last,) = theirs.take(10)
    assert last == message("m3", at_ms=last.at_ms)
    ours.remove("m1")
    theirs.put_off([Message("blocked", "m3", b"{}", last.at_ms, 4)], next_at_ms=0)
    assert waiting(database) == [("late", 0), ("m2", 0), ("m3", 4)]
    assert [(one.id, one.attempts) for one in ours.take(10)] == [("m3", 4)]
    other.close()


def test_what_a_killed_process_had_taken_comes_again_after_a_while(database: Database) -> None:
    outbox = StoredOutbox(database)
    outbox.keep([message("m1")], next_at_ms=0)
    assert len(outbox.take(1)) == 1
    assert outbox.take(1) == []
    with database.write() as connection:
        connection.execute(update(webhook_messages).values(next_at=webhook_messages.c.next_at - 120_000))
    assert [one.id for one in outbox.take(1)] == ["m1"]


def test_there_is_room_for_so_many_and_the_first_are_kept(database: Database) -> None:
    outbox = StoredOutbox(database, most=2)
    assert outbox.keep([message("m1")], next_at_ms=0) == 1
    assert outbox.keep([message("m2"), message("m3")], next_at_ms=0) == 1
    assert outbox.keep([message("m4")], next_at_ms=0) == 0
    assert waiting(database) == [("m1", 0), ("m2", 0)]


def test_what_nobody_sends_any_more_is_deleted(database: Database) -> None:
    old = now_ms() - 2 * WEBHOOK_KEPT_S * 1000
    StoredOutbox(database).keep([message("new"), message("old", at_ms=old - 1)], next_at_ms=0)
    Housekeeping(database, records_days=90).delete_some(now_ms())
    assert waiting(database) == [("new", 0)]


# On their way


def test_a_message_outlives_the_process_that_could_not_deliver_it(database: Database, there: Receiver) -> None:
    there.statuses = [503] * 100
    outcomes, outbox = Outcomes(), StoredOutbox(database)
    with closing(hooks(there, outcomes, outbox, look_every_s=60)) as first:
        first.send("blocked", "1", {})
        refused = there.next()
        first.send("blocked", "2", {})
    assert len(waiting(database)) == 2
    assert outcomes.seen.empty()
    there.statuses = []
    with closing(hooks(there, outcomes, outbox)) as second:
        second.open()
        assert [outcomes.next(), outcomes.next()] == [("blocked", "delivered")] * 2
    seen = [there.got.get_nowait() for _ in range(there.got.qsize())]
    assert refused.body in [one.body for one in seen]
    assert refused.headers["webhook-id"] in {one.headers["webhook-id"] for one in seen}
    assert waiting(database) == []


def test_as_soon_as_the_receiver_is_back_all_that_waits_is_sent_at_once(database: Database, there: Receiver) -> None:
    outcomes, outbox = Outcomes(), StoredOutbox(database)
    outbox.keep([message(f"m{number}") for number in range(25)], next_at_ms=0)
    with closing(hooks(there, outcomes, outbox, look_every_s=60)) as made:
        made.open()
        assert [outcomes.next() for _ in range(25)] == [("blocked", "delivered")] * 25
    assert waiting(database) == []


def test_a_turn_that_lasts_long_gives_back_what_it_has_not_begun(database: Database, there: Receiver) -> None:
    """Else others would take it for that of a process that was killed, and send it too."""
    outbox = StoredOutbox(database)
    outbox.keep([message(f"m{number}") for number in range(3)], next_at_ms=0)
    given_back: list[str] = []
    put_off = outbox.put_off

    def watched(messages: Any, *, next_at_ms: int) -> None:
        given_back.extend(one.id for one in messages)
        put_off(messages, next_at_ms=next_at_ms)

    outbox.put_off = watched  # type: ignore[method-assign]
    outcomes = Outcomes()
    with closing(hooks(there, outcomes, outbox, turn_s=0.0)) as sender:
        sender.open()
        assert [outcomes.next() for _ in range(3)] == [("blocked", "delivered")] * 3
    assert given_back == ["m1", "m2", "m2"]


def test_a_refusal_and_a_day_are_the_end_of_a_message(database: Database, there: Receiver) -> None:
    there.statuses = [404, 500]
    outcomes, outbox = Outcomes(), StoredOutbox(database)
    outbox.keep([message("m1"), message("m2", at_ms=now_ms() - WEBHOOK_KEPT_S * 1000 - 1)], next_at_ms=0)
    with closing(hooks(there, outcomes, outbox)) as made:
        made.open()
        assert [outcomes.next(), outcomes.next()] == [("blocked", "failed")] * 2
    assert waiting(database) == []


def test_beyond_its_bound_messages_are_dropped_and_counted(database: Database, there: Receiver) -> None:
    there.statuses = [503] * 100
    outcomes = Outcomes()
    with closing(hooks(there, outcomes, StoredOutbox(database, most=0))) as made:
        made.send("blocked", "1", {})
        assert outcomes.next() == ("blocked", "dropped")


def test_while_the_database_is_away_messages_wait_in_memory(database: Database, there: Receiver) -> None:
    class Away(StoredOutbox):
        def keep(self, *messages: object, **options: object) -> int:
            raise StoreUnavailable("Away.")

        def take(self, most: int) -> list[Message]:
            raise StoreUnavailable("Away.")

    there.statuses = [500, 429]
    outcomes = Outcomes()
    with closing(hooks(there, outcomes, Away(database))) as made:
        made.send("blocked", "1", {})
        made.send("blocked", "2", {})
        assert [outcomes.next(), outcomes.next()] == [("blocked", "delivered")] * 2
    assert there.got.qsize() == 4


@pytest.mark.store
def test_a_killed_service_sends_after_its_next_start_what_was_not_delivered(tmp_path: Path, there: Receiver) -> None:
    there.statuses = [503] * 1000
    address = f"sqlite:///{tmp_path / 'records.db'}"
    settings = {"MODERATION_WEBHOOK_URL": there.url, "MODERATION_STORE": address, "MODERATION_WORKERS": "1"}
    database = Database(address)
    with running(**settings) as service:
        blocked = service.moderate("bomb")
        there.next()
        until(lambda: waiting(database))
        service.stop(signal.SIGKILL)
    there.statuses = []
    with running(**settings):
        until(lambda: not waiting(database))
    got = there.got.queue[-1]
    assert got.json["data"]["id"] == blocked["id"]
    assert got.json["type"] == "moderation.blocked"
    assert b"bomb" not in got.body
    database.close()
