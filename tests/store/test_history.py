"""What another policy would have done with recorded decisions is what it does when it is in force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeEngine
from recorded import Recorded, recorded_service
from sqlalchemy import select

from moderation_service.core.policy import BUILT_IN
from moderation_service.core.policy_comparison import Case, Comparison, compare
from moderation_service.core.verdict import Action, Category, Severity
from moderation_service.errors import EngineUnavailable, Overloaded
from moderation_service.store.database import Database
from moderation_service.store.history import Period
from moderation_service.store.schema import policy_versions, reviews, shadow_decisions

TEXTS = ("bread", "an election", "an insult", "a bomb")
FILE = """
policies:
  live: {extends: balanced, on_failure: flag}
  pii: {extends: balanced, categories: {unethical_acts: block}}
  shadowed: {extends: balanced, shadow: [strict, pii]}
"""


@pytest.fixture
def recorded(tmp_path: Path, url: str) -> Iterator[Recorded]:
    file = tmp_path / "policies.yaml"
    file.write_text(FILE)
    errors = {"away": EngineUnavailable("Down."), "many": Overloaded("Too many.", retry_after_s=1)}
    with recorded_service(tmp_path, engine=FakeEngine(errors=errors), url=url, policies_file=file) as made:
        yield made


def cases(database: Database, **wanted: str) -> tuple[list[Case], dict[str, int]]:
    with database.read() as connection:
        period = Period(connection, since_ms=0, until_ms=2**50, **wanted)
        return list(period.cases()), dict(period.aside)


def compared(recorded: Recorded, a: str, b: str) -> Comparison:
    policies = {one.name: one for one in recorded.service.policies}
    return compare(cases(recorded.database)[0], policies[a], policies[b])


@pytest.mark.parametrize("name", [*BUILT_IN, "pii"])
def test_a_record_leads_to_the_action_that_the_policy_takes_in_force(recorded: Recorded, name: str) -> None:
    recorded.moderate(*TEXTS, policy="loose")
    found = compared(recorded, "loose", name)
    in_force = [one["action"] for one in recorded.moderate(*TEXTS, policy=name)]
    assert found.total.unknown == 0
    blocked = sum(action == "block" for action in in_force)
    assert (found.total.blocked_b, found.total.checks) == (blocked, len(TEXTS))


def test_what_was_not_asked_for_and_what_no_engine_judged_is_unknown(recorded: Recorded) -> None:
    recorded.moderate("an insult", detail="severity")
    recorded.moderate("away", policy="live")
    found = compared(recorded, "balanced", "pii")
    assert found.to_json()["unknown_because"] == {"categories": 1, "no_verdict": 1}


def test_errors_of_callers_are_counted_apart(recorded: Recorded) -> None:
    recorded.moderate("bread")
    recorded.client.post("/moderate", json={"prompt": "many"})
    recorded.written()
    found, aside = cases(recorded.database)
    assert (len(found), aside) == (1, {"errors": 1})


def test_the_scores_of_a_record_are_the_very_numbers_that_the_engine_gave(recorded: Recorded) -> None:
    recorded.moderate("an election")
    judged = cases(recorded.database)[0][0].judged
    assert (judged.unsafe, judged.flagged) == (0.1, 0.7 + 0.1)
    assert (judged.severity, judged.categories) == (Severity.CONTROVERSIAL, (Category.POLITICALLY_SENSITIVE_TOPICS,))


def test_a_period_can_be_that_of_one_policy(recorded: Recorded) -> None:
    recorded.moderate("bread", policy="strict")
    recorded.moderate("bread", "bomb", policy="loose")
    assert len(cases(recorded.database, policy="strict")[0]) == 1
    assert cases(recorded.database, app="nobody")[0] == []


def test_reviewers_who_agree_say_what_is_right_and_others_nothing(recorded: Recorded) -> None:
    ids = [one["id"] for one in recorded.moderate("bomb", "a second bomb", "a third bomb", "election")]
    said = [
        (ids[0], "anna", "right", None),
        (ids[0], "ben", "unsure", None),
        (ids[1], "anna", "right", None),
        (ids[1], "ben", "wrong", Action.ALLOW.rank),
        (ids[3], "anna", "wrong", Action.BLOCK.rank),
    ]
    with recorded.database.write() as connection:
        for decision_id, reviewer, answer, action in said:
            row = {"decision_id": decision_id, "reviewer": reviewer, "answer": answer, "action": action, "at": 1}
            connection.execute(reviews.insert().values(**row))
    should = {case.decision_id: case.should for case in cases(recorded.database)[0]}
    assert should == {ids[0]: Action.BLOCK, ids[1]: None, ids[2]: None, ids[3]: Action.BLOCK}
    found = compared(recorded, "balanced", "strict")
    assert (found.reviewed, found.reviewed_a.recall, found.reviewed_b.recall) == (2, 0.5, 1.0)


def test_what_shadow_policies_would_have_done_is_kept_beside_the_decision(recorded: Recorded) -> None:
    (full,) = recorded.moderate("an election", policy="shadowed")
    (short,) = recorded.moderate("an insult", policy="shadowed", detail="severity")
    wanted = select(shadow_decisions.c.decision_id, policy_versions.c.name, shadow_decisions.c.action)
    wanted = wanted.join_from(shadow_decisions, policy_versions, shadow_decisions.c.policy == policy_versions.c.id)
    with recorded.database.read() as connection:
        found = {(row.decision_id, row.name): row.action for row in connection.execute(wanted)}
    block, flag = Action.BLOCK.rank, Action.FLAG.rank
    # What was not asked for is not known of the policy that acts on it.
    assert found == {(full["id"], "strict"): block, (full["id"], "pii"): flag, (short["id"], "strict"): block}
