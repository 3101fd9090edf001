from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from recorded import Recorded, recorded_service
from sqlalchemy import select

from moderation_service.core.review import Answer, Why, is_sampled
from moderation_service.core.verdict import Category, Severity
from moderation_service.data.evaluation.reading import open_labelled
from moderation_service.errors import NotFound
from moderation_service.store.appeals import file_appeal
from moderation_service.store.reviewed import labelled, reviewers_agreement
from moderation_service.store.reviews import (
    Progress,
    Review,
    answer,
    enqueue,
    found_new,
    last_answered,
    progress,
    put,
    review_of,
    skip,
    take,
)
from moderation_service.store.schema import appeals, review_items, reviews, trail

FOREVER = 2**50
KEEPS = "policies:\n  keeps: {extends: balanced, keep_text: all, retention_days: 30}\n"
RIGHT, UNSURE = Review(answer=Answer.RIGHT), Review(answer=Answer.UNSURE)


def wrong(severity: Severity, *categories: Category, note: str = "") -> Review:
    return Review(answer=Answer.WRONG, severity=severity, categories=categories, note=note)


@pytest.fixture
def recorded(tmp_path: Path, url: str) -> Iterator[Recorded]:
    file = tmp_path / "policies.yaml"
    file.write_text(KEEPS)
    with recorded_service(tmp_path, url=url, policies_file=file) as made:
        yield made


class Desk:
    """Reviewers at work on one database; the clock moves with every step."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self.now = 1_000

    def collect(self, *, sample: float = 0.0, close: float = 0.0) -> int:
        with self._recorded.database.write() as connection:
            policies = self._recorded.service.policies
            found = found_new(connection, policies=policies, sample=sample, close=close, since_ms=0)
            put(connection, found)
        return len(found)

    def take(self, reviewer: str, *, beside: str | None = None) -> str | None:
        self.now += 1
        with self._recorded.database.write() as connection:
            return take(connection, reviewer=reviewer, now_ms=self.now, beside=beside)

    def answer(self, decision_id: str, given: Review, *, reviewer: str = "anna", twice: float = 0.0) -> None:
        self.now += 1
        with self._recorded.database.write() as connection:
            answer(connection, decision_id, given, reviewer=reviewer, twice=twice, now_ms=self.now)

    def all(self, table: Any) -> list[Any]:
        with self._recorded.database.read() as connection:
            return list(connection.execute(select(table)))

    def why(self) -> dict[str, str]:
        return {row.decision_id: row.why for row in self.all(review_items)}


@pytest.fixture
def desk(recorded: Recorded) -> Desk:
    return Desk(recorded)


# The queue


def test_what_was_flagged_or_blocked_waits_once(recorded: Recorded, desk: Desk) -> None:
    safe, flagged, blocked = (one["id"] for one in recorded.moderate("bread", "an election", "a bomb"))
    assert desk.collect() == 2
    assert desk.why() == {flagged: "flagged", blocked: "blocked"}
    assert desk.collect() == 0
    assert desk.collect(sample=1.0) == 1
    assert desk.why()[safe] == "sampled"


def test_the_database_takes_the_same_sample_as_the_program(recorded: Recorded, desk: Desk) -> None:
    ids = [one["id"] for one in recorded.moderate(*(f"bread {number}" for number in range(40)))]
    desk.collect(sample=0.5)
    assert desk.why() == {one: "sampled" for one in ids if is_sampled(one, 0.5)} != {}


def test_a_text_that_passed_waits_where_its_score_is_close_to_a_threshold(recorded: Recorded, desk: Desk) -> None:
    # The fake engine's harmless texts have P(controversial) + P(unsafe) of 0.10.
    (safe,) = (one["id"] for one in recorded.moderate("bread"))
    assert desk.collect(close=0.39) == 0
    assert desk.collect(close=0.41) == 1
    assert desk.why() == {safe: "close"}


def test_nobody_gets_what_another_has_before_that_is_given_back_or_forgotten(recorded: Recorded, desk: Desk) -> None:
    first, second = (one["id"] for one in recorded.moderate("bomb 1", "bomb 2"))
    desk.collect()
    annas = desk.take("anna")
    assert desk.take("anna") == annas, "who asks again gets the same"
    bens = desk.take("ben")
    assert {annas, bens} == {first, second}
    assert desk.take("cleo") is None
    with recorded.database.write() as connection:
        skip(connection, str(annas), reviewer="anna")
    assert desk.take("cleo") == annas
    desk.now += 11 * 60_000
    assert desk.take("dora") is not None, "who went home keeps nothing"


def test_what_was_skipped_comes_last(recorded: Recorded, desk: Desk) -> None:
    recorded.moderate("bomb 1", "an election", "bomb 2")
    desk.collect()
    skipped = desk.take("anna")
    assert skipped is not None
    with recorded.database.write() as connection:
        skip(connection, skipped, reviewer="anna")
    rest = []
    while (one := desk.take("anna")) is not None:
        rest.append(one)
        desk.answer(one, RIGHT)
    assert len(rest) == 3
    assert rest[-1] == skipped


def test_appeals_come_before_blocks_and_blocks_before_flags(recorded: Recorded, desk: Desk) -> None:
    flagged, blocked, appealed = (one["id"] for one in recorded.moderate("an election", "bomb 1", "bomb 2"))
    desk.collect()
    with recorded.database.write() as connection:
        enqueue(connection, appealed, Why.APPEALED, at=5)
    order = []
    while (one := desk.take("anna")) is not None:
        order.append(one)
        desk.answer(one, RIGHT)
    assert order == [appealed, blocked, flagged]


# Answers


def test_an_answer_closes_and_can_be_changed_by_who_gave_it(recorded: Recorded, desk: Desk) -> None:
    (blocked,) = (one["id"] for one in recorded.moderate("a bomb"))
    desk.collect()
    desk.answer(blocked, wrong(Severity.SAFE, note="About bath bombs."))
    assert desk.take("ben") is None
    desk.answer(blocked, RIGHT)
    with recorded.database.read() as connection:
        found = review_of(connection, blocked, reviewer="anna")
        assert found is not None
        assert (found.answer, found.severity) == (Answer.RIGHT, Severity.UNSAFE)
        assert last_answered(connection, reviewer="anna") == (blocked, desk.now)
        assert progress(connection, reviewer="anna", since_ms=0) == Progress(waiting=0, mine=1, all=1)
    trails = [(row.actor, row.action, row.subject, row.before) for row in desk.all(trail)]
    assert [one[:3] for one in trails] == [("anna", "review", blocked)] * 2
    assert trails[0][3] is None
    assert "bath bombs" in trails[1][3]


def test_what_two_are_asked_for_is_open_until_two_have_answered(recorded: Recorded, desk: Desk) -> None:
    (blocked,) = (one["id"] for one in recorded.moderate("a bomb"))
    desk.collect()
    desk.answer(blocked, RIGHT, twice=1.0)
    assert desk.take("anna") is None
    assert desk.take("ben") == blocked
    desk.answer(blocked, wrong(Severity.SAFE), reviewer="ben", twice=1.0)
    assert desk.take("cleo") is None
    with recorded.database.read() as connection:
        assert list(labelled(connection, since_ms=0, until_ms=FOREVER)) == [], "they contradict each other"
        ((names, found),) = reviewers_agreement(connection, since_ms=0, until_ms=FOREVER).items()
    assert (names, found.texts, found.agreed) == (("anna", "ben"), 1, 0)


def test_answers_of_one_reviewer_at_the_same_moment_are_one(recorded: Recorded, desk: Desk) -> None:
    (blocked,) = recorded.moderate("a bomb")
    desk.collect()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: desk.answer(blocked["id"], RIGHT), range(8)))
    assert [row.reviewer for row in desk.all(reviews)] == ["anna"]


def test_what_two_have_found_at_the_same_moment_waits_once(recorded: Recorded, desk: Desk) -> None:
    recorded.moderate("a bomb")
    with recorded.database.read() as connection:
        found = found_new(connection, policies=recorded.service.policies, sample=0, close=0, since_ms=0)
    for _ in range(2):
        with recorded.database.write() as connection:
            put(connection, found)
    assert len(desk.why()) == 1


def test_a_decision_that_is_not_in_the_queue_can_not_be_answered(recorded: Recorded, desk: Desk) -> None:
    (safe,) = (one["id"] for one in recorded.moderate("bread"))
    for decision_id in (safe, "mod_" + "0" * 24):
        with pytest.raises(NotFound):
            desk.answer(decision_id, RIGHT)


def test_labels_are_what_eval_reads(recorded: Recorded, desk: Desk, tmp_path: Path) -> None:
    texts = ("a bomb", "an election", "an insult", "about a bomb in the bath")
    ids = [one["id"] for one in recorded.moderate(*texts, policy="keeps")]
    (unkept,) = (one["id"] for one in recorded.moderate("another bomb"))
    desk.collect()
    for decision_id, given in zip([*ids, unkept], [RIGHT, UNSURE, RIGHT, wrong(Severity.SAFE), RIGHT], strict=True):
        desk.answer(decision_id, given)
    with recorded.database.read() as connection:
        found = list(labelled(connection, since_ms=0, until_ms=FOREVER))
    rows = [one.row for one in found if one.row is not None]
    assert len(found) == 4
    assert rows[0] == {
        "messages": [{"role": "user", "content": "a bomb"}],
        "label": "unsafe",
        "categories": ["violent"],
        "source": "review",
        "id": ids[0],
    }
    assert [(row["label"], row["categories"]) for row in rows[1:]] == [
        ("controversial", ["unethical_acts"]),
        ("safe", []),
    ]
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = list(open_labelled([file]))
    assert [text.gold.severity for text in read] == [Severity.UNSAFE, Severity.CONTROVERSIAL, Severity.SAFE]


# Appeals


def appeal(recorded: Recorded, decision_id: str, *, app: str = "", text: str = "It was about baking.") -> bool:
    with recorded.database.write() as connection:
        return file_appeal(connection, decision_id=decision_id, app=app, text=text, now_ms=7)


def test_appeals_at_the_same_moment_are_one(recorded: Recorded) -> None:
    (blocked,) = recorded.moderate("a bomb")
    with ThreadPoolExecutor(8) as pool:
        filed = list(pool.map(lambda _: appeal(recorded, blocked["id"]), range(8)))
    assert sorted(filed) == [False] * 7 + [True]


def test_a_block_can_be_appealed_once_and_by_its_app_only(recorded: Recorded, desk: Desk) -> None:
    blocked, flagged = (one["id"] for one in recorded.moderate("a bomb", "an election"))
    assert not appeal(recorded, blocked, app="another")
    assert not appeal(recorded, flagged)
    assert not appeal(recorded, "mod_" + "0" * 24)
    assert desk.all(appeals) == []
    assert appeal(recorded, blocked)
    assert not appeal(recorded, blocked, text="Again.")
    assert [(row.text, row.state) for row in desk.all(appeals)] == [("It was about baking.", "open")]
    assert desk.take("anna") == blocked


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (RIGHT, "upheld"),
        (wrong(Severity.SAFE, note="Bath bombs."), "overturned"),
        (wrong(Severity.CONTROVERSIAL, note="Bath bombs."), "overturned"),
        (wrong(Severity.UNSAFE, Category.VIOLENT), "upheld"),
        (UNSURE, None),
    ],
)
def test_an_appeal_is_decided_by_the_answer(recorded: Recorded, desk: Desk, given: Review, outcome: str | None) -> None:
    (blocked,) = (one["id"] for one in recorded.moderate("a bomb"))
    appeal(recorded, blocked)
    desk.answer(blocked, given)
    (row,) = desk.all(appeals)
    assert row.outcome == outcome
    if outcome is not None:
        assert (row.decided_by, row.decided_at, row.note) == ("anna", desk.now, given.note)


def test_a_reviewed_block_is_looked_at_again_when_it_is_appealed(recorded: Recorded, desk: Desk) -> None:
    (blocked,) = (one["id"] for one in recorded.moderate("a bomb"))
    desk.collect()
    desk.answer(blocked, RIGHT)
    appeal(recorded, blocked)
    assert desk.take("anna") is None, "somebody else decides than the first time"
    assert desk.take("ben") == blocked
