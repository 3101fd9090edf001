import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.data.evaluation.rates import BinaryScore, binary, f1_interval, wilson

counts = st.integers(0, 10_000)
scores = st.builds(BinaryScore, counts, counts, counts, counts)


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        # The values that R's binom.confint(method = "wilson") and statsmodels give.
        (8, 10, 0.4901625, 0.9433178),
        (5, 10, 0.2365931, 0.7634069),
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (1, 1000, 0.0001765, 0.0056427),
    ],
)
def test_wilson_intervals_are_those_of_other_programs(part, whole, low, high):
    interval = wilson(part, whole)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_a_share_of_nothing_has_no_interval():
    assert wilson(0, 0) is None


@given(st.integers(1, 100_000).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_an_interval_holds_its_share_lies_within_0_and_1_and_mirrors(share):
    part, whole = share
    interval, mirrored = wilson(part, whole), wilson(whole - part, whole)
    assert 0 <= interval.low <= part / whole <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high)
    wider = wilson(10 * part, 10 * whole)
    assert wider.high - wider.low < interval.high - interval.low


@given(scores)
def test_every_rate_is_a_share_and_lies_in_its_interval(score):
    for name, interval in score.intervals().items():
        rate = getattr(score, name)
        assert (rate is None) == (interval is None)
        if rate is not None:
            assert 0 <= interval.low <= rate + 1e-12
            assert rate - 1e-12 <= interval.high <= 1


@given(scores)
def test_f1_is_the_harmonic_mean(score):
    if score.f1 and score.precision and score.recall:
        assert score.f1 == pytest.approx(2 / (1 / score.precision + 1 / score.recall))


def test_of_unsafe_texts_alone_only_the_recall_is_told():
    score = BinaryScore(90, 0, 10, 0)
    assert score.recall == 0.9
    assert (score.f1, score.precision, score.false_positive_rate) == (None, None, None)
    assert score.to_dict()["intervals"]["f1"] is None


def test_of_safe_texts_alone_only_the_false_positive_rate_is_told():
    score = BinaryScore(0, 5, 0, 95)
    assert (score.f1, score.recall, score.false_positive_rate) == (None, None, 0.05)


def test_the_interval_of_f1_is_about_a_bootstraps():
    import numpy as np

    score = BinaryScore(300, 120, 180, 1080)
    cells = np.array([300, 120, 180, 1080])
    drawn = np.random.default_rng(7).multinomial(cells.sum(), cells / cells.sum(), size=20_000)
    low, high = np.percentile(2 * drawn[:, 0] / (2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2]), [2.5, 97.5])
    interval = f1_interval(score)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_every_pair_is_counted_once(pairs):
    score = binary(pairs)
    assert score.positives + score.negatives == len(pairs)
    assert score.positives == sum(wanted for wanted, _ in pairs)
    assert score.true_positives + score.false_positives == sum(found for _, found in pairs)
