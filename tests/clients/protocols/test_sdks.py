"""Clients of Responses and Messages against a guarded model: each with its defaults, and another base URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import agents
import anthropic
import openai
import pytest
from doors_models import BOMB, BREAD, HARMFUL, HELLO, SORRY, says_everywhere
from fake_llm import FakeLLM, fake_llm
from fakes import FakeEngine
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from moderation_service.config.setting import Url
from moderation_service.errors import EngineUnavailable

from ..conftest import KEY

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("default")]

Told = tuple[str, str | None]
"""The text that a program has, and what tells it that something was blocked."""


@dataclass(frozen=True)
class Client:
    ask: Callable[[str, str], Told]
    stream: Callable[[str, str], Iterator[str]]
    blocked: str
    errors: tuple[type[Exception], ...]


def _openai(base: str) -> Any:
    return openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0)


def openai_ask(base: str, prompt: str) -> Told:
    reply = _openai(base).responses.create(model="llm-1", input=prompt)
    return reply.output_text, reply.incomplete_details.reason if reply.incomplete_details else None


def openai_stream(base: str, prompt: str) -> Iterator[str]:
    for event in _openai(base).responses.create(model="llm-1", input=prompt, stream=True):
        if event.type == "response.output_text.delta":
            yield event.delta


def _anthropic(base: str) -> Any:
    return anthropic.Anthropic(base_url=base, api_key=KEY, max_retries=0)


def anthropic_ask(base: str, prompt: str) -> Told:
    asked: list[Any] = [{"role": "user", "content": prompt}]
    reply = _anthropic(base).messages.create(model="llm-1", max_tokens=64, messages=asked)
    return reply.content[-1].text, reply.stop_details.category if reply.stop_reason == "refusal" else None


def anthropic_stream(base: str, prompt: str) -> Iterator[str]:
    asked: list[Any] = [{"role": "user", "content": prompt}]
    with _anthropic(base).messages.stream(model="llm-1", max_tokens=64, messages=asked) as stream:
        yield from stream.text_stream
        stream.get_final_message()


def _pydantic(base: str, kind: str) -> Any:
    if kind == "openai":
        return Agent(OpenAIResponsesModel("llm-1", provider=OpenAIProvider(base_url=f"{base}/v1", api_key=KEY)))
    return Agent(AnthropicModel("llm-1", provider=AnthropicProvider(base_url=base, api_key=KEY)))


def pydantic_ask(kind: str) -> Callable[[str, str], Told]:
    def ask(base: str, prompt: str) -> Told:
        result = asyncio.run(_pydantic(base, kind).run(prompt))
        return result.output, None if result.response.finish_reason == "stop" else result.response.finish_reason

    return ask


def pydantic_stream(kind: str) -> Callable[[str, str], Iterator[str]]:
    def stream(base: str, prompt: str) -> Iterator[str]:
        async def run() -> list[str]:
            async with _pydantic(base, kind).run_stream(prompt) as result:
                return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

        yield from asyncio.run(run())

    return stream


def _langchain(base: str, kind: str) -> Any:
    if kind == "openai":
        return ChatOpenAI(model="llm-1", base_url=f"{base}/v1", api_key=KEY, max_retries=0, use_responses_api=True)
    return ChatAnthropic(model_name="llm-1", base_url=base, api_key=KEY, max_retries=0)  # type: ignore[call-arg]


def langchain_ask(kind: str) -> Callable[[str, str], Told]:
    def ask(base: str, prompt: str) -> Told:
        reply = _langchain(base, kind).invoke(prompt)
        told = reply.response_metadata
        if kind == "openai":
            return str(reply.text), (told.get("incomplete_details") or {}).get("reason")
        return str(reply.text), told["stop_reason"] if told["stop_reason"] == "refusal" else None

    return ask


def langchain_stream(kind: str) -> Callable[[str, str], Iterator[str]]:
    def stream(base: str, prompt: str) -> Iterator[str]:
        for chunk in _langchain(base, kind).stream(prompt):
            yield str(chunk.text)

    return stream


CLIENTS = {
    "openai": Client(openai_ask, openai_stream, "content_filter", (openai.APIError,)),
    "anthropic": Client(anthropic_ask, anthropic_stream, "violent", (anthropic.APIError,)),
    "pydantic-ai openai": Client(pydantic_ask("openai"), pydantic_stream("openai"), "content_filter", (Exception,)),
    "pydantic-ai anthropic": Client(
        pydantic_ask("anthropic"), pydantic_stream("anthropic"), "content_filter", (Exception,)
    ),
    "langchain openai": Client(langchain_ask("openai"), langchain_stream("openai"), "content_filter", (Exception,)),
    "langchain anthropic": Client(langchain_ask("anthropic"), langchain_stream("anthropic"), "refusal", (Exception,)),
}
each_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        says_everywhere(fake, BREAD)
        yield fake


@pytest.fixture
def base(llm: FakeLLM, serve: Callable[..., str]) -> str:
    return serve(chat_upstream=Url(llm.url))


@each_client
def test_what_is_allowed_passes_whole_and_streamed(client: Client, base: str) -> None:
    assert client.ask(base, HELLO) == (BREAD, None)
    assert "".join(client.stream(base, HELLO)) == BREAD


@each_client
def test_a_blocked_prompt_is_told_by_text_and_reason(client: Client, base: str) -> None:
    assert client.ask(base, BOMB) == (SORRY, client.blocked)
    assert "".join(client.stream(base, BOMB)) == SORRY


@each_client
def test_a_blocked_answer_is_told_by_text_and_reason(client: Client, llm: FakeLLM, base: str) -> None:
    says_everywhere(llm, HARMFUL)
    assert client.ask(base, HELLO) == (SORRY, client.blocked)


@each_client
@pytest.mark.parametrize("size", [1, 5])
def test_a_stream_shows_nothing_of_what_is_blocked(client: Client, llm: FakeLLM, base: str, size: int) -> None:
    says_everywhere(llm, HARMFUL, size=size, pause_s=0.1)
    shown = "".join(client.stream(base, HELLO))
    assert shown.endswith(SORRY)
    said = shown.removesuffix(SORRY).removesuffix("\n\n")
    assert HARMFUL.startswith(said)
    assert "Now take the b" not in said


@each_client
def test_without_a_verdict_it_is_an_error(client: Client, llm: FakeLLM, serve: Callable[..., str]) -> None:
    down = FakeEngine(raises=EngineUnavailable("down"))
    base = serve(chat_upstream=Url(llm.url), engine=down, fallback=FakeEngine(raises=EngineUnavailable("down")))
    for ask in (client.ask, lambda base, prompt: list(client.stream(base, prompt))):
        with pytest.raises(client.errors) as error:
            ask(base, HELLO)
        assert "flour" not in str(error.value)


# The Agents SDK, which takes an answer that was cut short for an error.


def agent(base: str) -> agents.Agent:
    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0)
    agents.set_default_openai_client(client, use_for_tracing=False)
    return agents.Agent(name="baker", model="llm-1")


def streamed(base: str, prompt: str) -> str:
    shown: list[str] = []

    async def run() -> None:
        result = agents.Runner.run_streamed(agent(base), prompt)
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                shown.append(event.data.delta)

    try:
        asyncio.run(run())
    except agents.exceptions.ModelBehaviorError:
        shown.append(" ModelBehaviorError")
    return "".join(shown)


def test_agents_pass_with_the_default_model_class(base: str) -> None:
    assert asyncio.run(agents.Runner.run(agent(base), HELLO)).final_output == BREAD
    assert streamed(base, HELLO) == BREAD


def test_agents_raise_when_something_is_blocked(base: str, llm: FakeLLM) -> None:
    with pytest.raises(agents.exceptions.ModelBehaviorError):
        asyncio.run(agents.Runner.run(agent(base), BOMB))
    says_everywhere(llm, HARMFUL)
    shown = streamed(base, HELLO)
    assert shown.endswith(f"{SORRY} ModelBehaviorError")
    assert "bomb" not in shown


def test_agents_show_the_message_where_a_blocked_answer_ends_as_completed(
    llm: FakeLLM, serve: Callable[..., str]
) -> None:
    base = serve(chat_upstream=Url(llm.url), responses_blocked="completed")
    assert asyncio.run(agents.Runner.run(agent(base), BOMB)).final_output == SORRY
    says_everywhere(llm, HARMFUL)
    assert asyncio.run(agents.Runner.run(agent(base), HELLO)).final_output == SORRY
    assert "bomb" not in streamed(base, HELLO)


def test_agents_go_on_by_reference(base: str, llm: FakeLLM) -> None:
    first = asyncio.run(agents.Runner.run(agent(base), HELLO))
    second = asyncio.run(agents.Runner.run(agent(base), "With salt?", previous_response_id=first.last_response_id))
    assert second.final_output == BREAD
    assert len(llm.requests[-1].body["input"]) == 3


# How a block looks elsewhere.


def test_the_openai_sdks_own_stream_shows_the_text_and_then_raises(base: str, llm: FakeLLM) -> None:
    says_everywhere(llm, HARMFUL)
    shown: list[str] = []
    with _openai(base).responses.stream(model="llm-1", input=HELLO) as stream:
        shown += [event.delta for event in stream if event.type == "response.output_text.delta"]
        with pytest.raises(RuntimeError):
            stream.get_final_response()
    assert "".join(shown).endswith(SORRY)


def test_our_decision_is_in_the_reply(base: str) -> None:
    reply = _openai(base).responses.create(model="llm-1", input=BOMB)
    assert reply.model_extra["x_moderation"]["categories"] == ["violent"]
    asked: list[Any] = [{"role": "user", "content": BOMB}]
    message = _anthropic(base).messages.create(model="llm-1", max_tokens=9, messages=asked)
    assert message.stop_details.model_extra["x_moderation"]["categories"] == ["violent"]


def test_anthropics_errors_are_the_sdks_own(base: str) -> None:
    client = anthropic.Anthropic(base_url=base, api_key="not-a-key-of-ours", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        client.messages.create(model="llm-1", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(anthropic.BadRequestError, match="container"):
        _anthropic(base).messages.create(
            model="llm-1", max_tokens=9, messages=[{"role": "user", "content": "Hi"}], extra_body={"container": "c"}
        )
