import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.data.evaluation.reliability import reliability


def test_the_error_is_the_mean_distance_between_what_is_told_and_what_is():
    # Bin 0.2-0.3: told 0.25 twice, seen 1 of 2. Bin 0.9-1: told 0.95 twice, seen 2 of 2.
    found = reliability([0.25, 0.25, 0.95, 0.95], [True, False, True, True])
    assert found.expected_calibration_error == pytest.approx((2 * 0.25 + 2 * 0.05) / 4)
    assert [one.items for one in found.bins] == [0, 0, 2, 0, 0, 0, 0, 0, 0, 2]
    assert (found.bins[2].positive_share, found.bins[2].mean_probability) == (0.5, 0.25)
    assert found.bins[0].positive_share is None


def test_certainty_belongs_to_the_last_bin():
    found = reliability([1.0, 1.0 + 1e-9], [True, True])
    assert found.bins[9].items == 2
    assert found.expected_calibration_error == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability([0.5, wrong], [True, False])


def test_nothing_has_no_reliability():
    assert reliability([], []) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_every_text_is_in_one_bin_and_the_error_is_a_share(rows):
    found = reliability([value for value, _ in rows], [wanted for _, wanted in rows])
    assert sum(one.items for one in found.bins) == len(rows)
    assert 0 <= found.expected_calibration_error <= 1 + 1e-9
    for one in found.bins:
        if one.items:
            assert one.low - 1e-9 <= one.mean_probability <= one.high + 1e-9
