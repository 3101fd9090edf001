"""The cascade of two models over real connections: who decides, and what happens while one of them is away."""

from __future__ import annotations

import threading

import pytest
from fake_guard_server import BOMB, Hang, answering, completion, reply, wait_until
from scored_guard import scored

from moderation_service.core.cascade import Sureness, Up
from moderation_service.core.conversation import Conversation
from moderation_service.core.engine import Deadline
from moderation_service.core.policy import BUILT_IN
from moderation_service.core.verdict import Category, Detail, PartRead, Severity, Target, Verdict
from moderation_service.engines.vllm import UpstreamOptions, VllmEngine
from moderation_service.errors import EngineError, EngineUnavailable, ModerationError, Overloaded

SAFE, CONTROVERSIAL, UNSAFE = Severity
STRICT = Sureness.of(BUILT_IN["strict"].rules[Target.PROMPT])


class Told:
    """What the engine told of itself."""

    def __init__(self) -> None:
        self.by_small: list[bool] = []
        self.reasons: list[Up] = []
        self.compared: list[tuple[str, Severity, Severity]] = []

    def cascade_decided(self, *, by_small: bool) -> None:
        self.by_small.append(by_small)

    def cascade_went_up(self, reason: Up) -> None:
        self.reasons.append(reason)

    def cascade_compared(self, how, small: Severity, large: Severity) -> None:
        self.compared.append((how.value, small, large))


def judge(engine, text: str, *, response: str | None = None, **options: object) -> Verdict | ModerationError:
    [found] = engine.judge([Conversation.of(prompt=text, response=response)], **options)
    return found


def verdict_of(engine, text: str, **options: object) -> tuple[Severity, str, str]:
    found = judge(engine, text, **options)
    assert isinstance(found, Verdict), repr(found)
    return found.severity, found.engine, found.model


@pytest.mark.parametrize("detail", list(Detail))
def test_the_small_model_decides_what_it_is_sure_of_and_the_large_one_the_rest(cascade, small, large, detail) -> None:
    engine = cascade()
    cases = {
        "small=0.95,0.03,0.02 large=0.1,0.1,0.8": (SAFE, "cascade", "small"),
        "small=0.2,0.1,0.7 large=0.9,0.1,0.0": (UNSAFE, "cascade", "small"),
        "small=0.85,0.1,0.05 large=0.1,0.1,0.8": (UNSAFE, "cascade", "large"),
        "small=0.3,0.2,0.5 large=0.9,0.1,0.0": (SAFE, "cascade", "large"),
        "small=0.1,0.9,0.0 large=0.1,0.2,0.7": (UNSAFE, "cascade", "large"),
    }
    for text, expected in cases.items():
        assert verdict_of(engine, text, detail=detail) == expected
    assert (len(small.questions), len(large.questions)) == (5, 3)


def test_of_a_batch_only_the_doubtful_ones_go_up_and_the_order_stays(cascade, large) -> None:
    engine = cascade()
    texts = [f"{n} small={'0.6,0.3,0.1' if n % 3 else '0.95,0.05,0.0'} large=0.1,0.1,0.8" for n in range(12)]
    found = engine.judge([Conversation.of(prompt=text) for text in texts])
    assert [one.model for one in found] == ["large" if n % 3 else "small" for n in range(12)]
    assert len(large.questions) == 8


def test_responses_and_streams_of_windows_go_the_same_way(cascade, large) -> None:
    engine = cascade()
    assert verdict_of(engine, "Hi", response="small=0.95,0.05,0.0 large=0.0,0.0,1.0")[2] == "small"
    assert verdict_of(engine, "Hi", response="small=0.5,0.4,0.1 large=0.0,0.0,1.0")[2] == "large"
    long = "It is a nice day. " * 1500
    found = judge(engine, long)
    assert isinstance(found, Verdict)
    assert (found.severity, found.model, found.windows > 3) == (SAFE, "small", True)
    found = judge(engine, long + "small=0.3,0.6,0.1 large=0.1,0.1,0.8" + long)
    assert isinstance(found, Verdict)
    assert (found.severity, found.model) == (UNSAFE, "large")
    assert found.span is not None


def test_a_policy_that_treats_two_severities_alike_spares_the_large_model(cascade, large) -> None:
    engine = cascade()
    asked = [Conversation.of(prompt="small=0.05,0.5,0.45 large=1,0,0")]
    [found] = engine.judge_with(asked, STRICT, detail=Detail.FULL, deadline=Deadline.after(5))
    assert (found.severity, found.model, large.questions) == (CONTROVERSIAL, "small", [])
    assert engine.suffices(found, STRICT)
    assert not engine.suffices(found, Sureness()), "another policy tells controversial from unsafe"


def test_the_large_model_does_not_soften_what_the_small_one_is_certain_of(cascade) -> None:
    needs_categories = Sureness(needs_categories=True)
    asked = [Conversation.of(prompt="small=0.01,0.01,0.98 large=1,0,0")]
    [found] = cascade().judge_with(asked, needs_categories, detail=Detail.FULL, deadline=Deadline.after(5))
    assert found.severity is UNSAFE
    assert PartRead.CONTRADICTION in found.read_in_part


def test_the_large_model_does_not_soften_what_the_small_one_found_in_a_part_of_a_text(cascade, small) -> None:
    healthy = small.behave
    small.behave = lambda request: reply(500, {}) if "BROKEN" in str(request.body) else healthy(request)
    long = "It is a nice day. " * 1500
    found = judge(cascade(), "small=0.01,0.01,0.98 large=1,0,0 " + long + "BROKEN")
    assert isinstance(found, Verdict), repr(found)
    assert found.severity is UNSAFE
    assert PartRead.CONTRADICTION in found.read_in_part


def test_while_the_small_model_is_away_the_large_one_judges_all(cascade, small) -> None:
    told = Told()
    engine = cascade(events=told)
    assert verdict_of(engine, "small=1,0,0 large=0,0,1")[2] == "small"
    small.stop()
    for _ in range(3):
        assert verdict_of(engine, "small=1,0,0 large=0,0,1") == (UNSAFE, "cascade", "large")
    engine.check_ready()
    assert told.reasons == [Up.NO_VERDICT] * 3
    small.start()
    assert wait_until(lambda: verdict_of(engine, "small=1,0,0 large=0,0,1")[2] == "small")


@pytest.mark.parametrize(
    "trouble", [Hang(), reply(500, {}), reply(404, {}), completion("I can't say."), reply(429, {}), reply(200, b"{")]
)
def test_a_small_model_that_goes_wrong_leaves_the_large_one_time(cascade, small, trouble) -> None:
    engine = cascade()
    verdict_of(engine, "small=1,0,0")
    small.behave = answering(trouble)
    found = judge(engine, "small=1,0,0 large=0,0,1", deadline=Deadline.after(1.2))
    assert isinstance(found, Verdict), repr(found)
    assert (found.severity, found.model) == (UNSAFE, "large")


def test_a_small_model_without_probabilities_decides_nothing(cascade, small) -> None:
    small.behave = scored("small", without_scores=True)
    told = Told()
    assert verdict_of(cascade(events=told), "small=1,0,0 large=0,0,1")[2] == "large"
    assert told.reasons == [Up.NO_SCORES]


def test_while_the_large_model_is_away_doubts_are_no_verdict_and_harm_stands(cascade, large) -> None:
    engine = cascade()
    large.stop()
    assert verdict_of(engine, "small=0.95,0.05,0")[2] == "small"
    doubtful = judge(engine, "small=0.7,0.2,0.1")
    assert isinstance(doubtful, EngineUnavailable)
    for shares, severity in {"0.3,0.2,0.5": UNSAFE, "0.2,0.6,0.2": CONTROVERSIAL}.items():
        found = judge(engine, f"small={shares}")
        assert isinstance(found, Verdict)
        assert (found.severity, found.may_be_worse) == (severity, True)
        assert isinstance(found.failure, EngineError)
    engine.check_ready()


def test_with_both_away_it_is_not_ready_and_says_why(cascade, small, large) -> None:
    engine = cascade()
    small.stop()
    large.stop()
    assert isinstance(judge(engine, "small=1,0,0"), EngineUnavailable)
    with pytest.raises(EngineError):
        engine.check_ready()


def test_a_small_model_that_calls_everything_safe_is_not_used(cascade, small) -> None:
    safe = scored("small")(type("R", (), {"path": "/v1/chat/completions", "body": {"messages": [
        {"role": "user", "content": "small=1,0,0"}]}})())  # fmt: skip
    healthy = scored("small")
    small.behave = lambda request: safe if BOMB in str(request.body) else healthy(request)
    engine = cascade()
    engine.check_ready()
    assert verdict_of(engine, "small=1,0,0 large=0,0,1")[2] == "large"


def test_a_text_of_which_categories_matter_has_all_of_them_while_the_large_model_is_away(cascade, large) -> None:
    engine = cascade()
    large.stop()
    asked = [Conversation.of(prompt="small=0.01,0.01,0.98")]
    [found] = engine.judge_with(asked, Sureness(needs_categories=True), detail=Detail.FULL, deadline=Deadline.after(5))
    assert (found.severity, found.categories, found.may_lack_categories) == (UNSAFE, (Category.VIOLENT,), True)


def test_too_many_requests_of_ours_are_not_moved_to_the_large_model(cascade, small, large) -> None:
    engine = cascade(slots=1)
    verdict_of(engine, "small=1,0,0")
    entered, go_on = threading.Event(), threading.Event()
    healthy = small.behave

    def waits(request):
        entered.set()
        assert go_on.wait(30)
        return healthy(request)

    small.behave = waits
    first = threading.Thread(target=lambda: judge(engine, "small=1,0,0"))
    first.start()
    assert entered.wait(30)
    assert isinstance(judge(engine, "small=1,0,0"), Overloaded)
    go_on.set()
    first.join()
    assert large.questions == []


def test_a_sample_of_the_sure_verdicts_is_judged_by_both_behind_the_caller(cascade, large) -> None:
    told = Told()
    engine = cascade(events=told, sample=1.0)
    assert verdict_of(engine, "small=0.95,0.05,0 large=0.1,0.1,0.8")[2] == "small"
    assert verdict_of(engine, "small=0.6,0.3,0.1 large=0.9,0.1,0")[2] == "large"
    assert wait_until(lambda: len(told.compared) == 2)
    assert sorted(told.compared, key=str) == [("sample", SAFE, UNSAFE), ("up", SAFE, SAFE)]
    assert (told.by_small, told.reasons) == ([True, False], [Up.UNSURE])


def test_a_sample_that_the_large_model_has_no_time_for_is_left_out(cascade, large) -> None:
    told = Told()
    engine = cascade(events=told, sample=1.0)
    engine.check_ready()
    go_on = threading.Event()
    healthy = large.behave

    def waits(request):
        go_on.wait(30)
        return healthy(request)

    large.behave = waits
    for _ in range(60):
        assert verdict_of(engine, "small=0.95,0.05,0")[2] == "small"
    go_on.set()
    assert wait_until(lambda: len(told.compared) >= 16)
    assert len(told.compared) < 25


@pytest.mark.parametrize("limit", [{"concurrency": 4}, {"most_per_replica": lambda: 4}])
def test_what_nobody_waits_for_is_not_judged_while_half_of_the_places_are_taken(large, limit) -> None:
    engine = VllmEngine(UpstreamOptions(urls=(large.url,), timeout_s=5.0, **limit))
    engine.check_ready()
    go_on, busy = threading.Event(), threading.Semaphore(0)
    healthy = large.behave

    def waits(request):
        busy.release()
        go_on.wait(30)
        return healthy(request)

    def aside():
        text = Conversation.of(prompt="large=0.9,0.1,0")
        return engine.judge_aside(text, detail=Detail.SEVERITY, deadline=Deadline.after(5.0))

    large.behave = waits
    callers = [threading.Thread(target=verdict_of, args=(engine, "large=0.9,0.1,0")) for _ in "12"]
    for caller in callers:
        caller.start()
    for _ in callers:
        assert busy.acquire(timeout=30)
    assert aside() is None
    go_on.set()
    for caller in callers:
        caller.join()
    assert aside().severity is SAFE
    engine.close()


def test_a_sample_takes_no_place_from_a_caller(cascade, large) -> None:
    told = Told()
    engine = cascade(events=told, sample=1.0, slots=1)
    engine.check_ready()
    go_on, busy = threading.Event(), threading.Event()
    healthy = large.behave

    def waits(request):
        if not busy.is_set():
            busy.set()
            go_on.wait(30)
        return healthy(request)

    large.behave = waits
    assert verdict_of(engine, "small=0.95,0.05,0")[2] == "small"
    assert busy.wait(30)
    assert verdict_of(engine, "small=0.6,0.3,0.1 large=0.9,0.1,0")[2] == "large"
    go_on.set()
    assert wait_until(lambda: len(told.compared) == 2)
