from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from recorded import Recorded, recorded_service

from moderation_service.commands.cli import cli
from moderation_service.core.review import Answer
from moderation_service.core.verdict import Severity
from moderation_service.store.reviews import Review, answer, found_new, put
from moderation_service.store.trail import now_ms

RIGHT = Review(answer=Answer.RIGHT)
SAFE = Review(answer=Answer.WRONG, severity=Severity.SAFE)


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    file = tmp_path / "policies.yaml"
    file.write_text("policies:\n  keeps: {extends: balanced, keep_text: all}\n")
    with recorded_service(tmp_path, policies_file=file) as made:
        yield made


def review(recorded: Recorded, reviewer: str, *given: Review) -> None:
    """The first texts of the queue, as this reviewer answers them."""
    with recorded.database.write() as connection:
        found = found_new(connection, policies=recorded.service.policies, sample=1, close=0, since_ms=0)
        put(connection, found)
    for decision_id, one in zip(sorted(ids(recorded)), given, strict=False):
        with recorded.database.write() as connection:
            answer(connection, decision_id, one, reviewer=reviewer, twice=1.0, now_ms=now_ms())


def ids(recorded: Recorded) -> list[str]:
    from sqlalchemy import select

    from moderation_service.store.schema import review_items

    with recorded.database.read() as connection:
        return list(connection.execute(select(review_items.c.decision_id)).scalars())


def run(recorded: Recorded, *arguments: object) -> Result:
    done = CliRunner().invoke(cli, ["reviews", *map(str, arguments)], env={"MODERATION_STORE": recorded.url})
    assert done.exit_code == 0, done.output
    return done


def test_export_writes_what_eval_can_judge(recorded: Recorded, tmp_path: Path) -> None:
    recorded.moderate("a bomb", "bread", policy="keeps")
    recorded.moderate("another bomb")
    review(recorded, "anna", RIGHT, RIGHT, RIGHT)
    file = tmp_path / "labels.jsonl"
    file.touch(mode=0o644)
    done = run(recorded, "export", "-o", file)
    assert done.stderr == "2 labelled texts; of 1 more the text was not kept\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {json.loads(line)["label"] for line in file.read_text().splitlines()} == {"safe", "unsafe"}
    judged = CliRunner().invoke(cli, ["eval", str(file), "--json"], env={"MODERATION_STORE": "off"})
    assert judged.exit_code == 0, judged.output


def test_agreement_is_told_for_each_pair_of_reviewers(recorded: Recorded) -> None:
    assert run(recorded, "agreement").output == "No text has two answers yet.\n"
    recorded.moderate("bomb 1", "bomb 2", "bread 1", "bread 2")
    review(recorded, "anna", RIGHT, RIGHT, RIGHT, RIGHT)
    review(recorded, "ben", RIGHT, RIGHT, RIGHT)
    assert run(recorded, "agreement").output == "anna, ben: 3 of 3 alike, kappa 1.00\n"


def test_thresholds_are_suggested_with_the_curve_they_rest_on(recorded: Recorded) -> None:
    assert "not reviewed texts of both kinds yet" in run(recorded, "thresholds").output
    recorded.moderate("bomb 1", "bomb 2", "bread 1", "election 1")
    review(recorded, "anna", RIGHT, RIGHT, RIGHT, RIGHT)
    text = run(recorded, "thresholds").output
    assert "thresholds: {unsafe: 0.95}" in text
    assert "from 2 texts to be found and 2 others, too few to rely on" in text
    found: Any = json.loads(run(recorded, "thresholds", "--json").output)
    assert found["controversial"]["threshold"]["threshold"] == pytest.approx(0.8)
    assert [point["recall"] for point in found["unsafe"]["curve"]][-1] == 1.0
