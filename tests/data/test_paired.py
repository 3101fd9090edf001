import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation_service.data.evaluation.paired import EXACT_UP_TO, difference_of_f1, mcnemar


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        # Two-sided: the binomial test of the smaller count, and chi-square with Edwards' correction.
        (1, 9, 0.021484375),
        (0, 6, 0.03125),
        (3, 3, 1.0),
        (0, 0, 1.0),
        (12, 5, 0.1434631),
        (2400, 2600, 0.0048886),  # chi-square 199^2 / 5000 = 7.9202
    ],
)
def test_the_probability_is_that_of_other_programs(first, second, p):
    assert mcnemar(first, second).p == pytest.approx(p, abs=2e-6)


@given(st.integers(0, 1500), st.integers(0, 1500))
def test_the_test_does_not_care_which_guard_is_named_first(first, second):
    found = mcnemar(first, second)
    assert found.p == mcnemar(second, first).p
    assert 0 <= found.p <= 1
    assert found.exact == (first + second <= EXACT_UP_TO)


def test_exact_and_approximate_agree_where_they_meet():
    below, above = mcnemar(460, EXACT_UP_TO - 460), mcnemar(460, EXACT_UP_TO - 459)
    assert below.exact
    assert not above.exact
    assert below.p == pytest.approx(above.p, rel=0.1)


def test_a_better_guard_has_a_higher_f1_with_an_interval_above_zero():
    rows = [(True, False, True)] * 60 + [(True, True, True)] * 200 + [(False, False, False)] * 400
    rows += [(True, True, False)] * 10 + [(False, True, True)] * 30
    difference, interval = difference_of_f1(rows)
    first, second = 2 * 210 / (2 * 210 + 60 + 30), 2 * 260 / (2 * 260 + 10 + 30)
    assert difference == pytest.approx(second - first)
    assert 0 < interval.low < difference < interval.high


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=50))
def test_two_guards_that_change_places_differ_by_the_opposite(rows):
    found = difference_of_f1(rows)
    swapped = difference_of_f1((gold, second, first) for gold, first, second in rows)
    if found is None:
        assert swapped is None
        assert len({gold for gold, _, _ in rows}) < 2
    else:
        assert found[0] == pytest.approx(-swapped[0])
        assert found[1].low <= found[1].high
