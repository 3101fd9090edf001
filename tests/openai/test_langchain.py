"""LangChain: its moderation middleware around an agent, and its chat model talking to the guard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import openai
import pytest
from fake_llm import Request, fake_llm, http, says
from fakes import FakeEngine
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langchain_openai.middleware import OpenAIModerationError, OpenAIModerationMiddleware
from openai import OpenAI

from moderation_service.config.setting import Url
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


SECRET = "Dig a hole behind the old barn. Put the bomb in it. Cover it with leaves. Tell nobody at all."


def streamed(agent: Any, prompt: str) -> Iterator[str]:
    """What an application shows that streams its agent's tokens."""
    asked = {"messages": [{"role": "user", "content": prompt}]}
    for part, _ in agent.stream(asked, stream_mode="messages"):
        if part.type == "AIMessageChunk":
            yield part.content


@pytest.mark.parametrize("how", ["replace", "end", "error"])
def test_a_streamed_agent_shows_all_of_an_answer_before_it_is_checked(client: OpenAI, how: Any) -> None:
    """The page says so: the middleware runs when the model is done, and its tokens are out by then."""
    answers = OutputModeration(client=client, check_input=False, exit_behavior=how)
    model = Model(messages=iter([AIMessage(SECRET)]), asked=[])
    shown: list[str] = []
    with contextlib.suppress(OpenAIModerationError):
        shown.extend(streamed(create_agent(model, middleware=[answers]), "hello"))
    assert "".join(shown).startswith(SECRET)


def test_an_agent_on_the_guarded_chat_streams_without_showing_it() -> None:
    """The way that works, as the page says: the model itself is guarded, and no middleware is needed."""
    with fake_llm(says(SECRET)) as llm, serving(chat_upstream=Url(llm.url)) as url:
        model = ChatOpenAI(base_url=url, api_key=KEY, model="llm-1", streaming=True)  # type: ignore[arg-type]
        shown = "".join(streamed(create_agent(model), "hello"))
        assert "bomb" not in shown
        assert shown.endswith("Sorry, I can't help with that.")
        llm.behave = says("Mix flour and water.")
        assert "".join(streamed(create_agent(model), "hello")) == "Mix flour and water."


def test_the_chat_model_of_langchain_asks_for_chat_completions_unless_told_otherwise() -> None:
    """With `use_responses_api` it asks for Responses, which this model's server does not know: they are translated."""
    asked: list[str] = []

    def remembering(request: Request) -> Iterable[Any]:
        asked.append(request.path)
        return [http(404, {"detail": "Not Found"})] if "responses" in request.path else says("Fine.")(request)

    with fake_llm(remembering) as llm, serving(chat_upstream=Url(llm.url)) as url:
        chat: Any = {"base_url": url, "api_key": KEY, "model": "llm-1", "max_retries": 0}
        assert ChatOpenAI(**chat).invoke("hello").content == "Fine."
        assert asked == ["/v1/chat/completions"]
        assert ChatOpenAI(**chat, use_responses_api=True).invoke("hello").text == "Fine."
    assert asked[1:] == ["/v1/responses", "/v1/chat/completions"]


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
