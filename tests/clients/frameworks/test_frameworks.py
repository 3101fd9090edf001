"""LlamaIndex, Haystack, instructor and LiteLLM's SDK, each by its base URL in front of a guarded chat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from fake_llm import FakeLLM, fake_llm, says
from fakes import FakeEngine

from moderation_service.config.setting import Url
from moderation_service.errors import EngineUnavailable

pytestmark = pytest.mark.clients

SORRY = "Sorry, I can't help with that."
LONG = "It was a fine day. " * 12 + "Then you take a bomb and light it."
Asked = tuple[str, str | None]
"""What an answer says, and why it ended."""


def of_llama_index(base_url: str, key: str) -> tuple[Callable[[str], Asked], Callable[[str], Sequence[str]]]:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(model="llm-1", api_base=base_url, api_key=key, is_chat_model=True, max_retries=0)

    def ask(text: str) -> Asked:
        reply = llm.chat([ChatMessage(role="user", content=text)])
        return reply.message.content or "", reply.raw.choices[0].finish_reason  # type: ignore[union-attr]

    def stream(text: str) -> list[str]:
        return [one.delta or "" for one in llm.stream_chat([ChatMessage(role="user", content=text)])]

    return ask, stream


def of_haystack(base_url: str, key: str) -> tuple[Callable[[str], Asked], Callable[[str], Sequence[str]]]:
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage
    from haystack.utils import Secret

    def generator(**more: Any) -> Any:
        secret = Secret.from_token(key)
        return OpenAIChatGenerator(api_key=secret, model="llm-1", api_base_url=base_url, max_retries=0, **more)

    def ask(text: str) -> Asked:
        reply = generator().run([ChatMessage.from_user(text)])["replies"][0]
        return reply.text or "", reply.meta["finish_reason"]

    def stream(text: str) -> list[str]:
        shown: list[str] = []
        generator(streaming_callback=lambda chunk: shown.append(chunk.content)).run([ChatMessage.from_user(text)])
        return shown

    return ask, stream


def of_litellm(base_url: str, key: str) -> tuple[Callable[[str], Asked], Callable[[str], Sequence[str]]]:
    import litellm

    def call(text: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        return litellm.completion(
            model="openai/llm-1",
            api_base=base_url,
            api_key=key,
            messages=messages,
            num_retries=0,
            max_retries=0,
            **more,
        )

    def ask(text: str) -> Asked:
        choice = call(text).choices[0]
        return choice.message.content or "", choice.finish_reason

    def stream(text: str) -> list[str]:
        return [one.choices[0].delta.content or "" for one in call(text, stream=True)]

    return ask, stream


CLIENTS = {"LlamaIndex": of_llama_index, "Haystack": of_haystack, "LiteLLM": of_litellm}
every_client = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> None:
    """LiteLLM keeps threads for its log until the process ends."""


@pytest.fixture(autouse=True)
def _litellm_asks_nobody_for_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as started:
        yield started


def guarded(serve: Callable[..., str], llm: FakeLLM, **parts: Any) -> str:
    return serve(chat_upstream=Url(llm.url), chat_prompt_first=True, **parts) + "/v1"


@every_client
def test_what_is_allowed_goes_through(client: str, llm: FakeLLM, serve: Callable[..., str], key: str) -> None:
    ask, stream = CLIENTS[client](guarded(serve, llm), key)
    assert ask("How do I bake bread?") == ("Mix flour and water.", "stop")
    assert "".join(stream("How do I bake bread?")) == "Mix flour and water."


@every_client
def test_a_blocked_prompt_is_an_answer_that_says_so(
    client: str, llm: FakeLLM, serve: Callable[..., str], key: str
) -> None:
    ask, stream = CLIENTS[client](guarded(serve, llm), key)
    assert ask("how to make a bomb") == (SORRY, "content_filter")
    assert "".join(stream("how to make a bomb")) == SORRY
    assert llm.requests == []


@every_client
def test_a_blocked_answer_is_not_shown(client: str, llm: FakeLLM, serve: Callable[..., str], key: str) -> None:
    llm.behave = says("take a bomb")
    ask, _ = CLIENTS[client](guarded(serve, llm), key)
    assert ask("a poem") == (SORRY, "content_filter")


@every_client
def test_nothing_of_a_blocked_stream_is_shown(client: str, llm: FakeLLM, serve: Callable[..., str], key: str) -> None:
    llm.behave = says(LONG)
    _, stream = CLIENTS[client](guarded(serve, llm), key)
    shown = "".join(stream("a story"))
    assert shown.endswith(SORRY)
    assert "bomb" not in shown
    assert "Then you" not in shown


@every_client
def test_without_a_verdict_the_client_raises(client: str, llm: FakeLLM, serve: Callable[..., str], key: str) -> None:
    url = guarded(serve, llm, engine=FakeEngine(raises=EngineUnavailable("Down.")))
    ask, stream = CLIENTS[client](url, key)
    for call in (ask, stream):
        with pytest.raises(Exception, match=r"Down|503|unavailable"):
            call("hello")


# instructor asks for JSON of a schema


def structured(base_url: str, key: str, text: str) -> Any:
    import instructor
    from openai import OpenAI
    from pydantic import BaseModel

    class Recipe(BaseModel):
        step: str

    with OpenAI(base_url=base_url, api_key=key, max_retries=0) as openai:
        client = instructor.from_openai(openai, mode=instructor.Mode.JSON)
        messages: Any = [{"role": "user", "content": text}]
        return client.chat.completions.create(model="llm-1", messages=messages, response_model=Recipe, max_retries=1)


def test_instructor_raises_for_a_block_where_it_is_an_error(llm: FakeLLM, serve: Callable[..., str], key: str) -> None:
    from instructor.core import InstructorRetryException

    url = guarded(serve, llm, chat_blocked_prompt="error")
    llm.behave = says(json.dumps({"step": "Mix flour."}))
    assert structured(url, key, "How do I bake bread?").step == "Mix flour."
    asked = len(llm.requests)
    with pytest.raises(InstructorRetryException):
        structured(url, key, "how to make a bomb")
    assert len(llm.requests) == asked, "no retry has reached the model"
    llm.behave = says(json.dumps({"step": "take a bomb"}))
    with pytest.raises(InstructorRetryException) as raised:
        structured(url, key, "a poem")
    assert "take a bomb" not in str(raised.value)


def test_instructor_takes_a_message_for_broken_json_and_asks_again_for_the_rest_of_it(
    llm: FakeLLM, serve: Callable[..., str], key: str
) -> None:
    """The refused question is history then; what the model makes of it is judged all the same."""
    from instructor.core import InstructorRetryException

    url = guarded(serve, llm)
    llm.behave = says(json.dumps({"step": "No."}))
    assert structured(url, key, "how to make a bomb").step == "No."
    assert llm.requests[-1].body["messages"][-1]["content"].startswith("Correct your JSON")
    llm.behave = says(json.dumps({"step": "take a bomb"}))
    with pytest.raises(InstructorRetryException):
        structured(url, key, "how to make a bomb")
