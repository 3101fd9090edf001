from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apps import error, keys, make_client
from recorded import Recorded, recorded_service
from sqlalchemy import select
from webhook_receiver import receiver

from moderation_service.config.settings import Secret
from moderation_service.errors import Overloaded
from moderation_service.store.schema import appeals
from moderation_service.web.appeals import PerMinute

SHOP, CHAT = "shop-0123456789", "chat-0123456789"


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    made_keys = keys(f"shop:{SHOP}", f"chat:{CHAT}")
    with recorded_service(tmp_path, appeals=True, appeals_per_minute=5, api_keys=made_keys) as made:
        made.client.environ_base["HTTP_X_API_KEY"] = SHOP
        yield made


def ask(recorded: Recorded, body: object, *, key: str = SHOP) -> Any:
    return recorded.client.post("/appeals", json=body, headers={"X-API-Key": key})


def filed(recorded: Recorded) -> list[tuple[str, str]]:
    with recorded.database.read() as connection:
        return [(row.decision_id, row.text) for row in connection.execute(select(appeals))]


def test_a_block_can_be_appealed(recorded: Recorded) -> None:
    (blocked,) = recorded.moderate("a bomb")
    reply = ask(recorded, {"id": blocked["id"], "text": " It was about baths. "})
    assert (reply.status_code, reply.json) == (202, {"received": True})
    assert filed(recorded) == [(blocked["id"], "It was about baths.")]


def test_the_reply_does_not_tell_which_decisions_there_are(recorded: Recorded) -> None:
    blocked, flagged = recorded.moderate("a bomb", "an election")
    replies = [
        ask(recorded, {"id": blocked["id"]}, key=CHAT),
        ask(recorded, {"id": flagged["id"]}),
        ask(recorded, {"id": "mod_" + "0" * 24}),
    ]
    assert {(reply.status_code, reply.data) for reply in replies} == {(202, b'{"received":true}')}
    assert filed(recorded) == []


def test_an_appeal_is_told_to_the_webhook(tmp_path: Path) -> None:
    with receiver() as there:
        settings: dict[str, Any] = {"webhook_url": Secret(there.url), "webhook_events": ("appeal",)}
        with recorded_service(tmp_path, appeals=True, **settings) as made:
            (blocked,) = made.moderate("a bomb")
            for _ in range(2):
                made.client.post("/appeals", json={"id": blocked["id"], "text": "Baths!"})
            got = there.next()
        assert got.json["data"] == {"id": blocked["id"], "app": None}
        assert b"Baths" not in got.body
        assert there.got.empty(), "the second was none"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ([], 400, None),
        ({}, 400, "id"),
        ({"id": "mod_1"}, 400, "id"),
        ({"id": 7}, 400, "id"),
        ({"id": "mod_" + "0" * 24, "text": 1}, 400, "text"),
        ({"id": "mod_" + "0" * 24, "text": "a" * 2001}, 413, "text"),
        ({"id": "mod_" + "0" * 24, "txt": "a"}, 400, "txt"),
        ({"id": "mod_" + "0" * 24, "text": None}, 202, None),
    ],
)
def test_a_field_with_a_mistake_is_named(recorded: Recorded, body: object, status: int, param: str | None) -> None:
    reply = ask(recorded, body)
    assert reply.status_code == status
    assert status == 202 or reply.json["error"]["param"] == param


def test_nobody_appeals_more_often_than_the_limit(recorded: Recorded) -> None:
    statuses = [ask(recorded, {"id": "mod_" + "0" * 24}).status_code for _ in range(6)]
    assert statuses == [202] * 5 + [429]
    refused = ask(recorded, {"id": "mod_" + "0" * 24})
    assert int(refused.headers["Retry-After"]) <= 60
    assert ask(recorded, {"id": "mod_" + "0" * 24}, key=CHAT).status_code == 202, "each key has its own"


def test_after_a_minute_there_is_room_again() -> None:
    now = [0.0]
    limit = PerMinute(1, clock=lambda: now[0])
    limit.count("shop")
    with pytest.raises(Overloaded) as caught:
        limit.count("shop")
    assert caught.value.retry_after_s == 60
    now[0] = 60.0
    limit.count("shop")


def test_without_a_key_there_is_no_appeal(recorded: Recorded) -> None:
    assert ask(recorded, {"id": "mod_" + "0" * 24}, key="wrong-0123456789").status_code == 401


def test_a_service_that_takes_no_appeals_says_so(tmp_path: Path) -> None:
    expected = error("not_found", "This service takes no appeals.")
    assert make_client(appeals=True).post("/appeals", json={}).json == expected
    with recorded_service(tmp_path) as made:
        assert made.client.post("/appeals", json={}).json == expected
