"""The connections to the chat model's server: used again where that is safe, and never at the price of an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from fake_llm import SSE_END, SSE_HEAD, FakeLLM, Step, chunk, chunked, event, http, says, sse, whole

from moderation_service.upstream import connections

from .conftest import Chat, documents_or_error, text_of


@pytest.fixture
def kept(llm: FakeLLM) -> FakeLLM:
    """A server that keeps its connections open."""
    llm.keeps_open = True
    return llm


def in_turn(*replies: Iterable[Step]) -> Callable[[object], Iterable[Step]]:
    """A model that gives these replies, one after the other."""
    left = iter(replies)
    return lambda request: next(left)


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_is_used_again(kept: FakeLLM, stream: bool) -> None:
    chat = Chat(kept)
    for _ in range(3):
        assert "flour" in chat.ask(stream=stream).get_data(as_text=True)
        assert chat.get("/v1/models").status_code == 200
    assert (kept.connections, len(kept.requests)) == (1, 6)


def test_also_after_a_refusal(kept: FakeLLM) -> None:
    kept.behave = in_turn([http(429, {"error": {"message": "slow down"}})], [whole("Yes.")])
    chat = Chat(kept)
    assert [chat.ask().status_code for _ in range(2)] == [429, 200]
    assert kept.connections == 1


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_stream_is_over_with_its_end_mark_and_its_last_chunk_may_come_later(kept: FakeLLM, has_ended: bool) -> None:
    gate, ended = threading.Event(), threading.Event()

    def behave(request: Any) -> Iterable[Step]:
        yield from (SSE_HEAD, chunked(event(chunk({"content": "Yes."}, finish="stop"))), chunked(event("[DONE]")))
        yield gate
        yield SSE_END
        ended.set()

    kept.behave = behave
    chat = Chat(kept)
    assert text_of(chat.stream()) == "Yes."
    if has_ended:
        gate.set()
        assert ended.wait(30)
    assert text_of(chat.stream()) == "Yes."
    gate.set()
    assert kept.connections == (1 if has_ended else 2)


@pytest.mark.parametrize(
    "reply",
    [
        whole("Yes.").replace(b"Content-Type", b"Connection: close\r\nContent-Type"),
        whole("Yes.").replace(b"HTTP/1.1", b"HTTP/1.0"),
        whole("Yes.") + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nNo",
    ],
)
def test_a_connection_with_which_something_is_odd_is_not_used_again(kept: FakeLLM, reply: bytes) -> None:
    kept.behave = in_turn([reply], [whole("No.")])
    chat = Chat(kept)
    texts = [chat.ask().json["choices"][0]["message"]["content"] for _ in range(2)]
    assert (texts, kept.connections) == (["Yes.", "No."], 2)


def test_a_stream_that_is_broken_off_is_the_last_on_its_connection(kept: FakeLLM) -> None:
    kept.behave = lambda request: sse(chunk({"content": "x" * 100 + ". "}), threading.Event())
    chat = Chat(kept)
    for number in (1, 2):
        kept.hung_up.clear()
        reply = chat.ask(stream=True)
        assert next(reply.response)
        reply.close()
        assert kept.hung_up.wait(30)
        assert kept.connections == number


@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_hung_up_on_an_idle_connection_costs_no_answer(kept: FakeLLM, stream: bool) -> None:
    answer = says("Mix flour and water.")
    # The second request meets a server that closes without a word.
    kept.behave = lambda request: [] if len(kept.requests) == 2 else answer(request)
    chat = Chat(kept)
    for number in (1, 2):
        assert "flour" in chat.ask(f"hello {number}", stream=stream).get_data(as_text=True)
    asked = [one.body["messages"][0]["content"] for one in kept.requests]
    assert (asked, kept.connections) == (["hello 1", "hello 2", "hello 2"], 2)


def error_of(reply: Any) -> str:
    return str(documents_or_error(reply)[-1]["error"]["code"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_new_connection_that_is_closed_without_a_word_is_an_error(kept: FakeLLM, stream: bool) -> None:
    kept.behave = lambda request: []
    assert error_of(Chat(kept).ask(stream=stream)) == "chat_model_error"
    assert len(kept.requests) == 1


def test_a_question_is_repeated_once_only(kept: FakeLLM) -> None:
    kept.behave = in_turn([whole("Yes.")], [], [], [whole("No.")])
    chat = Chat(kept)
    chat.ask()
    assert error_of(chat.ask()) == "chat_model_error"
    assert len(kept.requests) == 3


def test_what_was_answered_in_part_is_not_asked_again(kept: FakeLLM) -> None:
    def behave(request: Any) -> Iterable[Step]:
        yield whole("Yes.") if len(kept.requests) == 1 else b"HTTP/1.1 200 OK\r\n"
        kept.keeps_open = len(kept.requests) == 1

    kept.behave = behave
    chat = Chat(kept)
    chat.ask()
    assert error_of(chat.ask()) == "chat_model_error"
    assert len(kept.requests) == 2


def test_what_breaks_later_may_have_been_under_way_and_is_not_asked_again(
    kept: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_STALE_WITHIN_S", 0.0)
    kept.behave = in_turn([whole("Yes.")], [])
    chat = Chat(kept)
    chat.ask()
    assert error_of(chat.ask()) == "chat_model_error"
    assert len(kept.requests) == 2
