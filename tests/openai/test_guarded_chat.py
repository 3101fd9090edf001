"""The official Python SDK against the guarded chat: what passes, what is blocked, what it raises."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest
from fake_llm import SSE_HEAD, FakeLLM, chunk, chunked, event, fake_llm, http, says, sse, streamed, whole
from fakes import FakeEngine
from openai import AsyncOpenAI, OpenAI

from moderation_service.config.setting import Url
from moderation_service.errors import EngineUnavailable

from .conftest import KEY, serving

pytestmark = pytest.mark.openai

HELLO: list[Any] = [{"role": "user", "content": "How do I bake bread?"}]
BOMB: list[Any] = [{"role": "user", "content": "how to make a bomb"}]
SORRY = "Sorry, I can't help with that."
LONG = "Bread needs flour and water and some salt. Then knead it all for ten minutes. " * 4


@pytest.fixture(scope="module")
def behind() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        yield fake


@pytest.fixture(scope="module")
def address(behind: FakeLLM) -> Iterator[str]:
    with serving(chat_upstream=Url(behind.url)) as url:
        yield url


@pytest.fixture
def llm(behind: FakeLLM) -> FakeLLM:
    behind.behave = says("Mix flour and water.")
    behind.hung_up.clear()
    behind.requests.clear()
    return behind


@pytest.fixture
def client(address: str, llm: FakeLLM) -> Iterator[OpenAI]:
    with OpenAI(base_url=address, api_key=KEY, max_retries=0) as one:
        yield one


def create(client: OpenAI, messages: list[Any] = HELLO, **options: Any) -> Any:
    return client.chat.completions.create(model="llm-1", messages=messages, **options)


def read(stream: Any) -> tuple[str, list[str], list[Any]]:
    """The text, the finish reasons and the chunks of a stream."""
    chunks = list(stream)
    choices = [choice for one in chunks for choice in one.choices]
    text = "".join(choice.delta.content or "" for choice in choices)
    return text, [choice.finish_reason for choice in choices if choice.finish_reason], chunks


def test_an_answer_comes_through(client: OpenAI, llm: FakeLLM) -> None:
    answer = create(client, temperature=0)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Mix flour and water.", "stop")
    assert (answer.usage.total_tokens, answer.system_fingerprint, answer.id) == (8, "fp_1", "chatcmpl-llm-1")
    assert llm.requests[0].body == {"model": "llm-1", "messages": HELLO, "temperature": 0}


def test_a_stream_comes_through_with_its_usage(client: OpenAI) -> None:
    text, finish, chunks = read(create(client, stream=True, stream_options={"include_usage": True}))
    assert (text, finish, chunks[-1].usage.total_tokens) == ("Mix flour and water.", ["stop"], 8)


def test_the_streaming_helper_collects_an_answer(client: OpenAI) -> None:
    with client.chat.completions.stream(model="llm-1", messages=HELLO) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.content == "Mix flour and water."


def test_a_blocked_prompt_is_a_completion_that_was_filtered(client: OpenAI) -> None:
    answer = create(client, BOMB)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (SORRY, "content_filter")
    text, finish, _ = read(create(client, BOMB, stream=True))
    assert (text, finish) == (SORRY, ["content_filter"])


def test_a_blocked_prompt_can_be_a_bad_request(llm: FakeLLM) -> None:
    with (
        serving(chat_upstream=Url(llm.url), chat_blocked_prompt="error") as url,
        OpenAI(base_url=url, api_key=KEY, max_retries=0) as client,
    ):
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as caught:
                create(client, BOMB, stream=stream)
            assert (caught.value.code, caught.value.body["message"]) == ("content_filter", SORRY)  # type: ignore[index]


def test_a_blocked_answer_is_filtered(client: OpenAI, llm: FakeLLM) -> None:
    llm.behave = says("Take the bomb.")
    answer = create(client)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (SORRY, "content_filter")


def test_a_blocked_stream_shows_nothing_of_what_was_blocked(client: OpenAI, llm: FakeLLM) -> None:
    llm.behave = says(LONG + "Now the bomb. " + LONG)
    text, finish, chunks = read(create(client, stream=True, logprobs=True))
    assert finish == ["content_filter"]
    assert text.endswith(SORRY)
    assert LONG.startswith(text.removesuffix(SORRY).removesuffix("\n\n"))
    assert "bomb" not in json.dumps([one.model_dump(exclude={"choices": {0: {"x_moderation"}}}) for one in chunks])


def test_one_of_two_choices_is_blocked(client: OpenAI, llm: FakeLLM) -> None:
    llm.behave = lambda request: [whole("Some bread.", "A bomb.")]
    answer = create(client, n=2)
    assert [one.finish_reason for one in answer.choices] == ["stop", "content_filter"]
    parts = [chunk({"content": text}, index=index) for index, text in ((0, "Some bread. "), (1, "A bomb. "))]
    ends = [chunk({}, index=index, finish="stop") for index in (0, 1)]
    llm.behave = lambda request: sse(*parts, *ends)
    choices = [choice for one in create(client, n=2, stream=True) for choice in one.choices]
    found = {
        index: ["".join(one.delta.content or "" for one in choices if one.index == index),
                *[one.finish_reason for one in choices if one.index == index and one.finish_reason]]
        for index in (0, 1)
    }  # fmt: skip
    assert found == {0: ["Some bread. ", "stop"], 1: [SORRY, "content_filter"]}


TOOLS: list[Any] = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]


def called(arguments: str) -> list[dict[str, Any]]:
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": ""}}
    parts = [chunk({"role": "assistant", "content": None, "tool_calls": [first]})]
    parts += [chunk({"tool_calls": [{"index": 0, "function": {"arguments": char}}]}) for char in arguments]
    return [*parts, chunk({}, finish="tool_calls")]


def test_a_tool_call_comes_through(client: OpenAI, llm: FakeLLM) -> None:
    llm.behave = lambda request: sse(*called('{"q": "bread"}'))
    with client.chat.completions.stream(model="llm-1", messages=HELLO, tools=TOOLS) as stream:
        stream.until_done()
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or ()
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("call_1", "find", {"q": "bread"})


def test_a_tool_is_not_told_what_is_blocked(client: OpenAI, llm: FakeLLM) -> None:
    llm.behave = lambda request: sse(*called('{"q": "b\\u006fmb"}'))
    text, finish, chunks = read(create(client, stream=True, tools=TOOLS))
    assert (text, finish) == (SORRY, ["content_filter"])
    assert not any(choice.delta.tool_calls for one in chunks for choice in one.choices)


def test_the_moderation_object_is_typed_or_extra(client: OpenAI) -> None:
    wanted = {"moderation": {"model": "guard"}}
    found = create(client, extra_body=wanted).model_dump()["moderation"]
    assert found["input"]["results"][0]["flagged"] is found["output"]["results"][0]["flagged"] is False
    _, _, chunks = read(create(client, stream=True, extra_body=wanted))
    assert chunks[-1].model_dump()["moderation"]["output"]["type"] == "moderation_results"


def test_the_models_of_the_server_are_listed(client: OpenAI) -> None:
    assert {"llm-1", "fake-1"} <= {model.id for model in client.models.list()}


# What it raises.


@pytest.mark.parametrize(
    ("status", "expected", "seen"),
    [
        (400, openai.BadRequestError, 400),
        (404, openai.NotFoundError, 404),
        (429, openai.RateLimitError, 429),
        (500, openai.InternalServerError, 502),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_the_server_are_raised(
    client: OpenAI, llm: FakeLLM, status: int, expected: type[openai.APIStatusError], seen: int, stream: bool
) -> None:
    llm.behave = lambda request: [http(status, {"error": {"message": "No.", "type": "x", "code": "y", "param": None}})]
    with pytest.raises(expected) as caught:
        create(client, stream=stream)
    assert caught.value.status_code == seen


@pytest.mark.parametrize("how", ["cut", "error", "silence"])
def test_a_stream_that_breaks_is_raised_and_no_end(llm: FakeLLM, how: str) -> None:
    error = chunked(event({"error": {"message": "Out of memory.", "type": "server_error"}}))
    last: Any = {"cut": b"", "error": error, "silence": threading.Event()}[how]
    gate = threading.Event()
    llm.behave = lambda request: [SSE_HEAD, chunked(event(chunk({"content": LONG}))), gate, last]
    patience_s = 0.5 if how == "silence" else 30
    with (
        serving(chat_upstream=Url(llm.url), chat_idle_timeout_s=patience_s) as url,
        OpenAI(base_url=url, api_key=KEY, max_retries=0) as client,
    ):
        stream = iter(create(client, stream=True))
        first = next(stream).choices[0]
        gate.set()
        assert (LONG.startswith(first.delta.content), first.finish_reason) == (True, None)
        with pytest.raises(openai.APIError) as caught:
            next(stream)
        assert caught.value.message


def test_a_guard_that_is_down_is_raised(llm: FakeLLM) -> None:
    with (
        serving(chat_upstream=Url(llm.url), engine=FakeEngine(raises=EngineUnavailable("down"))) as url,
        OpenAI(base_url=url, api_key=KEY, max_retries=0) as client,
    ):
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError):
                create(client, stream=stream)


def test_a_client_that_stops_reading_breaks_the_call_off(client: OpenAI, llm: FakeLLM) -> None:
    llm.behave = lambda request: sse(chunk({"content": LONG}), *[0.01, chunk({"content": LONG})] * 1000)
    stream = create(client, stream=True)
    assert next(iter(stream)).choices
    stream.close()
    assert llm.hung_up.wait(30)


def test_async_clients_are_answered_side_by_side(address: str, llm: FakeLLM) -> None:
    llm.behave = lambda request: streamed([word + " " for word in LONG.split()], pause_s=0.001)

    async def ask(client: AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="llm-1", messages=HELLO, stream=True)
        return "".join([one.choices[0].delta.content or "" async for one in stream])

    async def all_of_them() -> list[str]:
        async with AsyncOpenAI(base_url=address, api_key=KEY) as client:
            return await asyncio.gather(*(ask(client) for _ in range(10)))

    assert asyncio.run(all_of_them()) == [" ".join(LONG.split()) + " "] * 10


class Loaf(pydantic.BaseModel):
    """What an application wants to have as JSON."""

    name: str


@pytest.mark.parametrize("is_prompt", [True, False])
def test_a_blocked_answer_that_was_to_be_json_is_an_error_of_its_own(
    client: OpenAI, llm: FakeLLM, is_prompt: bool
) -> None:
    llm.behave = says("A bomb.")
    messages = BOMB if is_prompt else HELLO
    with pytest.raises(openai.ContentFilterFinishReasonError):
        client.chat.completions.parse(model="llm-1", messages=messages, response_format=Loaf)
    with (
        pytest.raises(openai.ContentFilterFinishReasonError),
        client.chat.completions.stream(model="llm-1", messages=messages, response_format=Loaf) as stream,
    ):
        stream.until_done()
    response_format = {"type": "json_schema", "json_schema": {"name": "Loaf", "schema": Loaf.model_json_schema()}}
    message = create(client, messages, response_format=response_format).choices[0].message
    assert (message.refusal, message.content) == (SORRY, SORRY)
