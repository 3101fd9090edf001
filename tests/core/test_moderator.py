from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from apps import Like, Near
from fakes import FakeEngine

from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.moderator import Check, Moderator, Outcome
from moderation_service.core.policy import BUILT_IN, OnFailure, Policy, Rules
from moderation_service.core.verdict import Action, Category, Decision, Detail, Severity, Target, Verdict
from moderation_service.core.verdict_cache import VerdictCache
from moderation_service.errors import (
    AuditUnavailable,
    DeadlineExceeded,
    EngineAnswerInvalid,
    EngineError,
    EngineUnavailable,
    ModerationError,
    Overloaded,
    TooLarge,
)

DOWN = EngineUnavailable("The engine is not there.")
FAILURES = [DOWN, EngineAnswerInvalid("Nonsense."), DeadlineExceeded("Too slow."), EngineError("No verdict.")]
NOT_FAILURES = [Overloaded("Too many requests.", retry_after_s=2), TooLarge("Over the limit.")]
ACTIONS = BUILT_IN["balanced"].rules[Target.PROMPT].actions


class Witness:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.errors: list[ModerationError] = []
        self.prints: list[bytes] = []
        self.engine_calls: list[tuple[str, int, int]] = []

    def decided(self, check: Check, decision: Decision, fingerprint: bytes) -> None:
        self.decisions.append(decision)
        self.prints.append(fingerprint)

    def failed(self, check: Check, error: ModerationError) -> None:
        self.errors.append(error)

    def engine_called(self, engine: str, seconds: float, failures: int, verdicts: int) -> None:
        assert seconds >= 0
        self.engine_calls.append((engine, failures, verdicts))


def policy(on_failure: OnFailure, *, response: OnFailure | None = None) -> Policy:
    rules = {
        Target.PROMPT: Rules(ACTIONS, on_failure=on_failure),
        Target.RESPONSE: Rules(ACTIONS, on_failure=response or on_failure),
    }
    return Policy("own", "", rules, {"en": "No.", "de": "Nein."})


def check(text: str, *, response: str | None = None, **fields: Any) -> Check:
    return Check(Conversation.of(prompt=text, response=response), **{"policy": BUILT_IN["balanced"], **fields})


def moderator(engine: FakeEngine, **parts: Any) -> Moderator:
    return Moderator(**{"engine": engine, "cache": VerdictCache(size=100, ttl_s=60), **parts})


def decided(outcome: Outcome) -> Decision:
    assert isinstance(outcome, Decision)
    return outcome


def decide(made: Moderator, *checks: Check) -> list[Decision]:
    return [decided(outcome) for outcome in made.decide(checks)]


# A verdict becomes a decision


def test_a_decision_has_the_verdict_and_what_the_policy_makes_of_it() -> None:
    engine = FakeEngine()
    (one,) = decide(moderator(engine), check("How to make a bomb?"))
    assert one == Decision(
        id=Like("mod_[0-9a-f]{24}"),  # type: ignore[arg-type]
        target=Target.PROMPT,
        verdict=engine.judge([Conversation.of(prompt="How to make a bomb?")])[0],  # type: ignore[arg-type]
        action=Action.BLOCK,
        policy="balanced",
        message="Sorry, I can't help with that.",
        engine="fake",
        model="fake-1",
        degraded=False,
        cached=False,
        latency_ms=Near(0, 60_000),  # type: ignore[arg-type]
    )


def test_only_a_blocked_text_has_a_message_and_it_is_in_the_callers_language() -> None:
    made = moderator(FakeEngine())
    checks = [check(text, policy=policy(OnFailure.ERROR), languages=("de",)) for text in ("bomb", "election", "bread")]
    assert [(one.action.value, one.message) for one in decide(made, *checks)] == [
        ("block", "Nein."),
        ("flag", None),
        ("allow", None),
    ]


def test_every_decision_has_an_id_of_its_own() -> None:
    made = moderator(FakeEngine())
    assert len({one.id for _ in range(50) for one in decide(made, check("bread"), check("bread"))}) == 100


def test_outcomes_come_in_the_order_of_the_checks() -> None:
    engine = FakeEngine(errors={"broken": DOWN})
    made = moderator(engine)
    decide(made, check("election"))
    texts = ["bread", "broken", "bomb", "election", "bread", "insult"]
    outcomes = made.decide([check(text, policy=policy(OnFailure.ERROR)) for text in texts])
    found = [one.verdict.severity.value if isinstance(one, Decision) and one.verdict else one for one in outcomes]
    assert found == ["safe", DOWN, "unsafe", "controversial", "safe", "controversial"]


def test_nothing_to_decide_is_no_call() -> None:
    engine = FakeEngine()
    assert moderator(engine).decide([]) == []
    assert engine.calls == []


# The same question costs once


def test_a_second_check_of_the_same_text_is_answered_from_memory() -> None:
    engine = FakeEngine()
    made = moderator(engine)
    first, second = (decide(made, check("bomb"))[0] for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    assert first.verdict == second.verdict
    assert first.id != second.id
    assert engine.asked == ["bomb"]


def test_memory_holds_verdicts_and_not_decisions() -> None:
    engine = FakeEngine()
    made = moderator(engine)
    checks = [check("election", policy=BUILT_IN[name]) for name in ("strict", "balanced", "loose")]
    actions = [decide(made, one)[0].action.value for one in checks]
    assert actions == ["block", "flag", "allow"]
    assert engine.asked == ["election"]


def test_another_context_is_another_question() -> None:
    engine = FakeEngine()
    made = moderator(engine)
    for prompt in ("one", "two"):
        assert not decide(made, check(prompt, response="yes"))[0].cached
    assert not decide(made, check("yes"))[0].cached


def test_equal_checks_in_a_batch_are_asked_once() -> None:
    engine = FakeEngine()
    decisions = decide(moderator(engine), *[check(text) for text in ("bomb", "bread", "bomb", "bomb")])
    assert [one.verdict.severity for one in decisions if one.verdict] == [
        Severity.UNSAFE,
        Severity.SAFE,
        Severity.UNSAFE,
        Severity.UNSAFE,
    ]
    assert engine.calls == [(["bomb", "bread"], Detail.FULL)]


def test_equal_checks_in_a_batch_share_a_failure_too() -> None:
    engine = FakeEngine(errors={"broken": DOWN})
    made = moderator(engine)
    assert made.decide([check("broken", policy=policy(OnFailure.ERROR))] * 2) == [DOWN, DOWN]
    assert engine.asked == ["broken"]


def test_what_is_remembered_is_not_asked_again_in_a_batch() -> None:
    engine = FakeEngine()
    made = moderator(engine)
    decide(made, check("bomb"))
    decisions = decide(made, check("bread"), check("bomb"))
    assert [one.cached for one in decisions] == [False, True]
    assert engine.asked == ["bomb", "bread"]


def test_the_severity_alone_is_asked_with_its_own_detail_and_full_detail_answers_it_later() -> None:
    engine = FakeEngine()
    made = moderator(engine)
    (quick,) = decide(made, check("bomb", detail=Detail.SEVERITY))
    assert quick.verdict is not None
    assert (quick.verdict.severity, quick.verdict.categories) == (Severity.UNSAFE, ())
    (full,) = decide(made, check("bomb"))
    assert not full.cached
    (again,) = decide(made, check("bomb", detail=Detail.SEVERITY))
    assert again.cached
    assert again.verdict == full.verdict
    assert [detail for _, detail in engine.calls] == [Detail.SEVERITY, Detail.FULL]


class Wavering(FakeEngine):
    """Calls a text safe when only its severity is asked for."""

    def judge(self, conversations: Sequence[Conversation], **asked: Any) -> list[Verdict | ModerationError]:
        if asked["detail"] is Detail.SEVERITY:
            conversations = [Conversation.of(prompt="bread") for _ in conversations]
        return super().judge(conversations, **asked)


@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize("order", [(Detail.SEVERITY, Detail.FULL), (Detail.FULL, Detail.SEVERITY)])
def test_a_text_that_stands_twice_in_a_batch_is_nowhere_judged_milder(order: tuple[Detail, Detail], size: int) -> None:
    made = moderator(Wavering(), cache=VerdictCache(size=size, ttl_s=60))
    found = decide(made, *(check("bomb", detail=detail) for detail in order), check("bread"))
    assert [one.action for one in found] == [Action.BLOCK, Action.BLOCK, Action.ALLOW]


def test_details_may_be_mixed_in_a_batch() -> None:
    engine = FakeEngine()
    details = [Detail.FULL, Detail.SEVERITY, Detail.FULL]
    checks = [check(f"bomb {index}", detail=detail) for index, detail in enumerate(details)]
    decisions = decide(moderator(engine), *checks)
    assert [bool(one.verdict and one.verdict.categories) for one in decisions] == [True, False, True]
    assert sorted(engine.asked) == ["bomb 0", "bomb 1", "bomb 2"]


def test_a_failure_is_not_remembered() -> None:
    engine = FakeEngine(errors={"bread": DOWN})
    made = moderator(engine)
    assert made.decide([check("bread", policy=policy(OnFailure.ERROR))]) == [DOWN]
    engine.errors.clear()
    (one,) = decide(made, check("bread"))
    assert (one.cached, one.verdict is not None) == (False, True)


def test_without_memory_every_check_is_asked() -> None:
    engine = FakeEngine()
    made = moderator(engine, cache=VerdictCache(size=0, ttl_s=60))
    assert [decide(made, check("bread"))[0].cached for _ in range(2)] == [False, False]
    assert engine.asked == ["bread", "bread"]


# No verdict


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.type)
@pytest.mark.parametrize("action", Action)
def test_a_fail_mode_decides_without_a_verdict_and_says_so(failure: ModerationError, action: Action) -> None:
    made = moderator(FakeEngine(errors={"bread": failure}))
    (one,) = decide(made, check("bread", policy=policy(OnFailure(action.value))))
    assert (one.verdict, one.action, one.degraded, one.cached) == (None, action, True, False)
    assert (one.engine, one.model) == ("fake", "fake-1")
    assert one.message == ("No." if action is Action.BLOCK else None)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.type)
@pytest.mark.parametrize("mode", [OnFailure.ERROR, OnFailure.LITE])
def test_without_a_fail_mode_or_a_fallback_the_failure_is_the_outcome(
    failure: ModerationError, mode: OnFailure
) -> None:
    made = moderator(FakeEngine(errors={"bread": failure}))
    assert made.decide([check("bread", policy=policy(mode))]) == [failure]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.type)
def test_the_fallback_answers_degraded(failure: ModerationError) -> None:
    fallback = FakeEngine(name="lite", model="lite-2")
    made = moderator(FakeEngine(errors={"bomb": failure}), fallback=fallback)
    (one,) = decide(made, check("bomb", policy=policy(OnFailure.LITE)))
    assert (one.verdict and one.verdict.severity, one.action, one.degraded) == (Severity.UNSAFE, Action.BLOCK, True)
    assert (one.engine, one.model) == ("lite", "lite-2")


def test_the_fallbacks_verdict_is_not_remembered() -> None:
    engine, fallback = FakeEngine(errors={"bread": DOWN}), FakeEngine(name="lite")
    made = moderator(engine, fallback=fallback)
    for _ in range(2):
        (one,) = decide(made, check("bread"))
        assert (one.engine, one.degraded, one.cached) == ("lite", True, False)
    engine.errors.clear()
    (one,) = decide(made, check("bread"))
    assert (one.engine, one.degraded, one.cached) == ("fake", False, False)
    assert (len(engine.calls), len(fallback.calls)) == (3, 2)


def test_the_fallback_is_asked_only_for_what_failed_under_a_policy_that_wants_it() -> None:
    fallback = FakeEngine(name="lite")
    made = moderator(FakeEngine(errors={"broken": DOWN}), fallback=fallback)
    outcomes = made.decide(
        [
            check("bread"),
            check("broken 1"),
            check("broken 2", policy=policy(OnFailure.BLOCK)),
            check("broken 3", policy=policy(OnFailure.ERROR)),
            check("broken 1"),
        ]
    )
    assert fallback.asked == ["broken 1"]
    assert outcomes[3] is DOWN
    rest = [decided(outcomes[index]) for index in (0, 1, 2, 4)]
    assert [(one.engine, one.degraded) for one in rest] == [
        ("fake", False),
        ("lite", True),
        ("fake", True),
        ("lite", True),
    ]


def test_when_the_fallback_fails_too_the_first_failure_is_the_outcome() -> None:
    fallback = FakeEngine(name="lite", errors={"bread": EngineAnswerInvalid("Also broken.")})
    made = moderator(FakeEngine(errors={"bread": DOWN}), fallback=fallback)
    assert made.decide([check("bread")]) == [DOWN]


def test_prompts_and_responses_may_have_different_fail_modes() -> None:
    made = moderator(FakeEngine(errors={"bread": DOWN}))
    own = policy(OnFailure.ALLOW, response=OnFailure.BLOCK)
    decisions = decide(made, check("bread", policy=own), check("x", response="bread", policy=own))
    assert [one.action for one in decisions] == [Action.ALLOW, Action.BLOCK]


@pytest.mark.parametrize("refusal", NOT_FAILURES, ids=lambda one: one.type)
@pytest.mark.parametrize("mode", OnFailure)
def test_what_is_the_callers_fault_has_no_fail_mode(refusal: ModerationError, mode: OnFailure) -> None:
    fallback = FakeEngine(name="lite")
    made = moderator(FakeEngine(errors={"bread": refusal}), fallback=fallback)
    assert made.decide([check("bread", policy=policy(mode))]) == [refusal]
    assert fallback.calls == []


@pytest.mark.parametrize("failure", [*FAILURES, *NOT_FAILURES], ids=lambda one: one.type)
@pytest.mark.parametrize("mode", OnFailure)
@pytest.mark.parametrize("as_a_whole", [True, False])
def test_a_failure_never_becomes_safe(failure: ModerationError, mode: OnFailure, as_a_whole: bool) -> None:
    engine = FakeEngine(raises=failure) if as_a_whole else FakeEngine(errors={"bread": failure})
    (outcome,) = moderator(engine).decide([check("bread", policy=policy(mode))])
    if isinstance(outcome, Decision):
        assert outcome.verdict is None
        assert outcome.degraded


def test_an_engine_that_fails_as_a_whole_fails_every_check_and_has_its_fallback() -> None:
    fallback = FakeEngine(name="lite")
    made = moderator(FakeEngine(raises=DOWN), fallback=fallback)
    outcomes = made.decide([check("bread"), check("bomb", policy=policy(OnFailure.ERROR))])
    assert decided(outcomes[0]).engine == "lite"
    assert outcomes[1] is DOWN


def test_an_engines_bug_is_nobodys_verdict() -> None:
    made = moderator(FakeEngine(raises=KeyError("bug")), fallback=FakeEngine(name="lite"))
    with pytest.raises(KeyError):
        made.decide([check("bread", policy=policy(OnFailure.ALLOW))])
    assert len(made.cache) == 0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_engine_that_loses_or_invents_answers_is_nobodys_verdict(count: int) -> None:
    class Careless(FakeEngine):
        def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
            return (super().judge(conversations, **options) * 2)[:count]

    with pytest.raises(ValueError, match="argument"):
        moderator(Careless()).decide([check("bread"), check("bomb")])


# Observers


def test_observers_are_told_of_every_outcome() -> None:
    witness = Witness()
    engine = FakeEngine(errors={"broken": DOWN})
    made = moderator(engine, observers=[witness])
    outcomes = made.decide([check("bread"), check("broken", policy=policy(OnFailure.ERROR)), check("bread")])
    assert witness.decisions == [outcomes[0], outcomes[2]]
    assert witness.errors == [DOWN]
    assert witness.engine_calls == [("fake", 1, 1)]
    assert witness.prints[0] == witness.prints[1]


class Book:
    """A record of what happened, and when; it refuses decisions about `bomb`."""

    def __init__(self) -> None:
        self.written: list[object] = []

    def write(self, check: Check, outcome: object, fingerprint: bytes) -> None:
        self.written.append(outcome)
        if "bomb" in check.conversation.prompt:
            raise AuditUnavailable("No room.")


def test_a_decision_that_cannot_be_recorded_is_an_error_for_caller_and_observers_alike() -> None:
    witness, book = Witness(), Book()
    first, second = moderator(FakeEngine(), observers=[witness], record=book).decide([check("bread"), check("bomb")])
    assert isinstance(first, Decision)
    assert isinstance(second, AuditUnavailable)
    assert len(book.written) == 2
    assert (witness.decisions, witness.errors) == ([first], [second])


def test_observers_are_told_of_the_fallback_and_not_of_memory() -> None:
    witness = Witness()
    made = moderator(
        FakeEngine(errors={"broken": DOWN}), fallback=FakeEngine(name="lite"), observers=[witness, Witness()]
    )
    made.decide([check("bread"), check("broken")])
    assert witness.engine_calls == [("fake", 1, 1), ("lite", 0, 1)]
    made.decide([check("bread")])
    assert len(witness.engine_calls) == 2
    assert [one.cached for one in witness.decisions] == [False, False, True]


def test_observers_are_told_of_an_engine_that_fails_as_a_whole() -> None:
    witness = Witness()
    moderator(FakeEngine(raises=DOWN), observers=[witness]).decide([check("bread"), check("bomb")])
    assert witness.engine_calls == [("fake", 2, 0)]
    assert witness.errors == [DOWN, DOWN]


# Readiness, closing, deadline, threads


def test_it_is_ready_when_the_engine_is_even_if_the_fallback_is_not() -> None:
    moderator(FakeEngine(), fallback=FakeEngine(not_ready=DOWN)).check_ready()
    with pytest.raises(EngineUnavailable):
        moderator(FakeEngine(not_ready=DOWN), fallback=FakeEngine()).check_ready()


def test_closing_closes_both_engines() -> None:
    engine, fallback = FakeEngine(), FakeEngine()
    moderator(engine, fallback=fallback).close()
    assert (engine.closed, fallback.closed) == (True, True)
    moderator(engine).close()


def test_engine_and_fallback_share_one_deadline() -> None:
    seen: list[float] = []

    class Timed(FakeEngine):
        def judge(self, conversations: Sequence[Conversation], **options: Any) -> list[Verdict | ModerationError]:
            seen.append(options["deadline"].at_s)
            assert 0 < options["deadline"].remaining_s() <= 5
            return super().judge(conversations, **options)

    decide(moderator(Timed(errors={"bread": DOWN}), fallback=Timed(), deadline_s=5), check("bread"))
    assert seen[0] == seen[1]


def test_checks_of_many_threads_do_not_wait_for_each_other() -> None:
    gate = threading.Event()
    engine = FakeEngine(gate=gate)
    made = moderator(engine)
    slow = threading.Thread(target=made.decide, args=([check("slow")],))
    slow.start()
    try:
        assert engine.entered.wait(10)
        engine.gate = None
        assert decide(made, check("quick"))[0].verdict is not None
        assert slow.is_alive()
    finally:
        gate.set()
        slow.join(10)


class LateEngine(FakeEngine):
    """Fails after its time, or answers only within it, as a deadline asks."""

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        assert deadline is not None
        if deadline.remaining_s() <= 0:
            return [DeadlineExceeded("Too slow.")] * len(conversations)
        return super().judge(conversations, detail=detail, deadline=deadline)


def test_an_engine_that_hangs_until_the_deadline_leaves_time_for_the_fallback() -> None:
    moderator = Moderator(
        engine=LateEngine(), fallback=LateEngine(name="lite"), cache=VerdictCache(size=9, ttl_s=60), deadline_s=0.0
    )
    [outcome] = moderator.decide([Check(Conversation.of(prompt="a bomb"), BUILT_IN["balanced"])])
    assert isinstance(outcome, Decision)
    assert (outcome.engine, outcome.degraded, outcome.action) == ("lite", True, Action.BLOCK)


def test_a_policy_that_acts_on_categories_gets_them_though_the_caller_asked_for_the_severity() -> None:
    engine = FakeEngine()
    rules = Rules(ACTIONS, {Category.UNETHICAL_ACTS: {Severity.CONTROVERSIAL: Action.BLOCK}})
    own = Policy("own", "", dict.fromkeys(Target, rules), {"en": "No."})
    moderator = Moderator(engine=engine, cache=VerdictCache(size=9, ttl_s=60))
    check = Check(Conversation.of(prompt="an insult"), own, Detail.SEVERITY)
    [outcome] = moderator.decide([check])
    assert isinstance(outcome, Decision)
    assert (outcome.action, engine.calls[0][1]) == (Action.BLOCK, Detail.FULL)
    [again] = moderator.decide([check])
    assert isinstance(again, Decision)
    assert (again.action, again.cached) == (Action.BLOCK, True)


def test_what_one_model_said_is_not_taken_for_the_word_of_another() -> None:
    engine = FakeEngine(model="guard-0.6B")
    moderator = Moderator(engine=engine, cache=VerdictCache(size=9, ttl_s=60))
    check = Check(Conversation.of(prompt="bread"), BUILT_IN["balanced"])
    moderator.decide([check])
    engine.model = "guard-8B"
    [outcome] = moderator.decide([check])
    assert isinstance(outcome, Decision)
    assert (outcome.model, outcome.cached, engine.asked) == ("guard-8B", False, ["bread", "bread"])
