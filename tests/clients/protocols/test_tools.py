"""Loops of tools through a guarded model: the Anthropic SDK's runner, the Agents SDK, pydantic-ai."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import agents
import anthropic
import fake_messages
import fake_responses
import openai
import pytest
from anthropic import beta_tool
from doors_models import HELLO
from fake_llm import FakeLLM, Request, Step, fake_llm

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


def calls(llm: FakeLLM, turns: int = TURNS) -> None:
    """The model calls the tool so many times, each with the number of results that it has seen, and then answers."""

    def behave(request: Request) -> Iterable[Step]:
        is_messages = request.path.endswith("/messages")
        seen = _results(request.body["messages" if is_messages else "input"])
        if is_messages:
            block = fake_messages.tool_use({"number": seen}, tool="double", name=f"toolu_{seen}")
            said = block if seen < turns else fake_messages.text("All done.")
            stop = "tool_use" if seen < turns else "end_turn"
            if request.body.get("stream"):
                return fake_responses.stream_of(fake_messages.events_of(said))
            return [fake_messages.whole_of(said, stop=stop)]
        item = fake_responses.call(f'{{"number": {seen}}}', tool="double", name=f"fc_{seen}")
        items = item if seen < turns else fake_responses.message("All done.")
        if request.body.get("stream"):
            return fake_responses.stream_of(fake_responses.events_of(items))
        return [fake_responses.whole_of(items)]

    llm.behave = behave


def _results(turns: Any) -> int:
    if not isinstance(turns, list):
        return 0
    blocks = [
        block for turn in turns for block in (turn.get("content") if isinstance(turn.get("content"), list) else [])
    ]
    return sum(one.get("type") in ("tool_result", "function_call_output") for one in [*turns, *blocks])


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
    assert last.content[0].text == "All done."
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
    assert (result.final_output, told) == ("All done.", list(range(TURNS)))


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
