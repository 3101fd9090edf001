"""A fake chat model behind the service, and ways to talk to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from apps import make_client
from fake_llm import FakeLLM, fake_llm

from moderation_service.config.setting import Url

HELLO = [{"role": "user", "content": "How do I bake bread?"}]


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with fake_llm() as fake:
        yield fake


class Chat:
    """A client of the service in front of a fake model."""

    def __init__(self, llm: FakeLLM, **settings: Any) -> None:
        self.llm = llm
        self._client = make_client(chat_upstream=Url(llm.url), **settings)

    def ask(
        self, content: object = None, *, headers: dict[str, str] | None = None, client: Any = None, **body: Any
    ) -> Any:
        """One request; its reply as it comes. `client` is the connection that it came on."""
        messages = HELLO if content is None else [{"role": "user", "content": content}]
        whole = {"model": "llm-1", "messages": messages, **body}
        environ = {} if client is None else {"werkzeug.socket": client}
        return self._client.post("/v1/chat/completions", json=whole, headers=headers, environ_overrides=environ)

    def get(self, path: str, **options: Any) -> Any:
        return self._client.get(path, **options)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._client.post(path, json=body)

    def stream(self, content: object = None, **body: Any) -> list[Any]:
        """The documents of a streamed reply; the end mark is a text."""
        return events(self.ask(content, stream=True, **body))


def events(reply: Any) -> list[Any]:
    assert reply.status_code == 200, reply.json
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    *frames, rest = reply.get_data(as_text=True).split("\n\n")
    reply.close()
    assert rest == ""
    found = [frame.removeprefix("data: ") for frame in frames if not frame.startswith(":")]
    return [data if data == "[DONE]" else json.loads(data) for data in found]


def documents_or_error(reply: Any) -> list[Any]:
    """The same; an error that came before anything was shown is a status, and one document here."""
    return events(reply) if reply.status_code == 200 else [reply.json]


def text_of(documents: list[Any], *, index: int = 0, key: str = "content") -> str:
    """What a client shows of one choice."""
    choices = [one for document in documents if document != "[DONE]" for one in document.get("choices") or []]
    return "".join(one["delta"].get(key) or "" for one in choices if one["index"] == index)


def finish_of(documents: list[Any], *, index: int = 0) -> list[str]:
    choices = [one for document in documents if document != "[DONE]" for one in document.get("choices") or []]
    return [one["finish_reason"] for one in choices if one["index"] == index and one["finish_reason"]]


@pytest.fixture
def chat(llm: FakeLLM) -> Chat:
    return Chat(llm)
