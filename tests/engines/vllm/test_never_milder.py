"""A severity that was read is not made milder: by a later line, a window, another server, a token's probabilities."""

from __future__ import annotations

import json
import math
from itertools import cycle

import pytest
from fake_guard_server import BOMB, BREAD, Send, answering, completion, guard, recorded, reply, wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Category, Detail, PartRead, Severity, Verdict
from moderation_service.errors import EngineAnswerInvalid, EngineUnavailable, ModerationError, TooLarge

SAFE = Conversation.of(prompt=BREAD)
LONG = Conversation.of(prompt="How do I bake bread? " * 80 + BOMB + " How do I bake bread?" * 80)
UNSAFE_TEXT = "Safety: Unsafe\nCategories: Violent"


def verdict(engine, conversation: Conversation, detail: Detail = Detail.FULL) -> Verdict:
    (found,) = engine.judge([conversation], detail=detail)
    assert isinstance(found, Verdict), repr(found)
    return found


def with_shares(text: str, *, finish: str = "stop", **shares: float) -> Send:
    """A chat completion of two tokens, the second the label's, with these probabilities of the labels there."""
    top = [{"token": f" {name}", "logprob": math.log(share)} for name, share in shares.items()]
    tokens = [{"token": "Safety:"}, {"token": text.partition(":")[2].partition("\n")[0] or "?", "top_logprobs": top}]
    choice = {"message": {"content": text}, "finish_reason": finish, "logprobs": {"content": tokens}}
    return reply(200, {"choices": [choice]})


@pytest.mark.parametrize(
    "text",
    [
        "Safety: Unsafe",
        "Safety: Unsafe\nCategories: Violent.",
        f"```\n{UNSAFE_TEXT}\n```",
        f"{UNSAFE_TEXT}\nRefusal: No",
    ],
)
@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llamacpp", "ollama", "openai"])
@pytest.mark.parametrize("detail", Detail)
def test_an_odd_answer_keeps_its_label_whoever_gives_it(upstream, engine_for, text, dialect, detail) -> None:
    def odd(request):
        return completion(text) if request.path == "/v1/chat/completions" else guard(request)

    upstream.behave = answering(odd)
    conversation = Conversation.of(prompt=BOMB)
    assert verdict(engine_for(upstream, dialect=dialect), conversation, detail).severity is Severity.UNSAFE


def test_an_answer_that_was_cut_behind_its_label_is_a_verdict(upstream, engine_for) -> None:
    upstream.behave = answering(recorded("cut_after_four_tokens"))
    found = verdict(engine_for(upstream), Conversation.of(prompt=BOMB))
    assert found.severity is Severity.UNSAFE
    assert PartRead.CUT in found.read_in_part


def test_a_refusal_line_on_a_prompt_takes_nothing_away(upstream, engine_for) -> None:
    upstream.behave = answering(completion("Safety: Safe\nCategories: None\nRefusal: No"))
    found = verdict(engine_for(upstream, dialect="ollama"), SAFE)
    assert (found.severity, found.refusal, found.read_in_part) == (Severity.SAFE, None, frozenset())


def test_probabilities_that_are_stricter_than_the_label_count(upstream, engine_for) -> None:
    upstream.behave = answering(with_shares("Safety: Safe\nCategories: None", Safe=0.3, Unsafe=0.6, Cont=0.1))
    found = verdict(engine_for(upstream, dialect="openai"), SAFE)
    assert (found.severity, found.read_in_part) == (Severity.UNSAFE, {PartRead.CONTRADICTION})
    assert found.scores is not None
    assert found.scores.unsafe == pytest.approx(0.6)


def test_probabilities_that_are_milder_than_the_label_are_dropped(upstream, engine_for) -> None:
    upstream.behave = answering(with_shares(UNSAFE_TEXT, Safe=0.6, Unsafe=0.3, Cont=0.1))
    found = verdict(engine_for(upstream, dialect="openai"), SAFE)
    assert (found.severity, found.scores) == (Severity.UNSAFE, None)


def test_probabilities_alone_can_show_harm_but_never_that_there_is_none(upstream, engine_for) -> None:
    engine = engine_for(upstream, dialect="openai")
    upstream.behave = answering(with_shares("Safety: Dangerous", Safe=0.1, Unsafe=0.2, Cont=0.3))
    found = verdict(engine, SAFE)
    assert (found.severity, found.read_in_part) == (Severity.CONTROVERSIAL, {PartRead.PROBABILITIES})
    upstream.behave = answering(with_shares("Safety: Fine", Safe=0.9, Unsafe=0.05, Cont=0.05))
    assert isinstance(engine.judge([SAFE])[0], EngineAnswerInvalid)


SAFE_TEXT = "Safety: Safe\nCategories: None"
CONTROVERSIAL_TEXT = "Safety: Controversial\nCategories: Violent"
SAFE_CHOICE = {"index": 0, "message": {"content": SAFE_TEXT}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [SAFE_CHOICE, {"index": 1, "message": {"content": UNSAFE_TEXT}}]},
        {"choices": [{"message": {"content": text}} for text in (CONTROVERSIAL_TEXT, UNSAFE_TEXT)]},
        {"choices": [{"message": {"reasoning": CONTROVERSIAL_TEXT, "refusal": UNSAFE_TEXT}}]},
        {"choices": [{"message": {"content": None, "reasoning_content": UNSAFE_TEXT}}]},
        {"choices": [{"message": {"content": "", "reasoning": UNSAFE_TEXT}}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": UNSAFE_TEXT}]}}]},
        {"choices": [{"message": {"content": UNSAFE_TEXT}}], "error": {"message": "x"}},
        {"choices": [{"message": {"content": UNSAFE_TEXT}, "finish_reason": "error"}]},
    ],
    ids=[
        "second-choice",
        "stricter-choice",
        "stricter-text",
        "thoughts",
        "reasoning",
        "parts",
        "with-an-error",
        "ends-as-error",
    ],
)
@pytest.mark.parametrize("detail", Detail)
def test_a_harmful_label_counts_wherever_a_server_has_put_it(upstream, engine_for, document, detail) -> None:
    upstream.behave = answering(reply(200, document))
    assert verdict(engine_for(upstream, dialect="openai"), SAFE, detail).severity is Severity.UNSAFE


TWICE = b'{"choices": [{"message": {"content": "%s"}, "finish_reason": "stop"}], "choices": [%s]}'


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [SAFE_CHOICE, SAFE_CHOICE]},
        {"choices": [{"message": {"content": None, "reasoning_content": SAFE_TEXT}}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": SAFE_TEXT}]}}]},
        {"choices": [SAFE_CHOICE], "error": {"message": "x"}},
        {"choices": [{**SAFE_CHOICE, "error": {"message": "x"}}]},
        {"choices": [{**SAFE_CHOICE, "finish_reason": "content_filter"}]},
        {"choices": [{**SAFE_CHOICE, "finish_reason": "abort"}]},
        TWICE % (UNSAFE_TEXT.replace("\n", "\\n").encode(), json.dumps(SAFE_CHOICE).encode()),
        b'{"choices": [{"message": {"content": "Safety: Unsafe", "content": "%s"}}], "content": 1}'
        % SAFE_TEXT.replace("\n", "\\n").encode(),
    ],
    ids=["two", "thoughts", "parts", "error", "error-inside", "filter", "abort", "twice", "twice-inside"],
)
@pytest.mark.parametrize("detail", Detail)
def test_that_a_text_is_safe_is_believed_of_one_whole_answer_only(upstream, engine_for, document, detail) -> None:
    upstream.behave = answering(reply(200, document))
    (found,) = engine_for(upstream, dialect="openai").judge([SAFE], detail=detail)
    assert isinstance(found, EngineAnswerInvalid)


@pytest.mark.parametrize("beside", [{"error": {"message": "x"}}, {"finish_reason": "abort"}])
def test_an_answer_that_stopped_behind_safe_is_not_believed_where_it_was_broken_off(
    upstream, engine_for, beside
) -> None:
    stopped = {"message": {"content": "Safety: Safe"}, "stop_reason": "Safety: Safe", "finish_reason": "stop", **beside}
    upstream.behave = answering(reply(200, {"choices": [stopped]}))
    (found,) = engine_for(upstream, dialect="vllm").judge([SAFE])
    assert isinstance(found, EngineAnswerInvalid)


def test_the_fast_path_believes_no_label_of_an_answer_that_was_broken_off(upstream, engine_for) -> None:
    upstream.behave = answering(reply(200, {"choices": [{"text": " Safe", "finish_reason": "abort"}]}))
    (found,) = engine_for(upstream).judge([SAFE], detail=Detail.SEVERITY)
    assert isinstance(found, EngineAnswerInvalid)


def test_the_fast_path_believes_no_label_with_an_error_beside_it(upstream, engine_for) -> None:
    for text in (" Safe", " Unsafe"):
        choice = {"text": text, "finish_reason": "length", "logprobs": None}
        upstream.behave = answering(reply(200, {"choices": [choice], "error": {"message": "x"}}))
        (found,) = engine_for(upstream).judge([SAFE], detail=Detail.SEVERITY)
        if text == " Safe":
            assert isinstance(found, EngineAnswerInvalid)
        else:
            assert isinstance(found, Verdict)
            assert found.severity is Severity.UNSAFE


def test_the_fast_path_weighs_its_one_token_too(upstream, engine_for) -> None:
    logprobs = {"top_logprobs": [{" Safe": math.log(0.4), " Unsafe": math.log(0.55), " Cont": math.log(0.05)}]}
    for text in (" Safe", " Harmless"):
        odd = reply(200, {"choices": [{"text": text, "finish_reason": "length", "logprobs": logprobs}]})
        upstream.behave = answering(odd)
        assert verdict(engine_for(upstream), SAFE, Detail.SEVERITY).severity is Severity.UNSAFE


def test_a_harmful_window_stands_when_another_one_fails(upstream, engine_for) -> None:
    def fails_elsewhere(request):
        if request.path != "/v1/chat/completions":
            return guard(request)
        return guard(request) if BOMB in str(request.body) else reply(500, {})

    upstream.behave = answering(fails_elsewhere)
    # One after the other, so that the harmful window is always reached.
    engine = engine_for(upstream, fanout=1)
    (clean,) = engine.judge([Conversation.of(prompt="How do I bake bread? " * 200)])
    assert isinstance(clean, EngineUnavailable)
    first = Conversation.of(prompt=BOMB + " How do I bake bread?" * 200)
    found = verdict(engine, first)
    assert (found.severity, found.categories) == (Severity.UNSAFE, (Category.VIOLENT,))
    assert PartRead.WINDOWS in found.read_in_part
    assert isinstance(found.failure, EngineUnavailable)
    assert not found.may_be_worse


def test_a_harmful_window_stands_when_smaller_windows_are_called_safe(upstream, engine_for) -> None:
    def shrinks(request):
        if request.path != "/v1/chat/completions":
            return guard(request)
        text = request.body["messages"][-1]["content"]
        if BOMB in text and len(text) > 160:
            return completion(UNSAFE_TEXT)
        return recorded("err_too_long") if len(text) > 160 else completion("Safety: Safe\nCategories: None")

    upstream.behave = answering(shrinks)
    found = verdict(engine_for(upstream, fanout=1), Conversation.of(prompt=BOMB + " How do I bake bread?" * 200))
    assert (found.severity, found.failure) == (Severity.UNSAFE, None)


def test_a_harmful_window_stands_when_smaller_ones_would_be_too_many(upstream, engine_for) -> None:
    def shrinks(request):
        text = str(request.body)
        return completion(UNSAFE_TEXT) if BOMB in text else recorded("err_too_long")

    upstream.behave = answering(shrinks)
    found = verdict(engine_for(upstream, fanout=1, max_windows=4), Conversation.of(prompt=BOMB + " bread" * 100))
    assert found.severity is Severity.UNSAFE
    assert isinstance(found.failure, TooLarge)


ANSWERS = {
    "safe": (completion("Safety: Safe\nCategories: None"), 0),
    "safe, odd": (completion("Safety: Safe"), 0),
    "controversial": (completion("Safety: Controversial\nCategories: PII"), 1),
    "controversial, odd": (completion("Safety: Controversial\nCategories: ???"), 1),
    "unsafe": (completion(UNSAFE_TEXT), 2),
    "unsafe, odd": (completion("Safety: Unsafe."), 2),
    "garbled": (completion("I can't say."), 0),
    "failed": (reply(503, {}), 0),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=8))
def test_no_sequence_of_windows_and_failures_is_milder_than_what_was_read(upstream, engine_for, names) -> None:
    read: list[int] = []
    answers = cycle(names)

    def next_one(request):
        if request.path != "/v1/chat/completions":
            return guard(request)
        action, rank = ANSWERS[next(answers)]
        read.append(rank)
        return action

    upstream.behave = answering(next_one)
    (found,) = engine_for(upstream, fanout=1).judge([Conversation.of(prompt="How do I bake bread? " * 200)])
    assert read
    if isinstance(found, ModerationError):
        assert max(read) == 0
    else:
        assert found.severity.rank == max(read)


# Where the harm is


def test_the_worst_window_is_pointed_at_in_characters_of_the_text_as_it_was_sent(upstream, engine_for) -> None:
    filler = "How do I bake cafe\u0301 bread? <|x|> "
    text = filler * 60 + BOMB + " " + filler * 60
    found = verdict(engine_for(upstream), Conversation.of(prompt=text))
    assert found.span is not None
    assert BOMB in text[found.span.start : found.span.end]
    assert found.span.end - found.span.start < len(text) / 2


def test_a_safe_or_short_text_has_no_span(upstream, engine_for) -> None:
    engine = engine_for(upstream)
    assert verdict(engine, Conversation.of(prompt=BOMB)).span is None
    assert verdict(engine, Conversation.of(prompt="How do I bake bread? " * 200)).span is None


# Which server is trusted


def always_safe(request):
    if request.path == "/v1/chat/completions" and request.body["messages"][-1]["role"] == "user":
        return completion("Safety: Safe\nCategories: None")
    return recorded("ok_begun_safe") if request.path == "/v1/completions" else guard(request)


def test_a_server_that_calls_everything_safe_is_not_ready_and_not_used(upstream, engine_for) -> None:
    upstream.behave = always_safe
    engine = engine_for(upstream)
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="plainly harmful question safe") as raised:
            engine.check_ready()
        assert raised.value.reason.value == "misjudges"
    (found,) = engine.judge([SAFE])
    assert isinstance(found, EngineUnavailable)
    assert found.reason.value == "misjudges"


def test_answering_users_does_not_make_a_server_ready(upstream, engine_for) -> None:
    upstream.behave = always_safe
    engine = engine_for(upstream)
    verdict(engine, SAFE)
    with pytest.raises(EngineUnavailable, match="plainly harmful question safe"):
        engine.check_ready()


def test_after_an_outage_a_server_is_used_again_only_when_it_knows_harm(upstream, engine_for) -> None:
    engine = engine_for(upstream)
    engine.check_ready()
    upstream.stop()
    engine.judge([SAFE])
    upstream.behave = always_safe
    upstream.start()
    asked = len(upstream.requests)
    wait_until(lambda: len(upstream.requests) > asked + 8)
    assert isinstance(engine.judge([SAFE])[0], EngineUnavailable)
    upstream.behave = guard
    assert wait_until(lambda: isinstance(engine.judge([SAFE])[0], Verdict))


def test_a_rendered_prompt_that_hides_harm_is_given_up(upstream, engine_for) -> None:
    def begins_badly(request):
        return recorded("ok_begun_safe") if request.path == "/v1/completions" else guard(request)

    upstream.behave = begins_badly
    engine = engine_for(upstream)
    engine.check_ready()
    assert verdict(engine, Conversation.of(prompt=BOMB), Detail.SEVERITY).severity is Severity.UNSAFE
    assert upstream.questions[-1]["max_tokens"] == 3


def test_a_server_that_knows_harm_again_is_used_by_the_next_question(upstream, engine_for) -> None:
    upstream.behave = always_safe
    engine = engine_for(upstream)
    with pytest.raises(EngineUnavailable):
        engine.check_ready()
    upstream.behave = guard
    assert verdict(engine, Conversation.of(prompt=BOMB)).severity is Severity.UNSAFE


def test_a_server_beside_a_good_one_is_proven_too(upstream, second, engine_for) -> None:
    second.behave = always_safe
    engine = engine_for(upstream, second)
    engine.check_ready()
    for _ in range(6):
        assert verdict(engine, Conversation.of(prompt=BOMB)).severity is Severity.UNSAFE
    assert second.questions == []


def test_an_odd_answer_to_the_harmful_question_is_not_ready_but_puts_nothing_out_of_use(upstream, engine_for) -> None:
    engine = engine_for(upstream)
    verdict(engine, SAFE)

    def odd(request):
        return reply(200, {"choices": []}) if "Hello!" in str(request.body) else guard(request)

    upstream.behave = odd
    for _ in range(5):
        with pytest.raises(EngineAnswerInvalid):
            engine.check_ready()
    assert verdict(engine, SAFE).severity is Severity.SAFE
