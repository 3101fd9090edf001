from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from console import Visitor, visitor
from fakes import FakeEngine
from processes import until
from recorded import recorded_service
from sqlalchemy import func, select
from webhook_receiver import receiver
from werkzeug.test import TestResponse

from moderation_service.config.settings import Secret
from moderation_service.core.person import Role
from moderation_service.store.appeals import file_appeal
from moderation_service.store.schema import decisions, review_items, reviews, trail

HOSTILE = '<b class="planted">bomb</b><script>alert(1)</script>'


POLICIES = "policies:\n  quiet: {extends: balanced}\n  balanced: {extends: balanced, keep_text: all}\n"


@contextmanager
def reviewer(folder: Path, engine: FakeEngine | None = None, **settings: Any) -> Iterator[Visitor]:
    """A reviewer at a console of their own, whose service keeps all texts but those of the policy `quiet`."""
    file = folder / "policies.yaml"
    file.write_text(POLICIES)
    rare: dict[str, Any] = {"review_sample": 0.0, "review_close": 0.0, "review_twice": 0.0}
    with recorded_service(folder, engine=engine, policies_file=file, console="on", **rare, **settings) as made:
        yield Visitor(made.client, made.database).sign_in(Role.REVIEWER)


@pytest.fixture
def anna(tmp_path: Path) -> Iterator[Visitor]:
    with reviewer(tmp_path) as somebody:
        yield somebody


def moderate(somebody: Visitor, *texts: str, policy: str = "balanced") -> list[str]:
    """The ids of the decisions on these prompts, once they are in the database."""
    body = {"inputs": [{"prompt": text, "policy": policy} for text in texts]}
    ids = [one["id"] for one in somebody.client.post("/moderate", json=body).json["results"]]

    def are_there() -> bool:
        with somebody.database.read() as connection:
            found = select(func.count()).select_from(decisions).where(decisions.c.decision_id.in_(ids))
            return connection.execute(found).scalar_one() == len(ids)

    until(are_there)
    return ids


def taken(reply: TestResponse) -> str:
    """The decision that a reply leads to."""
    found = re.fullmatch(r"/console/review/item/(mod_[0-9a-f]{24})", reply.headers["Location"])
    assert found is not None, reply.headers["Location"]
    return found[1]


def rows(somebody: Visitor, table: object) -> list[tuple[object, ...]]:
    with somebody.database.read() as connection:
        return [tuple(row) for row in connection.execute(select(table))]  # type: ignore[call-overload]


def test_a_reviewer_goes_through_the_queue(anna: Visitor) -> None:
    moderate(anna, "bread", "a bomb", "an election")
    assert "Look at the next one" in anna.get("/review").text
    first = taken(anna.post("/review/next"))
    page = anna.get(f"/review/item/{first}").text
    assert 'id="judged">a bomb</p>' in page
    second = taken(anna.post(f"/review/item/{first}/answer", choice="right"))
    page = anna.get(f"/review/item/{second}").text
    assert 'id="judged">an election</p>' in page
    assert f'/console/review/item/{first}" data-press="ArrowLeft"' in page, "the way back"
    last = anna.post(f"/review/item/{second}/answer", choice="unsafe", category="violent", note="A threat.")
    assert last.headers["Location"] == "/console/review"
    with anna.database.read() as connection:
        given = connection.execute(select(reviews).order_by(reviews.c.id)).all()
    assert [(one.answer, one.severity, one.action, one.note) for one in given] == [
        ("right", 2, 2, ""),
        ("wrong", 2, 2, "A threat."),
    ]


def test_an_earlier_answer_is_shown_and_can_be_changed(anna: Visitor) -> None:
    moderate(anna, "a bomb")
    item = taken(anna.post("/review/next"))
    anna.post(f"/review/item/{item}/answer", choice="safe", note="Bath bombs.")
    page = anna.get(f"/review/item/{item}").text
    assert re.search(r'value="safe" data-key="2" required checked', page)
    assert "Bath bombs." in page
    anna.post(f"/review/item/{item}/answer", choice="right")
    assert len(rows(anna, reviews)) == 1


def test_the_span_is_marked_and_text_stays_text(anna: Visitor) -> None:
    (item,) = moderate(anna, HOSTILE)
    with anna.database.write() as connection:
        connection.execute(decisions.update().values(span_start=19, span_end=23))
    anna.get("/review")
    page = anna.get(f"/review/item/{item}").text
    assert "&lt;b class=&#34;planted&#34;&gt;<mark>bomb</mark>&lt;/b&gt;&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_without_a_kept_text_the_rest_is_shown(anna: Visitor) -> None:
    moderate(anna, "a secret bomb", policy="quiet")
    page = anna.get(f"/review/item/{taken(anna.post('/review/next'))}").text
    assert "The policy keeps no text of it." in page
    assert "secret" not in page
    assert "0.9500" in page


def test_what_is_skipped_comes_back_last(anna: Visitor) -> None:
    moderate(anna, "bomb 1", "an election")
    first = taken(anna.post("/review/next"))
    second = taken(anna.post(f"/review/item/{first}/skip"))
    assert second != first
    assert taken(anna.post(f"/review/item/{second}/answer", choice="right")) == first


@pytest.mark.parametrize(
    ("form", "message"),
    [({}, "Choose an answer first."), ({"choice": "maybe"}, "Choose an answer first."),
     ({"choice": "right", "note": "x" * 2001}, "The note is too long.")],
)  # fmt: skip
def test_an_answer_with_a_mistake_is_refused(anna: Visitor, form: dict[str, str], message: str) -> None:
    moderate(anna, "a bomb")
    item = taken(anna.post("/review/next"))
    reply = anna.post(f"/review/item/{item}/answer", **form)
    assert reply.status_code == 400
    assert message in reply.text
    assert rows(anna, reviews) == []


def test_what_is_not_in_the_queue_is_not_shown(anna: Visitor) -> None:
    (safe,) = moderate(anna, "bread")
    for item in (safe, "mod_" + "0" * 24, "1"):
        assert anna.get(f"/review/item/{item}").status_code == 404
        assert anna.post(f"/review/item/{item}/answer", choice="right").status_code == 404


def test_another_engine_can_be_asked(tmp_path: Path) -> None:
    with reviewer(tmp_path, FakeEngine(name="vllm")) as anna:
        (item,) = moderate(anna, "a bomb")
        anna.get("/review")
        assert anna.post(f"/review/item/{item}/opinion", engine="other").status_code == 400
        with anna.database.write() as connection:
            connection.exec_driver_sql("UPDATE names SET name = 'lite' WHERE kind = 'engine'")
        assert "Ask the engine vllm" in anna.get(f"/review/item/{item}").text
        assert "unsafe" in anna.post(f"/review/item/{item}/opinion", engine="vllm").text
        assert sum("review.opinion" in row for row in rows(anna, trail)) == 1


def test_an_appeal_is_shown_with_who_decided_it_and_why(anna: Visitor) -> None:
    (item,) = moderate(anna, "a bomb")
    with anna.database.write() as connection:
        assert file_appeal(connection, decision_id=item, app="", text="<i>Baths!</i>", now_ms=1)
    assert taken(anna.post("/review/next")) == item
    assert "&lt;i&gt;Baths!&lt;/i&gt;" in anna.get(f"/review/item/{item}").text
    anna.post(f"/review/item/{item}/answer", choice="safe", note="Bath bombs.")
    page = anna.get("/review").text
    assert "overturned" in page
    assert "Bath bombs." in page


def test_what_came_of_an_appeal_is_told_once_to_the_webhook_without_any_text(tmp_path: Path) -> None:
    with receiver() as there, reviewer(tmp_path, webhook_url=Secret(there.url)) as somebody:
        appealed, other = moderate(somebody, "a bomb", "another bomb")
        with somebody.database.write() as connection:
            assert file_appeal(connection, decision_id=appealed, app="", text="Baths!", now_ms=1)
        for item in (appealed, other):
            taken(somebody.post("/review/next"))
            for choice in ("unsafe", "safe"):
                somebody.post(f"/review/item/{item}/answer", choice=choice, note="A note.")
        got = [there.next() for _ in range(3)]
        assert there.got.empty(), "an answer that is changed later decides no appeal"
    assert [one.json["type"] for one in got] == ["moderation.blocked"] * 2 + ["moderation.appeal_decided"]
    assert got[2].json["data"] == {"id": appealed, "app": None, "outcome": "upheld"}
    assert got[2].json["text"] == f"Appeal upheld: {appealed}"
    assert b"Baths" not in got[2].body
    assert b"note" not in got[2].body


def test_labels_can_be_downloaded_and_that_is_in_the_trail(anna: Visitor) -> None:
    (item,) = moderate(anna, "a bomb")
    anna.get("/review")
    anna.post(f"/review/item/{item}/answer", choice="right")
    reply = anna.post("/review/labels")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="labels.jsonl"'
    assert json.loads(reply.text)["label"] == "unsafe"
    assert any("review.export" in row for row in rows(anna, trail))


def test_thresholds_are_suggested_once_there_are_texts_of_both_kinds(anna: Visitor) -> None:
    assert "not reviewed texts of both kinds" in anna.get("/review/thresholds").text
    for item in moderate(anna, "a bomb", "an election"):
        anna.get("/review")
        anna.post(f"/review/item/{item}/answer", choice="right")
    assert "thresholds: { unsafe: 0.95 }" in anna.get("/review/thresholds").text


def test_a_viewer_reviews_nothing(tmp_path: Path) -> None:
    viewer = visitor(tmp_path, Role.VIEWER)
    assert viewer.get("/review").status_code == 403
    assert rows(viewer, review_items) == []


def test_what_was_found_can_be_tried_on_a_list_and_then_added(anna: Visitor) -> None:
    admin = anna.sign_in(Role.ADMIN)
    (item,) = moderate(admin, "a bomb")
    admin.get("/review")
    assert "Put it on a list" not in admin.get(f"/review/item/{item}").text
    admin.post("/lists/make", name="excused", policy="balanced")
    page = admin.get(f"/review/item/{item}").text
    assert '<input type="hidden" name="text" value="a bomb"><input type="hidden" name="side" value="allow">' in page
    fields = {"text": "a bomb", "side": "allow", "action": "block", "reason": item}
    tried = admin.post("/lists/excused/add", **fields, **{"try": "1"}).text
    assert "Of 1 texts kept in the last 7 days 1 would have been hit." in tried
    assert f'value="{item}"' in tried
    assert "No entry fits." in tried
    assert admin.post("/lists/excused/add", **fields).status_code == 303


def test_an_answer_does_not_wait_for_a_look_through_the_records_but_the_last_one_does(anna: Visitor) -> None:
    first, second = moderate(anna, "a bomb", "a bomb again")
    assert anna.get("/review").status_code == 200
    (third,) = moderate(anna, "one more bomb")
    seen = [taken(anna.post("/review/next"))]
    for _ in range(2):
        seen.append(taken(anna.post(f"/review/item/{seen[-1]}/answer", choice="right")))
    assert sorted(seen[:2]) == sorted([first, second])
    assert seen[2] == third


def test_what_passed_and_should_not_have_is_picked_from_its_page(anna: Visitor) -> None:
    (missed,) = moderate(anna, "bread, in a tone that nobody likes")
    assert anna.get(f"/review/item/{missed}").status_code == 404
    assert f'action="/console/review/item/{missed}/pick"' in anna.get(f"/decisions/{missed}").text
    assert taken(anna.post(f"/review/item/{missed}/pick")) == missed
    assert f'href="/console/review/item/{missed}"' in anna.get(f"/decisions/{missed}").text
    anna.post(f"/review/item/{missed}/answer", choice="unsafe")
    assert taken(anna.post(f"/review/item/{missed}/pick")) == missed
    with anna.database.read() as connection:
        assert connection.execute(select(review_items.c.state, review_items.c.why)).all() == [("done", "picked")]
        picks = select(func.count()).select_from(trail).where(trail.c.action == "review.pick")
        assert connection.execute(picks).scalar_one() == 1
    assert anna.post("/review/item/mod_000000000000000000000000/pick").status_code == 404
