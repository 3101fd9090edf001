from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_files import FORUM as FORUM_KEY
from app_files import SHOP as SHOP_KEY
from app_files import headers, write_apps
from apps import error, keys, make_client
from recorded import Recorded, recorded_service
from sqlalchemy import select
from webhook_receiver import receiver

from moderation_service.config.settings import Secret
from moderation_service.core.review import Answer
from moderation_service.core.verdict import Severity
from moderation_service.errors import Overloaded
from moderation_service.store.reviews import Review
from moderation_service.store.reviews import answer as answer_review
from moderation_service.store.schema import appeals
from moderation_service.store.trail import now_ms
from moderation_service.web.appeals import PerMinute

SHOP, CHAT = "shop-0123456789", "chat-0123456789"


@pytest.fixture
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a decision that may still be written."""
    monkeypatch.setattr("moderation_service.web.appeals.sleep", lambda seconds: None)


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


def test_an_appeal_right_after_the_block_is_not_lost(recorded: Recorded) -> None:
    blocked = recorded.client.post("/moderate", json={"prompt": "a bomb"}).json
    assert ask(recorded, {"id": blocked["id"]}).status_code == 202
    assert filed(recorded) == [(blocked["id"], "")]


@pytest.mark.usefixtures("nobody_waits")
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


def asked(recorded: Recorded, decision_id: str, *, key: str = SHOP, language: str = "") -> Any:
    return recorded.client.get(f"/appeals/{decision_id}", headers={"X-API-Key": key, "Accept-Language": language})


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Review(answer=Answer.RIGHT), "upheld"),
        (Review(answer=Answer.WRONG, severity=Severity.SAFE, note="a secret note"), "overturned"),
        (Review(answer=Answer.UNSURE, note="a secret note"), "open"),
    ],
)
def test_who_filed_an_appeal_learns_what_came_of_it_and_no_text(recorded: Recorded, answer: Review, state: str) -> None:
    (blocked,) = recorded.moderate("a bomb")
    ask(recorded, {"id": blocked["id"], "text": "It was about baths."})
    before = asked(recorded, blocked["id"])
    assert (before.status_code, before.json["state"]) == (200, "open")
    with recorded.database.write() as connection:
        answer_review(connection, blocked["id"], answer, reviewer="kim", twice=0.0, now_ms=now_ms())
    after = asked(recorded, blocked["id"])
    assert set(after.json) == {"id", "state", "message"}
    assert (after.json["id"], after.json["state"]) == (blocked["id"], state)
    assert after.headers["Cache-Control"] == "no-store"
    assert "note" not in after.text
    assert "baths" not in after.text
    chinese = asked(recorded, blocked["id"], language="fr, zh-CN;q=0.9, en;q=0.5").json["message"]
    assert chinese.startswith("您的申诉")


def test_of_an_appeal_of_another_app_is_told_what_is_told_of_none(recorded: Recorded) -> None:
    appealed, other = recorded.moderate("a bomb", "another bomb")
    ask(recorded, {"id": appealed["id"]})
    replies = [
        asked(recorded, appealed["id"], key=CHAT),
        asked(recorded, other["id"]),
        asked(recorded, "mod_" + "0" * 24),
        asked(recorded, "%27%20OR%201=1"),
    ]
    assert {(reply.status_code, reply.json["error"]["message"]) for reply in replies} == {
        (404, "There is no appeal of yours by this id.")
    }
    assert asked(recorded, appealed["id"], key="wrong-0123456789").status_code == 401


@pytest.mark.usefixtures("nobody_waits")
def test_asking_for_outcomes_is_limited_and_takes_nothing_from_appeals(recorded: Recorded) -> None:
    statuses = [asked(recorded, "mod_" + "0" * 24).status_code for _ in range(6)]
    assert statuses == [404] * 5 + [429]
    assert ask(recorded, {"id": "mod_" + "0" * 24}).status_code == 202
    assert asked(recorded, "mod_" + "0" * 24, key=CHAT).status_code == 404, "each key has its own"


def test_an_app_may_ask_where_its_appeals_go(tmp_path: Path) -> None:
    with recorded_service(tmp_path, appeals=True, apps_file=write_apps(tmp_path, "doors: [moderate]")) as made:
        told = made.client.get("/appeals/mod_" + "0" * 24, headers=headers(SHOP_KEY))
        assert (told.status_code, told.json["error"]["type"]) == (403, "forbidden")
        assert made.client.get("/appeals/mod_" + "0" * 24, headers=headers(FORUM_KEY)).status_code == 404


@pytest.mark.usefixtures("nobody_waits")
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
    assert make_client(appeals=True).get("/appeals/mod_" + "0" * 24).json == expected
    with recorded_service(tmp_path) as made:
        assert made.client.post("/appeals", json={}).json == expected
