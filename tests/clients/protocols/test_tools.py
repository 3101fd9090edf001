"""Loops of tools through a guarded model: the Anthropic SDK's runner, the Agents SDK, pydantic-ai."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import agents
import anthropic
import fake_messages
import openai
import pytest
from anthropic import beta_tool
from doors_models import DONE, HELLO, calls_everywhere
from fake_llm import FakeLLM, fake_llm

from moderation_service.config.setting import Url

from ..conftest import KEY

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("default")]
TURNS = 32


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        yield fake


@pytest.fixture
def base(llm: FakeLLM, serve: Callable[..., str]) -> str:
    return serve(chat_upstream=Url(llm.url))


def calls(llm: FakeLLM) -> None:
    """The model calls the tool so many times, each with the number of results that it has seen, and then answers."""
    calls_everywhere(llm, "double", lambda seen: {"number": seen}, turns=TURNS)


def test_the_tool_runner_goes_on_for_a_long_loop(base: str, llm: FakeLLM) -> None:
    calls(llm)
    told: list[int] = []

    @beta_tool
    def double(number: int) -> str:
        """Twice a number."""
        told.append(number)
        return str(2 * number)

    client = anthropic.Anthropic(base_url=base, api_key=KEY, max_retries=0)
    runner = client.beta.messages.tool_runner(
        model="llm-1", max_tokens=64, tools=[double], messages=[{"role": "user", "content": HELLO}]
    )
    last = runner.until_done()
    assert last.content[0].text == DONE
    assert told == list(range(TURNS))
    assert len(llm.requests[-1].body["messages"]) == 2 * TURNS + 1


def test_an_agent_goes_on_for_a_long_loop(base: str, llm: FakeLLM) -> None:
    calls(llm)
    told: list[int] = []

    @agents.function_tool
    def double(number: int) -> str:
        """Twice a number."""
        told.append(number)
        return str(2 * number)

    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0)
    agents.set_default_openai_client(client, use_for_tracing=False)
    agent = agents.Agent(name="baker", model="llm-1", tools=[double])
    result = asyncio.run(agents.Runner.run(agent, HELLO, max_turns=TURNS + 2))
    assert (result.final_output, told) == (DONE, list(range(TURNS)))


def test_a_call_with_harm_in_it_is_never_carried_out(base: str, llm: FakeLLM) -> None:
    told: list[str] = []

    @beta_tool
    def find(q: str) -> str:
        """Find something."""
        told.append(q)
        return "found"

    llm.behave = lambda request: [fake_messages.whole_of(fake_messages.tool_use({"q": "a bomb"}), stop="tool_use")]
    client = anthropic.Anthropic(base_url=base, api_key=KEY, max_retries=0)
    runner = client.beta.messages.tool_runner(
        model="llm-1", max_tokens=64, tools=[find], messages=[{"role": "user", "content": HELLO}]
    )
    assert runner.until_done().stop_reason == "refusal"
    assert told == []
