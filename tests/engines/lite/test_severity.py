"""Scores, thresholds, and from where the engine is sure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.engines.lite.severity import Thresholds

THREE = st.lists(st.floats(-4, 4), min_size=3, max_size=3, unique_by=lambda one: round(one, 2)).map(sorted)
SCORES = st.floats(-20, 20)


def made(bounds):
    return Thresholds(strict=bounds[0], loose=bounds[1], width=0.3, sure=bounds[2])


def test_the_engine_is_sure_from_its_third_threshold_on():
    thresholds = Thresholds(strict=0.0, loose=1.0, width=0.3, sure=2.0)
    assert [thresholds.is_sure(score) for score in (1.5, 2.0, 2.5)] == [False, True, True]


@pytest.mark.parametrize("score", [-1.0, 0.5, 9.0])
def test_without_a_third_threshold_it_never_is(score):
    assert not Thresholds(strict=0.0, loose=1.0, width=0.3).is_sure(score)


@given(THREE, THREE, SCORES)
def test_a_score_on_another_scale_means_the_same(ours, theirs, score):
    ours, theirs = made(ours), made(theirs)
    moved = ours.on_scale_of(theirs, score)
    # Rounding may move a score across a threshold that it all but touches.
    for bound in (ours.strict, ours.loose, ours.sure):
        if abs(score - bound) < 1e-6 and score != ours.sure:
            return
    assert theirs.severity(moved) == ours.severity(score)
    assert theirs.is_sure(moved) == ours.is_sure(score)


@given(THREE, THREE, st.lists(SCORES, min_size=2, max_size=2).map(sorted))
def test_higher_scores_stay_higher_on_another_scale(ours, theirs, scores):
    ours, theirs = made(ours), made(theirs)
    low, high = (ours.on_scale_of(theirs, score) for score in scores)
    assert low <= high + 1e-9
