"""The figures of a data set, from judged texts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.policy import BUILT_IN, Policy, Rules, Thresholds
from moderation_service.core.verdict import Action, Category, Scores, Severity, Target, Verdict
from moderation_service.data.evaluation.gates import METRICS, Gate, figure
from moderation_service.data.evaluation.labels import Gold
from moderation_service.data.evaluation.summary import Judged, summarise
from moderation_service.data.evaluation.text import render_text
from moderation_service.errors import DataError

SAFE, CONTROVERSIAL, UNSAFE = Severity


def judged(gold, found, *, error=None, categories=(), named=(), scores=None, refusal=None, told=None, **more):
    wanted = Gold(more.pop("id", "1"), Target.PROMPT, gold, categories, refusal, characters=5, **more)
    if found is None:
        return Judged(wanted, None, error or "engine_unavailable")
    return Judged(wanted, Verdict(Target.PROMPT, found, named, told, scores, "fake", "fake-1"))


VIOLENT = (Category.VIOLENT,)
ROWS = [
    judged(UNSAFE, UNSAFE, categories=VIOLENT, named=VIOLENT),
    judged(UNSAFE, CONTROVERSIAL, categories=VIOLENT, named=(Category.PII,)),
    judged(UNSAFE, SAFE),
    judged(SAFE, CONTROVERSIAL, named=VIOLENT),
    judged(SAFE, SAFE),
    judged(UNSAFE, None),
    judged(SAFE, SAFE, refusal=True, told=True),
    judged(SAFE, SAFE, refusal=False, told=True),
]


@pytest.fixture
def document():
    return {"engine": "fake", "model": "fake-1", **summarise(ROWS, policies=BUILT_IN.values())}


def test_controversial_is_unsafe_when_strict_and_safe_when_loose(document):
    strict, loose = document["strict"], document["loose"]
    assert (strict["true_positives"], strict["false_positives"], strict["false_negatives"]) == (2, 1, 1)
    assert (loose["true_positives"], loose["false_positives"], loose["false_negatives"]) == (1, 0, 2)
    assert strict["f1"] == pytest.approx(2 / 3)
    assert loose["precision"] == 1


def test_what_could_not_be_judged_is_counted_apart_and_never_safe(document):
    assert document["errors"] == {"engine_unavailable": 1}
    assert (document["items"], document["judged"], sum(document["found"].values())) == (8, 7, 7)
    assert sum(document["strict"][name] for name in document["strict"] if name.endswith("tives")) == 7
    assert document["confusion"]["unsafe"] == {"safe": 1, "controversial": 1, "unsafe": 1, "not_judged": 1}


def test_a_category_hits_when_the_first_one_is_in_the_gold_list(document):
    categories = document["categories"]
    assert (categories["items"], categories["hits"], categories["hit_rate"]) == (2, 1, 0.5)
    assert categories["by_gold"]["violent"] == {
        "items": 2,
        "found_strict": 2,
        "found_loose": 1,
        "named": 2,
        "right": 1,
    }
    assert categories["false_alarms"] == {"violent": 1}


def test_refusals_are_scored_where_labelled(document):
    assert (document["refusal"]["precision"], document["refusal"]["recall"]) == (0.5, 1.0)


def test_policies_act_on_the_verdict_and_are_measured_by_what_they_would_do_with_the_label(document):
    policies = document["policies"]
    assert policies["balanced"]["actions"] == {"allow": 4, "flag": 2, "block": 1}
    assert policies["balanced"]["by_gold"]["unsafe"] == {"allow": 1, "flag": 1, "block": 1}
    assert policies["strict"]["block"]["recall"] == pytest.approx(2 / 3)
    assert policies["strict"]["block"]["false_positives"] == 1
    assert policies["loose"]["block"]["recall"] == pytest.approx(1 / 3)
    assert policies["balanced"]["flag_or_block"]["recall"] == pytest.approx(2 / 3)


def test_a_policy_that_blocks_controversial_texts_is_not_blamed_for_it():
    rows = [judged(CONTROVERSIAL, CONTROVERSIAL), judged(SAFE, SAFE)]
    policies = summarise(rows, policies=BUILT_IN.values())["policies"]
    assert policies["strict"]["block"]["f1"] == 1.0
    assert policies["balanced"]["block"]["true_negatives"] == 2


def test_thresholds_and_exceptions_of_a_policy_count():
    actions = {SAFE: Action.ALLOW, CONTROVERSIAL: Action.FLAG, UNSAFE: Action.BLOCK}
    allowed = {Category.VIOLENT: {UNSAFE: Action.ALLOW}}
    own = Policy("own", "", dict.fromkeys(Target, Rules(actions, allowed, Thresholds(unsafe=0.9))))
    likely, certain = Scores(0.1, 0.1, 0.8), Scores(0.01, 0.01, 0.98)
    rows = [
        judged(UNSAFE, UNSAFE, scores=likely),
        judged(UNSAFE, UNSAFE, scores=certain),
        judged(UNSAFE, UNSAFE, scores=certain, categories=VIOLENT, named=VIOLENT),
    ]
    assert summarise(rows, policies=[own])["policies"]["own"]["actions"] == {"allow": 1, "flag": 1, "block": 1}


def test_groups_are_told_apart_and_the_smallest_of_too_many_are_one():
    rows = [judged(UNSAFE, UNSAFE, language="en", source=f"s{number}") for number in range(60)]
    rows += [judged(SAFE, SAFE, language="zh", source="s0")] * 3
    document = summarise(rows)
    assert {name: group["items"] for name, group in document["by_language"].items()} == {"en": 60, "zh": 3}
    assert len(document["by_source"]) == 51
    assert next(iter(document["by_source"])) == "s0"
    assert document["by_source"]["(others)"]["items"] == 10
    assert document["by_language"]["en"]["strict"]["f1"] is None


def test_lengths_are_in_their_order():
    rows = [Judged(Gold("1", Target.PROMPT, SAFE, characters=length), ROWS[4].verdict) for length in (9999, 1, 101)]
    assert list(summarise(rows)["by_length"]) == ["up to 100", "101-300", "over 3000"]


def test_probabilities_are_swept_where_there_are_some():
    rows = [judged(UNSAFE, UNSAFE, scores=Scores(0.0, 0.1, 0.9)), judged(SAFE, SAFE, scores=Scores(0.9, 0.1, 0.0))]
    found = summarise([*rows, judged(UNSAFE, SAFE)])["probabilities"]
    assert found["items"] == 2
    assert found["unsafe"]["average_precision"] == 1.0
    assert found["unsafe"]["thresholds"]["at_recall"][0]["threshold"] == 0.9
    assert found["unsafe_or_controversial"]["reliability"]["expected_calibration_error"] == pytest.approx(0.05)
    assert summarise(ROWS)["probabilities"] is None


def test_outcomes_are_kept_without_text(document):
    assert document["outcomes"]["gold"] == "uuussuss"
    assert document["outcomes"]["found"] == "ucscs-ss"


def test_the_text_shows_rates_intervals_and_errors(document):
    text = render_text({**document, "default_policy": "balanced"})
    assert "fake (fake-1)" in text
    assert "not judged 1: engine_unavailable 1" in text
    assert "66.7% [26.1, 91.9]" in text
    assert "right in 50.0% of 2 texts" in text
    assert "balanced (default)" in text


def test_a_models_name_can_not_steer_the_console(document):
    assert "\x1b" not in render_text({**document, "model": "evil\x1b[2J"})


rows_of_all_kinds = st.lists(
    st.builds(
        lambda gold, found, language: judged(gold, found, language=language),
        st.sampled_from(Severity),
        st.sampled_from([*Severity, None]),
        st.sampled_from(["en", "zh", None]),
    ),
    max_size=40,
)


@given(rows_of_all_kinds)
def test_every_text_is_counted_once_everywhere_and_every_report_can_be_printed(rows):
    document = {"engine": "fake", "model": "fake-1", **summarise(rows, policies=BUILT_IN.values())}
    assert sum(sum(row.values()) for row in document["confusion"].values()) == len(rows)
    assert document["judged"] + sum(document["errors"].values()) == len(rows)
    for policy in document["policies"].values():
        assert sum(policy["actions"].values()) == document["judged"]
    assert sum(group["items"] for group in document["by_length"].values()) == len(rows)
    assert json.loads(json.dumps(document)) == document
    assert "items" in render_text(document)
    for metric in METRICS:
        value = figure(document, metric)
        assert value is None or 0 <= value <= 1


def test_a_figure_that_is_reached_passes_and_one_that_is_not_is_named(document):
    assert Gate.parse("strict_f1=0.66").failure(document) is None
    assert Gate.parse("strict_f1=0.67").failure(document) == "strict_f1 is 0.6667, under 0.67"
    assert Gate.parse("strict_false_positive_rate=0.2", is_ceiling=True).failure(document, of="own") == (
        "own: strict_false_positive_rate is 0.2500, over 0.2"
    )
    assert Gate.parse("judged=1").failure(document) == "judged is 0.8750, under 1"
    assert Gate.parse("policy:loose:block_recall=0.5").failure(document) is not None
    assert Gate.parse("policy:balanced:flag_or_block_recall=0.5").failure(document) is None


def test_a_figure_that_can_not_be_told_does_not_pass():
    document = summarise([judged(UNSAFE, UNSAFE)])
    assert Gate.parse("strict_f1=0").failure(document) == "strict_f1 can't be told from these texts"


@pytest.mark.parametrize("text", ["strict_f1", "strict_f1=x", "strict_f1=2", "f1=0.5", "policy:x=0.5", "=0.5"])
def test_what_is_no_figure_is_refused(text):
    with pytest.raises(DataError, match="--fail-under"):
        Gate.parse(text)


def test_a_policy_that_is_not_there_is_named(document):
    with pytest.raises(DataError, match="policy:none: is no policy"):
        Gate.parse("policy:none:block_f1=0.5").failure(document)
