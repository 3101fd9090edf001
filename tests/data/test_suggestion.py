from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moderation_service.data.evaluation.suggestion import suggest

TEXTS = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), min_size=2, max_size=40)


def f1(texts: list[tuple[float, bool]], threshold: float) -> float:
    found = [wanted for score, wanted in texts if score >= threshold]
    hits, total = sum(found), sum(wanted for _, wanted in texts)
    return 2 * hits / (len(found) + total)


@given(TEXTS)
def test_no_other_threshold_has_a_better_f1(texts: list[tuple[float, bool]]) -> None:
    found = suggest([score for score, _ in texts], [wanted for _, wanted in texts])
    if found is None:
        assert len({wanted for _, wanted in texts}) == 1
    else:
        assert found.best is not None
        best = f1(texts, found.best.threshold)
        assert all(f1(texts, score) <= best + 1e-12 for score, _ in texts)


def test_a_precision_that_is_asked_for_is_kept_or_nothing_is_suggested() -> None:
    scores, wanted = [0.9, 0.8, 0.7, 0.6], [True, False, True, True]
    best = suggest(scores, wanted)
    strict = suggest(scores, wanted, least_precision=0.9)
    assert best is not None
    assert best.best is not None
    assert strict is not None
    assert strict.best is not None
    assert (best.best.threshold, strict.best.threshold) == (0.6, 0.9)
    none = suggest([0.9, 0.1], [False, True], least_precision=0.9)
    assert none is not None
    assert none.best is None


@given(TEXTS)
def test_the_setting_finds_the_same_texts(texts: list[tuple[float, bool]]) -> None:
    close = [(1 - (1 - score) ** 9, wanted) for score, wanted in texts]
    found = suggest([score for score, _ in close], [wanted for _, wanted in close])
    if found is not None:
        assert found.best is not None
        assert found.setting is not None
        bounds = found.best.threshold, float(found.setting)
        assert len({tuple(score >= bound for score, _ in close) for bound in bounds}) == 1


def test_a_setting_is_short_and_rounded_down() -> None:
    told = [suggest([best, below], [True, False]) for best, below in ((0.95, 0.2), (0.98897, 0.1), (0.99997, 0.99996))]
    assert [one.setting for one in told if one is not None] == ["0.95", "0.9889", "0.99997"]
