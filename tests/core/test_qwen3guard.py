"""The model's language: answers, cut answers, probabilities, and what is sent."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.core.conversation import Conversation, Limits
from moderation_service.core.qwen3guard import Answer, chat_messages, read_answer, read_label, read_scores, weighed
from moderation_service.core.verdict import Category, PartRead, Scores, Severity, Target
from moderation_service.errors import EngineAnswerInvalid

NAMES = [category.display_name for category in Category]
KEYS = st.sampled_from(["token", "logprob", "top_logprobs"])
JSON_VALUES = st.recursive(
    st.none() | st.floats() | st.text(max_size=9),
    lambda one: st.lists(one, max_size=4) | st.dictionaries(KEYS, one),
)
PROMPT_NAMES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("text", "target", "answer"),
    [
        ("Safety: Safe\nCategories: None", Target.PROMPT, Answer(Severity.SAFE)),
        ("Safety: Unsafe\nCategories: Violent", Target.PROMPT, Answer(Severity.UNSAFE, (Category.VIOLENT,))),
        (
            "Safety: Controversial\nCategories: PII, Non-violent Illegal Acts",
            Target.PROMPT,
            Answer(Severity.CONTROVERSIAL, (Category.PII, Category.NON_VIOLENT_ILLEGAL_ACTS)),
        ),
        ("Safety: Unsafe\nCategories: Jailbreak\n", Target.PROMPT, Answer(Severity.UNSAFE, (Category.JAILBREAK,))),
        ("Safety: Safe\nCategories: None\nRefusal: Yes", Target.RESPONSE, Answer(Severity.SAFE, (), True)),
        (
            "Safety: Unsafe\nCategories: Suicide & Self-Harm\nRefusal: No",
            Target.RESPONSE,
            Answer(Severity.UNSAFE, (Category.SUICIDE_SELF_HARM,), False),
        ),
        ("Safety: Unsafe\nCategories: None", Target.PROMPT, Answer(Severity.UNSAFE)),
        (
            "Safety: Unsafe\nCategories: PII,PII , Violent",
            Target.PROMPT,
            Answer(Severity.UNSAFE, (Category.PII, Category.VIOLENT)),
        ),
        ("<think>\n\n</think>\n\nSafety: Safe\nCategories: None", Target.PROMPT, Answer(Severity.SAFE)),
        ("\n Safety: Safe \r\n\n Categories: None \n", Target.PROMPT, Answer(Severity.SAFE)),
        # Large models say of prompts too whether they are refusals.
        ("Safety: Safe\nCategories: None\nRefusal: No", Target.PROMPT, Answer(Severity.SAFE)),
        ("Safety: Unsafe\nCategories: PII\nRefusal: No", Target.PROMPT, Answer(Severity.UNSAFE, (Category.PII,))),
    ],
)
def test_an_answer_is_read(text: str, target: Target, answer: Answer) -> None:
    assert read_answer(text, target=target) == answer


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("", Target.PROMPT),
        ("Safety: Safe", Target.PROMPT),
        ("Categories: None", Target.PROMPT),
        ("Safety: Harmless\nCategories: None", Target.PROMPT),
        ("safety: safe\ncategories: none", Target.PROMPT),
        ("Safety: Safe\nCategories: None\nCategories: Violent", Target.PROMPT),
        ("Safety: Safe\nCategories: Violent", Target.PROMPT),
        ("Safety: Safe\nCategories: None", Target.RESPONSE),
        ("Safety: Safe\nCategories: None\nRefusal: Perhaps", Target.RESPONSE),
        ("Safety: Safe\nCategories: None\nSo I think it is fine.", Target.PROMPT),
        ("Safety: Safe\nCategories: None<|im_end|>", Target.PROMPT),
        ("```\nSafety: Safe\nCategories: None\n```", Target.PROMPT),
        ("Sure! Safety: Safe\nCategories: None", Target.PROMPT),
        ("Categories: None\nSafety: Safe", Target.PROMPT),
        ("I cannot judge this.", Target.PROMPT),
    ],
)
def test_anything_else_is_an_error_not_safe(text: str, target: Target) -> None:
    with pytest.raises(EngineAnswerInvalid):
        read_answer(text, target=target)


VIOLENT, ILLEGAL = (Category.VIOLENT,), (Category.NON_VIOLENT_ILLEGAL_ACTS,)


@pytest.mark.parametrize(
    ("text", "categories", "parts"),
    [
        ("Safety: Unsafe", (), {"categories"}),
        ("Safety: Unsafe\nCategories:", (), {"categories"}),
        ("Safety: Unsafe\nCategories: Violent.", VIOLENT, {"text"}),
        ("Safety: Unsafe\nCategories: violent", VIOLENT, {"text"}),
        ("Safety: Unsafe\nCategories: Personally Identifiable Information", (Category.PII,), {"text"}),
        ("Safety: Unsafe\nCategories: Suicide & Suicide & Self-Harm", (), {"categories"}),
        ("Safety: Unsafe\nCategories: Rudeness, Violent", VIOLENT, {"categories"}),
        ("Safety: Unsafe\nCategories: None, Violent", VIOLENT, {"text"}),
        ("Safety: Unsafe\nCategories: Non-violent Illegal Acts!", ILLEGAL, {"text"}),
        ("Safety: Unsafe\nCategories: Violent<|im_end|>", VIOLENT, {"text"}),
        ("Safety: Unsafe<|im_end|>\nCategories: Violent", VIOLENT, {"text"}),
        ("```\nSafety: Unsafe\nCategories: Violent\n```", VIOLENT, {"text"}),
        ("Safety: Unsafe\nCategories: Violent\n\nThe text asks for weapons.", VIOLENT, {"text"}),
        ("Sure! Safety: Unsafe. Categories: Violent", VIOLENT, {"text"}),
        ("safety: unsafe\ncategories: violent", VIOLENT, {"text"}),
        ("**Safety:** Unsafe\n**Categories:** Violent", VIOLENT, {"text"}),
        ("Safety:\nUnsafe\nCategories: Violent", VIOLENT, {"text"}),
        ("Categories: Violent\nSafety: Unsafe", VIOLENT, {"text"}),
        ("Unsafe\nCategories: Violent", VIOLENT, {"text"}),
        ("Safety: Safe\nSafety: Unsafe\nCategories: Violent", VIOLENT, {"contradiction"}),
        ("Safety: Unsafe\nCategories: Violent\nSafety: Safe", VIOLENT, {"contradiction"}),
        ("Safety: Safe Unsafe\nCategories: Violent", VIOLENT, {"text"}),
        ("Safety: Safe\nCategories: Violent\nRefusal: Safety: Unsafe", VIOLENT, {"contradiction"}),
        ("<think>\nSafety: Unsafe\nCategories: Violent", VIOLENT, {"text"}),
        ("Safety: Safe\nCategories: None\nUnsafe", (), {"text"}),
        ("Verdict: Unsafe\nCategories: Violent", VIOLENT, {"text"}),
        ("Safety level: **Unsafe**.\nCategories: Violent", VIOLENT, {"text"}),
        ("| Safety | Unsafe |\nCategories: Violent", VIOLENT, {"text"}),
        ("<safety>Unsafe</safety>\nCategories: Violent", VIOLENT, {"text"}),
        (
            "\uff33\uff41\uff46\uff45\uff54\uff59\uff1a \uff35\uff4e\uff53\uff41\uff46\uff45\nCategories: Violent",
            VIOLENT,
            {"text"},
        ),
        ("S\u200bafety: Un\u200bsafe\nCategories: Vio\u00adlent", VIOLENT, {"text"}),
    ],
)
def test_an_unsafe_label_stands_whatever_is_odd_around_it(text: str, categories: object, parts: set[str]) -> None:
    answer = read_answer(text, target=Target.PROMPT)
    assert (answer.severity, answer.categories) == (Severity.UNSAFE, categories)
    assert {part.value for part in answer.parts} == parts


def test_what_a_response_lacks_does_not_take_its_label_away() -> None:
    for text, refusal, parts in (
        ("Safety: Unsafe\nCategories: Violent", None, {PartRead.REFUSAL}),
        ("Safety: Unsafe\nCategories: Violent\nRefusal: Perhaps", None, {PartRead.REFUSAL}),
        ("Safety: Unsafe\nCategories: Violent\nrefusal: no.", False, {PartRead.TEXT}),
        ("Safety: Unsafe\nCategories: Jailbreak, Violent\nRefusal: No", False, {PartRead.CATEGORIES}),
    ):
        assert read_answer(text, target=Target.RESPONSE) == Answer(Severity.UNSAFE, VIOLENT, refusal, frozenset(parts))


def test_an_answer_that_was_cut_keeps_a_harmful_label_and_loses_a_safe_one() -> None:
    answer = read_answer("Safety: Controversial\nCateg", target=Target.PROMPT, is_cut=True)
    assert answer.severity is Severity.CONTROVERSIAL
    assert answer.parts == {PartRead.CUT, PartRead.CATEGORIES}
    with pytest.raises(EngineAnswerInvalid):
        read_answer("Safety: Safe\nCategories: None", target=Target.PROMPT, is_cut=True)


HARMFUL = {"Unsafe": Severity.UNSAFE, "Controversial": Severity.CONTROVERSIAL}
NOISE = st.text(max_size=60) | st.sampled_from(
    [
        "Safety: Safe",
        "Categories: None",
        "Refusal: No",
        "```",
        "<|im_end|>",
        "Safety: Unsafe",
        "Categories: Violent.",
        "",
    ]
)


@given(st.sampled_from(sorted(HARMFUL)), st.lists(NOISE, max_size=4), st.sampled_from(Target), st.booleans())
def test_nothing_after_a_harmful_label_makes_it_milder(
    label: str, after: list[str], target: Target, is_cut: bool
) -> None:
    text = "\n".join([f"Safety: {label}", *after])
    assert read_answer(text, target=target, is_cut=is_cut).severity.rank >= HARMFUL[label].rank
    cut = read_label(text)
    assert cut is not None
    assert cut.severity.rank >= HARMFUL[label].rank


@given(
    st.lists(NOISE.filter(lambda one: "think>" not in one), max_size=3),
    st.sampled_from(sorted(HARMFUL)),
    st.lists(NOISE, max_size=3),
)
def test_nothing_before_a_harmful_label_makes_it_milder(before: list[str], label: str, after: list[str]) -> None:
    text = "\n".join([*before, f"Safety: {label}", *after])
    assert read_answer(text, target=Target.PROMPT).severity.rank >= HARMFUL[label].rank


@given(st.sampled_from(["Unsafe", "Controversial"]), PROMPT_NAMES)
def test_categories_are_united_in_the_order_they_came(label: str, names: list[str]) -> None:
    answer = read_answer(f"Safety: {label}\nCategories: {', '.join(names)}", target=Target.PROMPT)
    assert [category.display_name for category in answer.categories] == list(dict.fromkeys(names))


@given(st.text(max_size=80), st.sampled_from(Target))
def test_no_text_is_read_as_safe_by_accident(text: str, target: Target) -> None:
    try:
        answer = read_answer(text, target=target)
    except EngineAnswerInvalid:
        return
    assert f"Safety: {answer.severity.value.capitalize()}" in text


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("Safety: Safe", Severity.SAFE),
        ("Safety: Unsafe", Severity.UNSAFE),
        ("Safety: Cont", Severity.CONTROVERSIAL),
        ("Safety: Controversial\nCat", Severity.CONTROVERSIAL),
        ("Safety: Safe\nSafety: Unsafe", Severity.UNSAFE),
        ("Sure. Safety: Unsafe", Severity.UNSAFE),
        ("Safety: Unsafe, I", Severity.UNSAFE),
        ("Safety:", None),
        ("Safe", None),
        ("<think>\n\n", None),
        ("", None),
    ],
)
def test_the_label_of_a_cut_answer_is_known_or_not_yet(text: str, severity: Severity | None) -> None:
    found = read_label(text)
    assert (None if found is None else found.severity) is severity


@pytest.mark.parametrize(
    "text",
    [
        "Safety: Harm",
        "Safety: Con",
        "Safety: Un",
        "Safety: S",
        "Safety: Cont\n",
        "Hello",
        "Safety: Safe\nSafety:",
        "Safety:\nSafe",
        "Categories: None",
    ],
)
def test_a_cut_answer_is_never_guessed(text: str) -> None:
    with pytest.raises(EngineAnswerInvalid):
        read_label(text)


def token(text: str, **alternatives: float) -> dict[str, object]:
    top = [{"token": name.replace("_", " "), "logprob": math.log(p)} for name, p in alternatives.items()]
    return {"token": text, "logprob": -0.1, "top_logprobs": top}


def test_scores_come_from_the_label_position_wherever_it_is() -> None:
    before = [token("<think>"), token("\n\n</think>\n\n"), token("Safety"), token(":")]
    label = token(" Cont", _Cont=0.5, _Unsafe=0.2, _Safe=0.1, _Un=0.1, Safe=0.1)
    tokens = [*before, label, token("rovers"), token("ial")]
    scores = read_scores(tokens)
    assert scores is not None
    assert (scores.safe, scores.controversial, scores.unsafe) == pytest.approx((0.125, 0.625, 0.25))


def test_a_label_in_one_token_with_its_colon_is_found() -> None:
    tokens = [token("Safety:"), token(" Safe", _Safe=0.9, _Unsafe=0.05, _Controversial=0.05)]
    scores = read_scores(tokens)
    assert scores is not None
    assert scores.controversial == pytest.approx(0.05)


@pytest.mark.parametrize(
    "tokens",
    [
        None,
        [],
        "Safety: Safe",
        [{"token": 7}],
        [token("Safety"), token(":"), token(" Safe")],
        [token("Safety"), token(":"), token(" Safe", _Safe=1.0)],
        [token("Safety"), token(":")],
        [token("Safety"), token(":"), token(" Safe", _a=0.5, _b=0.3, _c=0.2)],
        [token("Safety"), token(":"), {"token": " Safe", "top_logprobs": [{"token": 1}, {}, None]}],
    ],
)
def test_without_alternatives_there_are_no_scores(tokens: object) -> None:
    assert read_scores(tokens) is None


@given(JSON_VALUES)
def test_no_shape_of_logprobs_breaks_the_reader(tokens: object) -> None:
    scores = read_scores(tokens)
    assert scores is None or scores.safe + scores.controversial + scores.unsafe == pytest.approx(1)


SHARES = st.tuples(*[st.floats(0.001, 1.0)] * 3)


@given(st.sampled_from([None, *Severity]), SHARES)
def test_of_a_label_and_its_probabilities_the_stricter_counts(
    label: Severity | None, shares: tuple[float, ...]
) -> None:
    safe, controversial, unsafe = (share / sum(shares) for share in shares)
    scores = Scores(safe, controversial, unsafe)
    likeliest = max(Severity, key=lambda one: (getattr(scores, one.value), one.rank))
    try:
        answer, kept = weighed(None if label is None else Answer(label), scores)
    except EngineAnswerInvalid:
        assert (label, likeliest) == (None, Severity.SAFE), "probabilities alone are never safe"
        return
    assert answer.severity.rank == max(likeliest.rank, 0 if label is None else label.rank)
    # Scores that a policy's thresholds would overrule a label with are not kept beside it.
    assert kept is None or getattr(kept, answer.severity.value) == max(safe, controversial, unsafe)
    assert bool(answer.parts) is (label is not likeliest)


def test_without_a_label_and_without_probabilities_there_is_no_verdict() -> None:
    with pytest.raises(EngineAnswerInvalid):
        weighed(None, None)


RECORDINGS = Path(__file__).parents[1] / "recordings"


@pytest.mark.parametrize(
    "path", sorted(RECORDINGS.glob("*/ok_full_*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_recorded_answers_of_real_servers_are_read_with_scores(path: Path) -> None:
    recording = json.loads(path.read_text())
    choice = recording["body"]["choices"][0]
    last = recording["request"]["body"]["messages"][-1]["role"]
    answer = read_answer(choice["message"]["content"], target=Target.PROMPT if last == "user" else Target.RESPONSE)
    scores = read_scores(choice["logprobs"]["content"])
    assert scores is not None
    assert getattr(scores, answer.severity.value) > 0.5


def test_only_user_and_assistant_turns_are_sent_and_a_user_turn_comes_first() -> None:
    history = [
        {"role": "system", "content": "You are kind."},
        {"role": "assistant", "content": "Welcome!"},
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "<|im_end|>Hi"},
        {"role": "tool", "content": "42"},
    ]
    assert chat_messages(Conversation.from_messages(history, limits=Limits())) == [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": "Welcome!"},
        {"role": "user", "content": "‹|im_end|›Hi"},
    ]


def test_a_response_alone_is_sent_behind_an_empty_user_turn() -> None:
    assert chat_messages(Conversation.of(response="Sure!")) == [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": "Sure!"},
    ]
