"""What was read of a text stays read, whatever else is read of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from fakes import SCORES, FakeEngine, verdict
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.conversation import Conversation
from moderation_service.core.moderator import Check, Moderator, Outcome
from moderation_service.core.never_milder import at_least, merged, stands
from moderation_service.core.policy import BUILT_IN, OnFailure, Policy, Rules, Thresholds
from moderation_service.core.verdict import (
    Action,
    Category,
    Coverage,
    Decision,
    Detail,
    PartRead,
    Scores,
    Severity,
    Span,
    Target,
    Verdict,
)
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.errors import EngineUnavailable, FailureReason, ModerationError, TooLarge

DOWN = EngineUnavailable("Gone.", reason=FailureReason.UNREACHABLE)
SHARES = st.tuples(*[st.floats(0.0, 1.0)] * 3).filter(lambda shares: sum(shares) > 0.01)
SCORED = SHARES.map(lambda shares: Scores(*(share / sum(shares) for share in shares)))
VERDICTS = st.builds(
    lambda severity, scores, category: verdict(severity, category, scores=scores),
    st.sampled_from(Severity),
    SCORED | st.none(),
    st.sampled_from(Category),
)
WINDOWS = st.lists(VERDICTS, min_size=1, max_size=6)
BOUNDS = st.none() | st.floats(0.01, 1.0)


def worst_of(severities: Sequence[Severity]) -> Severity:
    return max(severities, key=lambda one: one.rank, default=Severity.SAFE)


def own_policy(on_failure: OnFailure, **fields: object) -> Policy:
    made = Rules(BUILT_IN["balanced"].rules[Target.PROMPT].actions, on_failure=on_failure, **fields)  # type: ignore[arg-type]
    return Policy("own", "", {Target.PROMPT: made, Target.RESPONSE: made})


# Windows


@given(st.lists(st.sampled_from(Coverage) | st.none(), min_size=1, max_size=5))
def test_windows_together_are_covered_as_well_as_the_least_of_them(said: list[Coverage | None]) -> None:
    spoken = [one for one in said if one is not None]
    expected = max(spoken, key=lambda one: one.rank) if spoken else None
    assert merged([verdict(coverage=one) for one in said]).coverage is expected


@given(st.lists(st.booleans(), min_size=1, max_size=5))
def test_one_sure_reading_makes_all_of_them_sure(sure: list[bool]) -> None:
    assert merged([verdict(Severity.UNSAFE, is_sure=one) for one in sure]).is_sure is any(sure)


@pytest.mark.parametrize("earlier", [Severity.CONTROVERSIAL, Severity.UNSAFE])
def test_what_a_sure_reading_found_is_not_taken_back_by_an_unsure_one(earlier: Severity) -> None:
    assert at_least(verdict(Severity.UNSAFE, is_sure=False), verdict(earlier)).is_sure
    assert not at_least(verdict(Severity.UNSAFE, is_sure=False), verdict(Severity.SAFE)).is_sure


@given(WINDOWS)
def test_windows_together_are_as_bad_as_the_worst_of_each_kind(windows: list[Verdict]) -> None:
    whole = merged(windows)
    assert whole.severity is worst_of([one.severity for one in windows])
    assert set(whole.categories) == {category for one in windows for category in one.categories}
    scored = [one.scores for one in windows if one.scores is not None]
    if whole.scores is None:
        assert not scored
        return
    assert whole.scores.safe + whole.scores.controversial + whole.scores.unsafe == pytest.approx(1)
    assert min(whole.scores.safe, whole.scores.controversial, whole.scores.unsafe) >= -1e-12
    if len(scored) == len(windows):
        assert whole.scores.unsafe == pytest.approx(max(one.unsafe for one in scored))
        flagged = whole.scores.unsafe + whole.scores.controversial
        assert flagged == pytest.approx(max(one.unsafe + one.controversial for one in scored))


@given(WINDOWS, BOUNDS, BOUNDS)
def test_a_policy_acts_on_windows_together_as_on_the_worst_alone(windows, unsafe, controversial) -> None:
    # Bounds that a score meets to the last digit are left out: there a rounding error decides.
    for one in windows:
        if one.scores is not None:
            unsafe = None if unsafe is not None and abs(one.scores.unsafe - unsafe) < 1e-9 else unsafe
            flagged = one.scores.unsafe + one.scores.controversial
            controversial = None if controversial is not None and abs(flagged - controversial) < 1e-9 else controversial
    thresholds = Thresholds(unsafe=unsafe, controversial=controversial)
    whole = merged(windows)
    alone = worst_of([thresholds.severity(one.severity, one.scores) for one in windows])
    assert thresholds.severity(whole.severity, whole.scores).rank >= alone.rank


def test_an_unsafe_score_beside_a_controversial_label_is_not_lost() -> None:
    windows = [
        verdict(Severity.CONTROVERSIAL, scores=Scores(0.3, 0.4, 0.3)),
        verdict(Severity.SAFE, scores=Scores(0.5, 0.05, 0.45)),
    ]
    whole = merged(windows)
    assert whole.scores == Scores(pytest.approx(0.3), pytest.approx(0.25), pytest.approx(0.45))
    policy = own_policy(OnFailure.LITE, thresholds=Thresholds(unsafe=0.4))
    assert [policy.action(one) for one in (*windows, whole)] == [Action.FLAG, Action.BLOCK, Action.BLOCK]


def test_the_worst_window_says_where() -> None:
    windows = [
        replace(verdict(severity, scores=SCORES[severity]), span=Span(at, at + 5))
        for at, severity in enumerate(Severity)
    ]
    assert merged(windows).span == Span(2, 7)


@given(st.lists(VERDICTS, max_size=6))
def test_a_failure_hides_nothing_harmful_and_nothing_harmless_hides_a_failure(read: list[Verdict]) -> None:
    worst = worst_of([one.severity for one in read])
    if worst is Severity.SAFE:
        with pytest.raises(EngineUnavailable):
            stands(read, DOWN)
        return
    found = stands(read, DOWN)
    assert (found.severity, found.failure) == (worst, DOWN)
    assert PartRead.WINDOWS in found.read_in_part


# What is remembered


@given(VERDICTS, VERDICTS)
def test_a_later_reading_makes_an_earlier_one_no_milder(earlier: Verdict, later: Verdict) -> None:
    both = at_least(later, earlier)
    assert both.severity is worst_of([earlier.severity, later.severity])
    assert (both is later) == (earlier.severity.rank <= later.severity.rank)


KEEPING = st.tuples(st.sampled_from(Detail), st.sampled_from(Severity), st.booleans())


@given(st.lists(KEEPING, min_size=1, max_size=8))
def test_no_entry_is_replaced_by_a_milder_one(kept: list[tuple[Detail, Severity, bool]]) -> None:
    cache = VerdictCache(size=10, ttl_s=60)
    worst = Severity.SAFE
    for detail, severity, is_in_part in kept:
        parts = frozenset({PartRead.CATEGORIES}) if is_in_part else frozenset()
        worst = worst_of([worst, severity])
        assert cache.put(b"a", detail, replace(verdict(severity), read_in_part=parts)).severity is worst
        found = cache.get(b"a", Detail.SEVERITY)
        assert found is not None
        assert found.severity is worst
        full = cache.get(b"a", Detail.FULL)
        assert full is None or (full.severity is worst and not full.read_in_part)


def test_a_verdict_read_in_part_answers_for_the_severity_only() -> None:
    cache = VerdictCache(size=10, ttl_s=60)
    cache.put(b"a", Detail.FULL, replace(verdict(Severity.UNSAFE), read_in_part=frozenset({PartRead.CATEGORIES})))
    assert cache.get(b"a", Detail.FULL) is None
    assert cache.get(b"a", Detail.SEVERITY) is not None


def test_the_least_that_a_text_is_is_not_remembered_as_what_it_is() -> None:
    cache = VerdictCache(size=10, ttl_s=60)
    cache.put(b"a", Detail.FULL, replace(verdict(Severity.CONTROVERSIAL), failure=DOWN))
    assert cache.get(b"a", Detail.SEVERITY) is None


# The fallback, and the fail modes


class Scripted(FakeEngine):
    """Says this of every conversation."""

    def __init__(self, name: str, found: Verdict | ModerationError) -> None:
        super().__init__(name=name)
        self.found = found

    def _judge(self, conversation: Conversation, detail: Detail) -> Verdict | ModerationError:
        return replace(self.found, engine=self.name) if isinstance(self.found, Verdict) else self.found


def part(severity: Severity, failure: Exception = DOWN) -> Verdict:
    """A verdict on a part of a text."""
    return replace(verdict(severity), failure=failure, read_in_part=frozenset({PartRead.WINDOWS}))


def decide(policy: Policy, engine: Scripted, fallback: Scripted | None = None) -> Outcome:
    made = Moderator(engine=engine, fallback=fallback, cache=VerdictCache(size=0, ttl_s=60))
    return made.decide([Check(Conversation.of(prompt="Hello"), policy)])[0]


@given(st.sampled_from(Severity), st.sampled_from(Severity), st.sampled_from(OnFailure))
def test_neither_the_fallback_nor_a_fail_mode_is_milder_than_what_was_read(read, lite, on_failure) -> None:
    engine = Scripted("vllm", part(read) if read is not Severity.SAFE else DOWN)
    policy = own_policy(on_failure)
    outcome = decide(policy, engine, Scripted("lite", verdict(lite)))
    own = policy.action(verdict(read))
    if not isinstance(outcome, Decision):
        assert (outcome, on_failure) == (DOWN, OnFailure.ERROR)
        assert own is not Action.BLOCK, "what is blocked in any case needs no other part"
        return
    assert outcome.action.rank >= own.rank
    assert outcome.verdict is None or outcome.verdict.severity.rank >= read.rank
    if read is Severity.UNSAFE:
        assert (outcome.engine, outcome.degraded, outcome.reason) == ("vllm", False, None)
    else:
        assert (outcome.degraded, outcome.reason) == (True, "unreachable")


def test_the_fallback_answers_for_the_part_that_was_not_judged_only_if_it_is_stricter() -> None:
    policy = own_policy(OnFailure.LITE)
    milder = decide(policy, Scripted("vllm", part(Severity.CONTROVERSIAL)), Scripted("lite", verdict(Severity.SAFE)))
    assert isinstance(milder, Decision)
    assert (milder.engine, milder.action, milder.degraded) == ("vllm", Action.FLAG, True)
    stricter = Scripted("lite", verdict(Severity.UNSAFE))
    found = decide(policy, Scripted("vllm", part(Severity.CONTROVERSIAL)), stricter)
    assert isinstance(found, Decision)
    assert (found.engine, found.action) == ("lite", Action.BLOCK)


def test_a_text_over_a_limit_is_blocked_by_the_part_that_was_judged() -> None:
    too_large = TooLarge("Over the limit.")
    blocked = decide(BUILT_IN["strict"], Scripted("vllm", part(Severity.CONTROVERSIAL, too_large)))
    assert isinstance(blocked, Decision)
    assert blocked.action is Action.BLOCK
    assert decide(BUILT_IN["loose"], Scripted("vllm", part(Severity.CONTROVERSIAL, too_large))) is too_large


def test_a_category_that_was_not_read_may_be_any() -> None:
    exceptions = {Category.VIOLENT: {Severity.CONTROVERSIAL: Action.BLOCK}, Category.PII: {}}
    policy = own_policy(OnFailure.LITE, categories=exceptions)
    known = verdict(Severity.CONTROVERSIAL, Category.PII)
    assert policy.action(known) is Action.FLAG
    assert policy.action(replace(known, read_in_part=frozenset({PartRead.TEXT}))) is Action.FLAG
    assert policy.action(replace(known, read_in_part=frozenset({PartRead.CATEGORIES}))) is Action.BLOCK


def test_a_quick_answer_is_not_forgotten_by_a_full_one() -> None:
    engine = Scripted("vllm", verdict(Severity.UNSAFE))
    made = Moderator(engine=engine, cache=VerdictCache(size=10, ttl_s=60))
    check = Check(Conversation.of(prompt="Hello"), BUILT_IN["loose"], Detail.SEVERITY)
    assert isinstance(made.decide([check])[0], Decision)
    engine.found = verdict(Severity.SAFE)
    (full,) = made.decide([replace(check, detail=Detail.FULL)])
    assert isinstance(full, Decision)
    assert full.action is Action.BLOCK
