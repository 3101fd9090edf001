"""Other guards: what they are asked, how their answers are read, and what is no answer."""

from __future__ import annotations

import json
import math

import pytest
from fake_guard_server import Request, recorded, reply, running

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Category, Severity, Target, Verdict
from moderation_service.data.guards.engine import GUARDS, guard_engine
from moderation_service.data.guards.guard import Answer, prompt_hash, read_answer
from moderation_service.errors import ConfigurationError, EngineAnswerInvalid, EngineUnavailable, TooLarge

PROMPT = Conversation.of(prompt="How do I bake bread?")
RESPONSE = Conversation.of(prompt="How do I bake bread?", response="With flour.")


def told(text, *tokens):
    """An answer with the probabilities of the words at each token."""
    return Answer(text, [(token, likely) for token, likely in tokens])


@pytest.mark.parametrize(
    ("guard", "text", "is_unsafe", "categories"),
    [
        ("llama-guard-3", "\n\nsafe", False, ()),
        ("llama-guard-3", "\n\nunsafe\nS1,S10", True, (Category.VIOLENT, Category.UNETHICAL_ACTS)),
        ("llama-guard-4", "unsafe\nS99", True, ()),
        ("llama-guard-4", "safe\nS1", False, ()),
        ("granite-guardian", "Yes\n<confidence> High </confidence>", True, ()),
        ("granite-guardian", "No", False, ()),
        ("granite-guardian", "<score> yes </score>", True, ()),
        ("granite-guardian", "<think>No harm?</think>\n<score>no</score>", False, ()),
    ],
)
def test_an_answer_is_read_as_the_guards_card_says(guard, text, is_unsafe, categories):
    finding = GUARDS[guard].read([Answer(text)])
    assert (finding.is_unsafe, finding.categories, finding.scores) == (is_unsafe, categories, None)


@pytest.mark.parametrize("guard", [name for name in GUARDS if name != "shieldgemma"])
@pytest.mark.parametrize(
    "text", ["", " ", "I can't judge that.", "unsafety", "Safety: Safe", "maybe", "<score></score>"]
)
def test_what_is_no_answer_is_an_error_and_never_safe(guard, text):
    with pytest.raises(EngineAnswerInvalid):
        GUARDS[guard].read([Answer(text)])


def test_the_score_is_the_probability_of_the_word_beside_the_other_one():
    answer = told("\n\nunsafe\nS2", ("\n\n", {"\n\n": 1.0}), ("unsafe", {"unsafe": 0.6, "safe": 0.2, "x": 0.2}))
    scores = GUARDS["llama-guard-3"].read([answer]).scores
    assert (scores.unsafe, scores.controversial, scores.safe) == (pytest.approx(0.75), 0.0, pytest.approx(0.25))


def test_spellings_of_one_word_are_counted_together():
    answer = told("No", ("No", {"No": 0.5, " no": 0.25, "Yes": 0.25}))
    assert GUARDS["granite-guardian"].read([answer]).probability == pytest.approx(0.25)


def test_shieldgemma_is_asked_of_each_policy_and_the_worst_counts():
    guard = GUARDS["shieldgemma"]
    questions = guard.questions(RESPONSE)
    assert len(questions) == 4
    assert len({question.template["guideline"] for question in questions}) == 4
    assert all("The chatbot shall not generate" in question.template["guideline"] for question in questions)
    assert "The prompt shall not contain" in guard.questions(PROMPT)[0].template["guideline"]
    answers = [told("No", ("No", {"No": 0.9, "Yes": 0.1})) for _ in range(3)]
    finding = guard.read([*answers, told("Yes", ("Yes", {"Yes": 0.8, "No": 0.2}))])
    assert (finding.severity, finding.categories) == (Severity.UNSAFE, (Category.SEXUAL_CONTENT,))
    assert finding.probability == pytest.approx(0.8)
    with pytest.raises(EngineAnswerInvalid):
        guard.read([*answers, Answer("")])


@pytest.mark.parametrize("name", GUARDS)
def test_what_is_asked_ends_with_the_judged_turn_and_is_deterministic(name):
    for conversation, role in ((PROMPT, "user"), (RESPONSE, "assistant")):
        for question in GUARDS[name].questions(conversation):
            body = question.body("m")
            assert body["messages"][-1]["role"] == role
            assert (body["temperature"], body["logprobs"]) == (0, True)
    assert len(prompt_hash(GUARDS[name])) == 12
    assert GUARDS[name].source


def test_llama_guard_4_gets_parts():
    [question] = GUARDS["llama-guard-4"].questions(PROMPT)
    assert question.messages[0]["content"] == [{"type": "text", "text": "How do I bake bread?"}]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": {"content": None}}]},
        {"choices": [{"message": {"content": "safe"}, "logprobs": {"content": [{}]}}]},
        {"choices": [{"message": {"content": "safe"}, "logprobs": {"content": [{"token": 5, "top_logprobs": []}]}}]},
    ],
)
def test_a_reply_that_is_no_completion_is_an_error(wrong):
    with pytest.raises(EngineAnswerInvalid):
        read_answer(wrong)


# Over HTTP.


def completion(word):
    other = "safe" if word == "unsafe" else "unsafe"
    likely = [{"token": word, "logprob": math.log(0.9)}, {"token": other, "logprob": math.log(0.1)}]
    content = [{"token": word, "logprob": math.log(0.9), "top_logprobs": likely}]
    text = word + ("\nS1" if word == "unsafe" else "")
    return reply(200, {"choices": [{"message": {"content": text}, "logprobs": {"content": content}}]})


def llama(request: Request):
    if request.path == "/v1/models":
        return reply(200, {"data": [{"id": "meta-llama/Llama-Guard-3-8B", "owned_by": "vllm"}]})
    return completion("unsafe" if "bomb" in json.dumps(request.body) else "safe")


def engine_at(url, **more):
    return guard_engine(
        f"llama-guard-3={url}/v1", **{"model": None, "api_key": None, "in_flight": 4, "timeout_s": 10.0, **more}
    )


def test_a_guard_judges_over_http_under_the_servers_name_for_its_model():
    with running(llama) as server:
        engine = engine_at(server.url)
        engine.check_ready()
        safe, unsafe = engine.judge([RESPONSE, Conversation.of(prompt="a bomb")])
        engine.close()
    assert engine.model == "meta-llama/Llama-Guard-3-8B"
    assert isinstance(safe, Verdict)
    assert (safe.target, safe.severity, safe.engine) == (Target.RESPONSE, Severity.SAFE, "llama-guard-3")
    assert unsafe.categories == (Category.VIOLENT,)
    assert unsafe.scores.unsafe == pytest.approx(0.9)


def test_a_model_that_calls_harm_safe_is_not_measured():
    def mild(request: Request):
        return llama(request) if request.path == "/v1/models" else completion("safe")

    with running(mild) as server:
        engine = engine_at(server.url)
        with pytest.raises(EngineUnavailable, match="plainly harmful question safe"):
            engine.check_ready()
        engine.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(500, {}), EngineUnavailable),
        (reply(200, {"choices": []}), EngineAnswerInvalid),
        (reply(200, b"nonsense"), EngineAnswerInvalid),
        (recorded("err_too_long"), TooLarge),
    ],
)
def test_what_goes_wrong_is_an_error_of_the_text(answer, kind):
    with running(lambda request: answer) as server:
        engine = engine_at(server.url, model="m")
        [found] = engine.judge([PROMPT])
        engine.close()
    assert isinstance(found, kind)


@pytest.mark.parametrize("named", ["gpt=http://127.0.0.1:1", "llama-guard-3", "llama-guard-3=127.0.0.1:1"])
def test_a_guard_is_named_with_its_address(named):
    with pytest.raises(ConfigurationError, match="--guard: "):
        guard_engine(named, model=None, api_key=None, in_flight=1, timeout_s=1.0)
