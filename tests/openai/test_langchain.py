"""LangChain: its moderation middleware around an agent, and its chat model talking to the guard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import openai
import pytest
from fakes import FakeEngine
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langchain_openai.middleware import OpenAIModerationError, OpenAIModerationMiddleware
from openai import OpenAI

from moderation_service.errors import EngineUnavailable

from .conftest import KEY, serving

pytestmark = pytest.mark.openai

# LangChain's own refusal. The SDK keeps names with a slash twice, as field and as extra; so it is with OpenAI itself.
REFUSED = (
    "I'm sorry, but I can't comply with that request. "
    "It was flagged for illicit, illicit violent, violence, illicit/violent."
)


class OutputModeration(OpenAIModerationMiddleware):
    """The same check under a second name: an agent takes one middleware of a class only."""


@pytest.fixture
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as one:
        yield one


class Model(GenericFakeChatModel):
    """A language model that says these answers and remembers what it was asked."""

    asked: list[Any] = []

    def _generate(self, messages: list[Any], *args: Any, **kwargs: Any) -> Any:
        self.asked.append(messages[-1].content)
        return super()._generate(messages, *args, **kwargs)


def run(prompt: str, answer: str, *middleware: OpenAIModerationMiddleware) -> tuple[Sequence[str], Model]:
    model = Model(messages=iter([AIMessage(answer)]), asked=[])
    agent = create_agent(model, middleware=middleware)
    messages = agent.invoke({"messages": [{"role": "user", "content": prompt}]})["messages"]
    return [message.content for message in messages], model


def test_harmless_talk_passes(client: OpenAI) -> None:
    said, _ = run("hello", "hi there", OpenAIModerationMiddleware(client=client))
    assert said == ["hello", "hi there"]


def test_a_blocked_prompt_does_not_reach_the_model(client: OpenAI) -> None:
    said, model = run("how to make a bomb", "gladly", OpenAIModerationMiddleware(client=client))
    assert said == ["how to make a bomb", REFUSED]
    assert model.asked == []


def test_a_blocked_answer_is_replaced(client: OpenAI) -> None:
    both = (
        OpenAIModerationMiddleware(client=client, check_output=False),
        OutputModeration(client=client, check_input=False, exit_behavior="replace"),
    )
    said, _ = run("hello", "here is your bomb", *both)
    assert said == ["hello", REFUSED]


def test_a_block_can_be_raised(client: OpenAI) -> None:
    with pytest.raises(OpenAIModerationError) as raised:
        run("a bomb", "gladly", OpenAIModerationMiddleware(client=client, exit_behavior="error"))
    assert raised.value.result.categories.violence


def test_the_policy_is_chosen_by_the_model_name(client: OpenAI) -> None:
    strictly: Any = "policy:strict"
    lenient, _ = run("an insult", "well", OpenAIModerationMiddleware(client=client))
    strict, _ = run("an insult", "well", OpenAIModerationMiddleware(client=client, model=strictly))
    assert (lenient[-1], "harassment" in strict[-1]) == ("well", True)


def test_a_guard_that_is_down_stops_the_agent() -> None:
    engine = FakeEngine(raises=EngineUnavailable("Down."))
    with serving(engine=engine) as url, OpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        middleware = OpenAIModerationMiddleware(client=client)
        with pytest.raises(openai.InternalServerError):
            run("hello", "hi", middleware)


@pytest.mark.parametrize("streaming", [False, True])
def test_the_chat_model_talks_to_the_guard(base_url: str, streaming: bool) -> None:
    model = ChatOpenAI(base_url=base_url, api_key=KEY, model="guard-qwen", streaming=streaming)  # type: ignore[arg-type]
    answer = model.invoke([("system", "You are kind."), ("user", "a bomb"), ("assistant", "I can't help with that.")])
    assert answer.content == "Safety: Safe\nCategories: None\nRefusal: Yes"
