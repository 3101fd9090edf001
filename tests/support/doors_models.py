"""A model's server that speaks Responses and Messages, for clients of both, and what they are asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import fake_messages
import fake_responses
from fake_llm import FakeLLM, Request, Step, chunk, http, sse

__all__ = ["BOMB", "BREAD", "DONE", "HARMFUL", "HELLO", "SHOWN", "SORRY", "calls_everywhere", "says_everywhere"]

HELLO = "How do I bake bread?"
BOMB = "how to make a bomb"
SORRY = "Sorry, I can't help with that."
BREAD = "Bread needs flour and water and some salt. Then knead it all for ten minutes. " * 3
SHOWN = BREAD.strip()
DONE = "All done."
HARMFUL = BREAD + "Now take the bomb and go on. " + BREAD

Told = Callable[[int], dict[str, Any]]
"""The arguments of a call, by the number of results before it."""


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


def calls_everywhere(llm: FakeLLM, tool: str, told: Told, *, turns: int, only_chats: bool = False) -> None:
    """Have the model call this tool so many times, each by the number of results that it has seen, and then answer.

    With `only_chats` its server has neither Responses nor Messages, but streamed chat completions.
    """

    def behave(request: Request) -> Iterable[Step]:
        kind = request.path.rpartition("/")[2]
        if only_chats:
            return _call_in_chat(request, tool, told, turns) if kind == "completions" else [http(404, {})]
        return (_call_in_messages if kind == "messages" else _call_in_responses)(request, tool, told, turns)

    llm.behave = behave


def _call_in_messages(request: Request, tool: str, told: Told, turns: int) -> list[Step]:
    seen = _results(request.body["messages"])
    is_done = seen >= turns
    block = fake_messages.text(DONE) if is_done else fake_messages.tool_use(told(seen), tool=tool, name=f"toolu_{seen}")
    stop = "end_turn" if is_done else "tool_use"
    if request.body.get("stream"):
        return fake_responses.stream_of(fake_messages.events_of(block, stop=stop))
    return [fake_messages.whole_of(block, stop=stop)]


def _call_in_responses(request: Request, tool: str, told: Told, turns: int) -> list[Step]:
    seen = _results(request.body["input"])
    call = fake_responses.call(json.dumps(told(seen)), tool=tool, name=f"fc_{seen}")
    item = fake_responses.message(DONE) if seen >= turns else call
    if request.body.get("stream"):
        return fake_responses.stream_of(fake_responses.events_of(item))
    return [fake_responses.whole_of(item)]


def _call_in_chat(request: Request, tool: str, told: Told, turns: int) -> Iterable[Step]:
    seen = _results(request.body["messages"])
    if seen >= turns:
        return sse(chunk({"role": "assistant", "content": DONE}), chunk({}, finish="stop"))
    call = {"id": f"call_{seen}", "type": "function", "function": {"name": tool, "arguments": json.dumps(told(seen))}}
    delta = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}
    return sse(chunk(delta), chunk({}, finish="tool_calls"))


def _results(turns: Any) -> int:
    """How many results of tools stand in these turns, by any of the contracts."""
    if not isinstance(turns, list):
        return 0
    blocks = [one for turn in turns if isinstance(turn.get("content"), list) for one in turn["content"]]
    found = [one for one in [*turns, *blocks] if one.get("type") in ("tool_result", "function_call_output")]
    return len(found) + sum(turn.get("role") == "tool" for turn in turns)
