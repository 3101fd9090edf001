from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.policy import BUILT_IN
from moderation_service.core.policy_comparison import Case, Comparison, compare
from moderation_service.core.verdict import Action, Category, Severity, Target
from moderation_service.core.what_if import Judged

STRICT, BALANCED, LOOSE = (BUILT_IN[name] for name in ("strict", "balanced", "loose"))
NOON = 1_769_860_800_000  # 2026-01-31T12:00:00Z
DAY = 86_400_000


def case(severity: Severity | None, *categories: Category, **fields: Any) -> Case:
    judged = Judged(Target.PROMPT, severity, categories=categories, has_failed=severity is None)
    return replace(Case("mod_1", NOON, "shop", judged), **fields)


SAFE, CONTROVERSIAL, UNSAFE = (case(severity) for severity in Severity)


def counts(found: Comparison) -> tuple[int, int, int, int, int, int]:
    one = found.total
    return (
        one.checks, one.blocked_a, one.blocked_b, one.newly_blocked, one.no_longer_blocked, one.unknown,
    )  # fmt: skip


def test_a_stricter_policy_blocks_more_and_a_milder_one_fewer() -> None:
    cases = [SAFE, CONTROVERSIAL, CONTROVERSIAL, UNSAFE]
    assert counts(compare(cases, BALANCED, STRICT)) == (4, 1, 3, 2, 0, 0)
    assert counts(compare(cases, STRICT, BALANCED)) == (4, 3, 1, 0, 2, 0)


def test_what_is_not_known_of_one_policy_counts_for_neither() -> None:
    found = compare([UNSAFE, case(None)], BALANCED, STRICT)
    assert counts(found) == (2, 1, 1, 0, 0, 1)
    assert found.to_json()["unknown_because"] == {"no_verdict": 1}


def test_it_is_told_by_app_category_and_day() -> None:
    cases = [
        case(Severity.CONTROVERSIAL, Category.PII, app="shop"),
        case(Severity.CONTROVERSIAL, Category.PII, Category.VIOLENT, app="chat", at_ms=NOON + DAY),
        case(Severity.UNSAFE, Category.VIOLENT, app="chat", at_ms=NOON + DAY),
    ]
    shown: Any = compare(cases, BALANCED, STRICT).to_json()
    newly = {by: {name: one["newly_blocked"] for name, one in shown[by].items()} for by in shown if by[:3] == "by_"}
    assert newly == {
        "by_app": {"chat": 1, "shop": 1},
        "by_category": {"pii": 2, "violent": 1},
        "by_day": {"2026-01-31": 1, "2026-02-01": 1},
    }


def test_examples_are_those_that_differ_blocks_first() -> None:
    cases = [case(Severity.CONTROVERSIAL, decision_id=f"mod_{number}") for number in range(20)]
    found = compare([UNSAFE, *cases], BALANCED, STRICT, most_examples=3)
    assert [(one.decision_id, one.a, one.b) for one in found.examples] == [
        (f"mod_{number}", Action.FLAG, Action.BLOCK) for number in range(3)
    ]
    assert [one.b for one in compare([CONTROVERSIAL], BALANCED, LOOSE).examples] == [Action.ALLOW]


def test_reviewed_texts_say_how_many_blocks_are_right_and_how_much_is_missed() -> None:
    cases = [
        replace(UNSAFE, should=Action.BLOCK),
        replace(UNSAFE, should=Action.ALLOW),
        replace(CONTROVERSIAL, should=Action.BLOCK),
        replace(SAFE, should=Action.ALLOW),
        UNSAFE,
    ]
    found = compare(cases, BALANCED, STRICT)
    assert found.reviewed == 4
    assert (found.reviewed_a.precision, found.reviewed_a.recall) == (1 / 2, 1 / 2)
    assert (found.reviewed_b.precision, found.reviewed_b.recall) == (2 / 3, 1.0)
    assert compare([SAFE], BALANCED, STRICT).reviewed_a.precision is None


@given(
    st.lists(st.sampled_from([SAFE, CONTROVERSIAL, UNSAFE, case(None)]), max_size=30),
    st.sampled_from(["loose", "strict"]),
)
def test_the_figures_add_up(cases: list[Case], name: str) -> None:
    found = compare(cases, BALANCED, BUILT_IN[name])
    checks, blocked_a, blocked_b, newly, no_longer, unknown = counts(found)
    assert checks == len(cases) == sum(found.actions.values()) + unknown
    assert blocked_b - blocked_a == newly - no_longer
    assert sum(found.doubts.values()) == unknown
    assert sum(tally.checks for tally in found.by_day.values()) == checks
