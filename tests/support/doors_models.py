"""A model's server that speaks Responses and Messages, for clients of both, and what they are asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import fake_messages
import fake_responses
from fake_llm import FakeLLM, Request, Step

__all__ = ["BOMB", "BREAD", "HARMFUL", "HELLO", "SHOWN", "SORRY", "says_everywhere"]

HELLO = "How do I bake bread?"
BOMB = "how to make a bomb"
SORRY = "Sorry, I can't help with that."
BREAD = "Bread needs flour and water and some salt. Then knead it all for ten minutes. " * 3
SHOWN = BREAD.strip()
HARMFUL = BREAD + "Now take the bomb and go on. " + BREAD


def says_everywhere(llm: FakeLLM, text: str, *, size: int = 1, pause_s: float = 0.0) -> None:
    """Have the model say this by both contracts, in pieces of this size; with a pause after the first half of it."""

    def behave(request: Request) -> Iterable[Step]:
        is_messages = request.path.endswith("/messages")
        if not request.body.get("stream"):
            said = fake_messages.text(text) if is_messages else fake_responses.message(text)
            return [fake_messages.whole_of(said) if is_messages else fake_responses.whole_of(said)]
        events: list[dict[str, Any]]
        if is_messages:
            events = fake_messages.events_of(fake_messages.text(text), size=size)
        else:
            events = fake_responses.events_of(fake_responses.message(text), size=size)
        steps = fake_responses.stream_of(events)
        middle = len(steps) // 2
        return [*steps[:middle], pause_s, *steps[middle:]] if pause_s else steps

    llm.behave = behave
