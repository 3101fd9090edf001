"""Rows of logits become verdicts by the labels of the model's own config."""

from __future__ import annotations

import numpy as np
import pytest
from fake_stream_server import CATEGORIES, CONFIG, labels

from moderation_service.core.verdict import Category, Severity, Target
from moderation_service.engines.stream.labels import Labels
from moderation_service.errors import ConfigurationError, EngineAnswerInvalid

LABELS = Labels.from_config(CONFIG)


def row(**columns: float) -> np.ndarray:
    found = np.zeros((1, 23), dtype=np.float32)
    for name, value in columns.items():
        found[0, int(name.removeprefix("c"))] = value
    return found


def test_each_target_has_its_own_columns() -> None:
    both = row(c1=5.0, c4=2.0, c13=5.0, c22=2.0)
    (response,), (prompt,) = (LABELS.read(both, target) for target in (Target.RESPONSE, Target.PROMPT))
    assert (response.severity, response.category) == (Severity.UNSAFE, Category.SEXUAL_CONTENT)
    assert (prompt.severity, prompt.category) == (Severity.CONTROVERSIAL, Category.JAILBREAK)


def test_scores_are_the_softmax_of_the_three_risks_and_nothing_else() -> None:
    (found,) = LABELS.read(row(c0=1.0, c1=2.0, c2=4.0, c3=50.0), Target.RESPONSE)
    weights = np.exp([1.0, 2.0, 4.0])
    expected = weights / weights.sum()
    assert [found.scores.safe, found.scores.unsafe, found.scores.controversial] == pytest.approx(expected)


def test_of_labels_that_are_level_the_strictest_counts() -> None:
    assert [LABELS.read(row(**{first: 2.0, other: 2.0}), Target.RESPONSE)[0].severity for first, other in (
        ("c0", "c1"), ("c0", "c2"), ("c1", "c2"),
    )] == [Severity.UNSAFE, Severity.CONTROVERSIAL, Severity.UNSAFE]  # fmt: skip


def test_a_row_of_equal_numbers_is_no_verdict_unless_another_one_is_unsafe() -> None:
    level, unsafe, safe = row(), row(c1=3.0), row(c0=3.0)
    for rows in (level, np.concatenate((safe, level))):
        with pytest.raises(EngineAnswerInvalid):
            LABELS.read(rows, Target.RESPONSE)
    assert LABELS.read(np.concatenate((unsafe, level)), Target.RESPONSE)[0].severity is Severity.UNSAFE


def test_huge_logits_do_not_overflow() -> None:
    (found,) = LABELS.read(row(c1=3e38, c0=-3e38), Target.RESPONSE)
    assert found.scores.unsafe == 1.0


def test_a_safe_token_has_no_category_because_its_head_is_untrained_there() -> None:
    (found,) = LABELS.read(row(c0=5.0, c3=9.0), Target.RESPONSE)
    assert (found.severity, found.category) == (Severity.SAFE, None)


def test_every_category_of_ours_is_one_of_the_models() -> None:
    rows = [row(c12=9.0, **{f"c{14 + at}": 9.0}) for at in range(9)]
    assert {LABELS.read(one, Target.PROMPT)[0].category for one in rows} == set(Category)


def test_the_order_of_the_config_counts_whatever_it_is() -> None:
    changed = {**CONFIG, "response_risk_level_map": labels("Controversial", "Safe", "Unsafe")}
    (found,) = Labels.from_config(changed).read(row(c0=5.0, c3=9.0), Target.RESPONSE)
    assert (found.severity, found.category) == (Severity.CONTROVERSIAL, Category.VIOLENT)
    reversed_names = {**CONFIG, "response_category_map": labels(*reversed(CATEGORIES))}
    (found,) = Labels.from_config(reversed_names).read(row(c1=5.0, c3=9.0), Target.RESPONSE)
    assert found.category is Category.UNETHICAL_ACTS


def test_fewer_categories_make_narrower_rows() -> None:
    narrow = {**CONFIG, "num_category": 1, "response_category_map": labels("PII")}
    assert (LABELS.width, Labels.from_config(narrow).width) == (23, 16)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"response_risk_level_map": None}, "response_risk_level_map is missing"),
        ({"query_category_map": {"0": 5}}, "query_category_map is missing"),
        ({"response_risk_level_map": labels("Safe", "Unsafe", "Toxic")}, "'Toxic'"),
        ({"response_risk_level_map": labels("Safe", "Unsafe", "Unsafe")}, "each of safe"),
        ({"query_category_map": labels("Weather"), "num_query_category": 1}, "'Weather'"),
        ({"num_category": 9}, "num_category"),
        ({"response_category_map": {"0": "PII", "2": "Political"}, "num_category": 2}, "indexes from 0"),
    ],
)
def test_a_config_that_can_not_be_right_stops_the_start(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.json") as stopped:
        Labels.from_config({**CONFIG, **changes})
    assert named in str(stopped.value)
