"""The guarded chat, replies that are not streamed."""

from __future__ import annotations

from .conftest import Chat


def test_an_answer_goes_through_as_it_is(chat: Chat) -> None:
    reply = chat.ask()
    assert reply.status_code == 200, reply.json
    print(reply.json)
    print(chat.stream())
