from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
from fakes import SCORES, verdict
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.policy import BUILT_IN, LiteBlocks, OnFailure, Policies, Policy, Rules, Thresholds
from moderation_service.core.verdict import Action, Category, Coverage, Scores, Severity, Target, Verdict
from moderation_service.errors import InvalidRequest

SAFE, CONTROVERSIAL, UNSAFE = Severity
ALLOW, FLAG, BLOCK = Action
ACTIONS = {SAFE: ALLOW, CONTROVERSIAL: FLAG, UNSAFE: BLOCK}


def policy(messages: Mapping[str, str] | None = None, **rules: object) -> Policy:
    one = Rules(ACTIONS, **rules)  # type: ignore[arg-type]
    made = Policy("own", "For tests.", dict.fromkeys(Target, one))
    return made if messages is None else dataclasses.replace(made, messages=messages)


@pytest.mark.parametrize(
    ("name", "actions"),
    [("strict", [ALLOW, BLOCK, BLOCK]), ("balanced", [ALLOW, FLAG, BLOCK]), ("loose", [ALLOW, ALLOW, BLOCK])],
)
@pytest.mark.parametrize("target", Target)
def test_the_built_in_policies_differ_in_what_they_do_with_controversial_text(
    name: str, actions: list[Action], target: Target
) -> None:
    assert [BUILT_IN[name].action(verdict(severity, target=target)) for severity in Severity] == actions


def test_the_built_in_policies_fall_back_to_the_embedded_engine() -> None:
    assert {rules.on_failure for one in BUILT_IN.values() for rules in one.rules.values()} == {OnFailure.LITE}


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("wanted", Action)
def test_a_text_in_an_unknown_language_gets_at_least_what_the_policy_says(severity: Severity, wanted: Action) -> None:
    found = policy(on_uncovered=wanted).action(verdict(severity, coverage=Coverage.NONE))
    assert found is max(wanted, ACTIONS[severity], key=lambda action: action.rank)


@pytest.mark.parametrize("coverage", [None, Coverage.FULL, Coverage.PARTIAL])
def test_a_language_that_is_known_in_part_or_not_spoken_of_is_not_uncovered(coverage: Coverage | None) -> None:
    assert policy(on_uncovered=BLOCK).action(verdict(coverage=coverage)) is ALLOW


def test_by_default_an_unknown_language_changes_nothing_and_what_is_unsure_blocks() -> None:
    for one in BUILT_IN.values():
        assert one.action(verdict(coverage=Coverage.NONE)) is ALLOW
        assert one.action(verdict(UNSAFE, is_sure=False)) is BLOCK


def test_the_embedded_engine_may_have_to_be_sure_to_block() -> None:
    own = policy(lite_blocks=LiteBlocks.SURE)
    assert own.action(verdict(UNSAFE, is_sure=False)) is FLAG
    assert own.action(verdict(UNSAFE, is_sure=True)) is BLOCK
    assert own.action(verdict(CONTROVERSIAL, is_sure=False)) is FLAG
    assert own.action(verdict(SAFE, is_sure=False)) is ALLOW


def test_what_a_policy_does_not_block_stays_as_it_is_where_the_engine_is_not_sure() -> None:
    own = policy(lite_blocks=LiteBlocks.SURE, categories={Category.PII: {UNSAFE: ALLOW}})
    assert own.action(verdict(UNSAFE, Category.PII, is_sure=False)) is ALLOW


def test_an_unknown_language_can_block_where_the_engine_is_not_sure() -> None:
    own = policy(lite_blocks=LiteBlocks.SURE, on_uncovered=BLOCK)
    assert own.action(verdict(UNSAFE, is_sure=False, coverage=Coverage.NONE)) is BLOCK


def test_a_category_can_have_an_action_of_its_own() -> None:
    own = policy(categories={Category.PII: {CONTROVERSIAL: BLOCK}})
    assert own.action(verdict(CONTROVERSIAL, Category.PII)) is BLOCK
    assert own.action(verdict(CONTROVERSIAL, Category.UNETHICAL_ACTS)) is FLAG
    assert own.action(verdict(CONTROVERSIAL)) is FLAG
    assert own.action(verdict(UNSAFE, Category.PII)) is BLOCK


def test_the_strictest_of_several_categories_wins() -> None:
    own = policy(categories={Category.PII: {CONTROVERSIAL: ALLOW}, Category.VIOLENT: {CONTROVERSIAL: BLOCK}})
    both = (Category.PII, Category.VIOLENT)
    assert own.action(verdict(CONTROVERSIAL, *both)) is BLOCK
    assert own.action(verdict(CONTROVERSIAL, *reversed(both))) is BLOCK


def test_an_exempt_category_does_not_exempt_the_others() -> None:
    own = policy(categories={Category.COPYRIGHT_VIOLATION: {UNSAFE: ALLOW}})
    assert own.action(verdict(UNSAFE, Category.COPYRIGHT_VIOLATION)) is ALLOW
    assert own.action(verdict(UNSAFE, Category.COPYRIGHT_VIOLATION, Category.VIOLENT)) is BLOCK
    assert own.action(verdict(UNSAFE)) is BLOCK


def test_a_policy_knows_whether_it_needs_categories() -> None:
    assert not Rules(ACTIONS).needs_categories
    assert not Rules(ACTIONS, {Category.PII: {UNSAFE: BLOCK}}).needs_categories
    assert Rules(ACTIONS, {Category.PII: {CONTROVERSIAL: BLOCK}}).needs_categories


# Thresholds


@pytest.mark.parametrize(
    ("thresholds", "label", "scores", "expected"),
    [
        (Thresholds(), SAFE, Scores(0.0, 0.0, 1.0), SAFE),
        (Thresholds(unsafe=0.5), SAFE, Scores(0.4, 0.1, 0.5), UNSAFE),
        (Thresholds(unsafe=0.5), UNSAFE, Scores(0.3, 0.3, 0.4), CONTROVERSIAL),
        (Thresholds(unsafe=0.5), SAFE, Scores(0.6, 0.0, 0.4), SAFE),
        (Thresholds(controversial=0.3), SAFE, Scores(0.7, 0.2, 0.1), CONTROVERSIAL),
        (Thresholds(controversial=0.3), CONTROVERSIAL, Scores(0.8, 0.1, 0.1), SAFE),
        (Thresholds(controversial=0.3), UNSAFE, Scores(0.9, 0.1, 0.0), UNSAFE),
        (Thresholds(controversial=0.3, unsafe=0.9), UNSAFE, Scores(0.1, 0.1, 0.8), CONTROVERSIAL),
        (Thresholds(controversial=0.9, unsafe=0.9), UNSAFE, Scores(0.2, 0.0, 0.8), SAFE),
        (Thresholds(controversial=0.01, unsafe=0.01), SAFE, None, SAFE),
        (Thresholds(controversial=1.0, unsafe=1.0), UNSAFE, None, UNSAFE),
    ],
)
def test_scores_decide_the_severity_where_a_threshold_is_given(
    thresholds: Thresholds, label: Severity, scores: Scores | None, expected: Severity
) -> None:
    assert thresholds.severity(label, scores) is expected
    own = policy(thresholds=thresholds)
    assert own.action(verdict(label, scores=scores)) is ACTIONS[expected]


def test_scores_that_are_no_numbers_count_as_unsafe() -> None:
    nan = float("nan")
    assert Thresholds(unsafe=0.9).severity(SAFE, Scores(nan, nan, nan)) is UNSAFE
    assert Thresholds(controversial=0.9).severity(SAFE, Scores(nan, nan, nan)) is CONTROVERSIAL


# Messages


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ((), "english"),
        (("zh-CN",), "chinese, China"),
        (("ZH-cn",), "chinese, China"),
        (("zh-TW",), "chinese"),
        (("zh-Hant-TW",), "traditional chinese"),
        (("zh-Hans-CN",), "chinese"),
        (("ru", "zh"), "chinese"),
        (("ru", "*"), "english"),
        (("", "-"), "english"),
    ],
)
def test_the_message_is_in_the_first_language_the_policy_has(languages: tuple[str, ...], expected: str) -> None:
    messages = {"zh": "chinese", "zh-cn": "chinese, China", "zh-hant": "traditional chinese", "en": "english"}
    assert policy(messages).message(languages) == expected


def test_without_english_the_first_message_is_the_default() -> None:
    assert policy({"no": "norsk", "sv": "svenska"}).message(("ru",)) == "norsk"


def test_the_built_in_message_speaks_several_languages() -> None:
    spoken = {language: BUILT_IN["strict"].message((language,)) for language in ("en", "zh", "ja", "de")}
    assert len(set(spoken.values())) == 4
    assert spoken["en"] == "Sorry, I can't help with that."


# Names and versions


def test_a_policy_is_found_by_name_and_the_default_by_none() -> None:
    policies = Policies(BUILT_IN, default="loose")
    assert policies.get("strict") is BUILT_IN["strict"]
    assert policies.get(None) is BUILT_IN["loose"]
    assert "strict" in policies
    assert [one.name for one in policies] == ["strict", "balanced", "loose"]
    assert len(policies) == 3


def test_an_unknown_policy_is_refused_with_the_known_ones_and_without_the_name_that_was_sent() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Policies(BUILT_IN, default="loose").get("Strict", param="inputs[1].policy")
    assert caught.value.message == ("`inputs[1].policy` is no policy of this service; it has balanced, loose, strict.")
    assert caught.value.param == "inputs[1].policy"


def test_the_version_changes_with_the_policy_and_only_then() -> None:
    own = policy()
    changed = [
        dataclasses.replace(own, name="other"),
        dataclasses.replace(own, messages={"en": "No."}),
        policy(on_failure=OnFailure.BLOCK),
        policy(thresholds=Thresholds(unsafe=0.5)),
        policy(categories={Category.PII: {UNSAFE: FLAG}}),
    ]
    assert own.version == policy().version
    assert len({one.version for one in [own, *changed]}) == 6
    assert all(len(one.version) == 12 and int(one.version, 16) >= 0 for one in changed)


def test_a_policy_is_shown_in_the_words_of_the_policy_file() -> None:
    rules = {
        "actions": {"safe": "allow", "controversial": "flag", "unsafe": "block"},
        "categories": {"pii": {"unsafe": "flag"}},
        "thresholds": {"controversial": None, "unsafe": 0.5},
        "on_failure": "error",
        "on_uncovered": "flag",
        "lite_blocks": "sure",
    }
    own = policy(
        {"en": "No."},
        categories={Category.PII: {UNSAFE: FLAG}},
        thresholds=Thresholds(unsafe=0.5),
        on_failure=OnFailure.ERROR,
        on_uncovered=FLAG,
        lite_blocks=LiteBlocks.SURE,
    )
    assert own.to_json() == {
        "name": "own",
        "description": "For tests.",
        "prompt": rules,
        "response": rules,
        "message": {"en": "No."},
        "streaming": "hold",
        "tools": {},
        "keep_text": "none",
        "retention_days": 30,
        "escalation": None,
        "shadow": [],
        "version": own.version,
    }


def test_only_the_fail_modes_that_decide_have_an_action() -> None:
    assert {mode.value: mode.action for mode in OnFailure} == {
        "lite": None,
        "error": None,
        "block": BLOCK,
        "flag": FLAG,
        "allow": ALLOW,
    }


# Properties

actions = st.sampled_from(Action)
exceptions = st.dictionaries(st.sampled_from(Category), st.dictionaries(st.sampled_from(Severity), actions))
bounds = st.none() | st.floats(0.01, 1.0)


@st.composite
def scores(draw: st.DrawFn) -> Scores:
    unsafe = draw(st.floats(0.0, 1.0))
    controversial = draw(st.floats(0.0, 1.0)) * (1.0 - unsafe)
    return Scores(1.0 - unsafe - controversial, controversial, unsafe)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    found = draw(st.lists(st.sampled_from(Category), unique=True, max_size=4))
    return verdict(draw(st.sampled_from(Severity)), *found, scores=draw(st.none() | scores()))


@st.composite
def two_rules(draw: st.DrawFn) -> tuple[Rules, Rules]:
    """Rules, and the same with any of their actions made stricter."""

    def stricter(action: Action) -> Action:
        return draw(st.sampled_from([one for one in Action if one.rank >= action.rank]))

    mild = {severity: draw(actions) for severity in Severity}
    own = draw(exceptions)
    strict = {severity: stricter(action) for severity, action in mild.items()}
    strict_own = {
        category: {severity: stricter(action) for severity, action in one.items()} for category, one in own.items()
    }
    thresholds = Thresholds(draw(bounds), draw(bounds))
    return Rules(mild, own, thresholds), Rules(strict, strict_own, thresholds)


@given(two_rules(), verdicts())
def test_stricter_actions_never_give_a_milder_decision(rules: tuple[Rules, Rules], found: Verdict) -> None:
    mild, strict = rules
    assert strict.action(found).rank >= mild.action(found).rank


@given(st.sampled_from([("loose", "balanced"), ("balanced", "strict"), ("loose", "strict")]), verdicts())
def test_a_stricter_built_in_policy_never_decides_more_mildly(names: tuple[str, str], found: Verdict) -> None:
    mild, strict = (BUILT_IN[name] for name in names)
    assert strict.action(found).rank >= mild.action(found).rank


@given(verdicts(), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_lower_threshold_never_gives_a_milder_severity(found: Verdict, one: float, other: float) -> None:
    low, high = sorted((one, other))
    for name in ("unsafe", "controversial"):
        sensitive, relaxed = (Thresholds(**{name: bound}) for bound in (low, high))
        ranks = [each.severity(found.severity, found.scores).rank for each in (sensitive, relaxed)]
        assert ranks[0] >= ranks[1]


@given(two_rules(), verdicts(), st.sampled_from(Category))
def test_one_more_category_never_gives_a_milder_action(
    rules: tuple[Rules, Rules], found: Verdict, category: Category
) -> None:
    if found.categories:
        more = dataclasses.replace(found, categories=(*found.categories, category))
        assert rules[0].action(more).rank >= rules[0].action(found).rank


@given(scores())
def test_without_thresholds_the_label_stands(found: Scores) -> None:
    assert [Thresholds().severity(label, found) for label in Severity] == list(Severity)


def test_the_fake_engines_scores_agree_with_its_labels() -> None:
    half = Thresholds(controversial=0.5, unsafe=0.5)
    assert [half.severity(SAFE, SCORES[label]) for label in Severity] == list(Severity)
