import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.data.evaluation.curves import Curve

# Few distinct scores, so that many texts share one.
texts = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]), st.booleans()), min_size=2, max_size=60
).filter(lambda rows: len({wanted for _, wanted in rows}) == 2)


def curve_of(rows):
    return Curve.of([score for score, _ in rows], [wanted for _, wanted in rows])


def counted(rows, threshold):
    """The rates at a threshold, counted one by one."""
    found = [wanted for score, wanted in rows if score >= threshold]
    positives = sum(wanted for _, wanted in rows)
    return (
        sum(found) / len(found) if found else None,
        sum(found) / positives,
        (len(found) - sum(found)) / (len(rows) - positives),
    )


def rates(point):
    return point.precision, point.recall, point.false_positive_rate


@given(texts, st.floats(-0.5, 1.5))
def test_any_threshold_gives_what_counting_gives(rows, threshold):
    assert rates(curve_of(rows).at(threshold)) == pytest.approx(counted(rows, threshold))


@given(texts)
def test_there_is_a_point_per_distinct_score(rows):
    curve = curve_of(rows)
    assert list(curve.thresholds) == sorted({score for score, _ in rows}, reverse=True)
    for index, threshold in enumerate(curve.thresholds):
        assert rates(curve.point(index)) == pytest.approx(counted(rows, threshold))


@given(texts, st.floats(0, 1))
def test_the_best_recall_within_a_false_positive_rate_is_found(rows, limit):
    point = curve_of(rows).within_false_positive_rate(limit)
    within = [one for one in (counted(rows, score) for score, _ in rows) if one[2] <= limit]
    assert (point is None) == (not within)
    if point is not None:
        assert point.recall == max(recall for _, recall, _ in within)
        assert rates(point) == pytest.approx(counted(rows, point.threshold))


@given(texts, st.floats(0.01, 1))
def test_the_fewest_false_alarms_with_a_recall_are_found(rows, goal):
    point = curve_of(rows).with_recall(goal)
    assert point.recall >= goal - 1e-9
    reaching = [one for one in (counted(rows, score) for score, _ in rows) if one[1] >= goal]
    assert point.false_positive_rate == min(rate for _, _, rate in reaching)


def test_average_precision_is_that_of_other_programs():
    # The example of scikit-learn's average_precision_score, and one with ties, worked by hand.
    assert Curve.of([0.1, 0.4, 0.35, 0.8], [False, False, True, True]).average_precision == pytest.approx(0.8333333)
    assert Curve.of([0.5, 0.5, 0.5, 0.1], [True, False, True, False]).average_precision == pytest.approx(2 / 3)


def test_a_perfect_guard_has_everything():
    curve = Curve.of([0.9, 0.8, 0.2, 0.1], [True, True, False, False])
    assert curve.average_precision == 1.0
    assert rates(curve.within_false_positive_rate(0.01)) == (1.0, 1.0, 0.0)


def test_there_is_no_curve_without_both_kinds_of_text():
    assert Curve.of([0.5, 0.6], [True, True]) is None
    assert Curve.of([0.5, 0.6], [False, False]) is None
    assert Curve.of([], []) is None


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="no number"):
        Curve.of([0.5, float("nan")], [True, False])


@given(texts, st.integers(2, 10))
def test_a_thinned_curve_keeps_its_last_point_and_is_short(rows, points):
    curve = curve_of(rows)
    thinned = curve.thinned(points)
    assert 1 <= len(thinned) <= max(points, 2)
    assert thinned[-1].recall == 1.0
    assert [one.recall for one in thinned] == sorted(one.recall for one in thinned)
