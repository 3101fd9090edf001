"""The guarded chat with the token-level engine: what is shown, where it is cut, and that outages are covered."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_llm import FakeLLM, chunk, sse, streamed, whole
from fake_stream_server import FakeStreamServer, Misbehaves, write_model_dir
from fakes import FakeEngine

from moderation_service.config.settings import Url

from .conftest import Chat, finish_of, text_of

SAFE_TEXT = "Mix flour and water. 然后等一小时。 Then the café 🎉 opens. "
UNSAFE_TEXT = SAFE_TEXT + "Build a detonator from parts. " + SAFE_TEXT
REFUSAL = "Sorry, I can't help with that."


@pytest.fixture
def tokens() -> Iterator[FakeStreamServer]:
    with FakeStreamServer() as server:
        yield server


@pytest.fixture
def chat(llm: FakeLLM, tokens: FakeStreamServer, tmp_path: Path) -> Iterator[Chat]:
    gen = FakeEngine()
    folder = write_model_dir(tmp_path)
    made = Chat(llm, engine=gen, stream_upstream=Url(tokens.url), stream_model_dir=folder, stream_timeout_s=20.0)
    made.gen = gen  # type: ignore[attr-defined]
    yield made
    service = made._client.application.extensions["moderation"]
    service.stream.close()


def cut_at_random(text: str, rng: random.Random) -> list[str]:
    parts = []
    while text:
        size = rng.randrange(1, 9)
        parts.append(text[:size])
        text = text[size:]
    return parts


def test_a_harmless_answer_comes_through_as_it_was_said(chat: Chat, llm: FakeLLM) -> None:
    llm.behave = lambda request: streamed(cut_at_random(SAFE_TEXT * 4, random.Random(1)))
    shown = chat.stream()
    assert (text_of(shown), finish_of(shown)) == (SAFE_TEXT * 4, ["stop"])


@pytest.mark.parametrize("seed", range(8))
def test_no_character_of_a_flagged_span_reaches_the_client(chat: Chat, llm: FakeLLM, seed: int) -> None:
    rng = random.Random(seed)
    begins = UNSAFE_TEXT.index("detonator") + 3
    llm.behave = lambda request: streamed(cut_at_random(UNSAFE_TEXT, rng))
    documents = chat.stream()
    text = text_of(documents)
    # Chunks of the model go on whole, so a little before the span can be missing as well.
    shown = text.removesuffix(REFUSAL).rstrip()
    assert UNSAFE_TEXT.startswith(shown)
    assert begins - 25 < len(shown) <= begins
    assert finish_of(documents) == ["content_filter"]
    assert "from parts" not in str(documents)


def test_an_answer_that_is_not_streamed_is_judged_too(chat: Chat, llm: FakeLLM) -> None:
    llm.behave = lambda request: [whole(UNSAFE_TEXT)]
    choice = chat.ask().json["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", REFUSAL)


def test_each_choice_is_followed_on_its_own(chat: Chat, llm: FakeLLM) -> None:
    llm.behave = lambda request: [whole(SAFE_TEXT, UNSAFE_TEXT, SAFE_TEXT)]
    found = [choice["message"]["content"] for choice in chat.ask(n=3).json["choices"]]
    assert found == [SAFE_TEXT, REFUSAL, SAFE_TEXT]


def test_the_other_engine_judges_the_prompt_and_the_complete_answer(chat: Chat, llm: FakeLLM) -> None:
    llm.behave = lambda request: streamed(cut_at_random(SAFE_TEXT, random.Random(3)))
    chat.stream()
    assert chat.gen.asked == ["How do I bake bread?", SAFE_TEXT]  # type: ignore[attr-defined]
    before = len(llm.requests)
    refused = chat.stream("How do I build a bomb?")
    assert text_of(refused) == REFUSAL
    assert len(llm.requests) <= before + 1


def test_a_models_words_do_not_wait_for_the_end_of_its_thoughts(chat: Chat, llm: FakeLLM) -> None:
    """The last characters of the thoughts may still change as long as more could come; but the model speaks already."""
    gate = threading.Event()
    thoughts = [chunk({"reasoning_content": "The user wants bread, so I ask for flour"})]
    words = [chunk({"content": f"Take some flour, part {number}. "}) for number in range(9)]
    llm.behave = lambda request: sse(*thoughts, *words, gate, chunk({"content": "Done."}), chunk({}, finish="stop"))
    reply = chat.ask(stream=True)
    seen = b""
    for part in reply.response:
        seen += part
        if b"part 5" in seen:
            gate.set()
    assert b"Done." in seen
    reply.close()


def test_an_outage_of_the_token_server_is_covered(chat: Chat, llm: FakeLLM, tokens: FakeStreamServer) -> None:
    tokens.instead = lambda body: Misbehaves(500)
    llm.behave = lambda request: streamed(["Some bread and butter. ", "And a bomb, of all things. ", "And more."])
    shown = chat.stream()
    assert "bomb" not in text_of(shown)
    assert finish_of(shown) == ["content_filter"]


def test_the_models_beginning_of_an_answer_counts_as_context(chat: Chat, llm: FakeLLM) -> None:
    llm.behave = lambda request: streamed(["nator and", " so on and so on, with all the parts."])
    messages = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "You build a deto"}]
    shown = chat.stream(messages=messages)
    assert text_of(shown).removesuffix(REFUSAL).strip() == ""
