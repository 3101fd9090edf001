"""What a server of OpenAI's Responses says: items as events, and as the whole reply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fake_llm import SSE_END, SSE_HEAD, Step, chunked, http, named

__all__ = ["call", "chars", "events_of", "message", "reasoning", "response", "stream_of", "whole_of"]

USAGE = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}


def message(*texts: str, name: str = "msg_1") -> dict[str, Any]:
    """An answer with a part for each text."""
    parts = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []} for text in texts]
    return {"id": name, "type": "message", "role": "assistant", "status": "completed", "content": parts}


def reasoning(*texts: str, name: str = "rs_1", summary: bool = False, sealed: str | None = None) -> dict[str, Any]:
    """A thought, or a summary of it."""
    parts = [{"type": "summary_text" if summary else "reasoning_text", "text": text} for text in texts]
    item: dict[str, Any] = {"id": name, "type": "reasoning", "summary": parts if summary else [], "status": "completed"}
    if not summary:
        item["content"] = parts
    if sealed is not None:
        item["encrypted_content"] = sealed
    return item


def call(arguments: str, *, tool: str = "find", name: str = "fc_1") -> dict[str, Any]:
    """A call of a tool."""
    whole = {"id": name, "type": "function_call", "call_id": f"call_{name}", "name": tool}
    return {**whole, "arguments": arguments, "status": "completed"}


def response(*items: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    """The reply's object."""
    head = {"id": "resp_1", "object": "response", "created_at": 1700000000, "status": status, "model": "llm-1"}
    rest = {"error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "tools": []}
    usage = {"usage": USAGE if status == "completed" else None, "tool_choice": "auto", "parallel_tool_calls": True}
    return {**head, **rest, **usage, "text": {"format": {"type": "text"}}, "output": list(items), **more}


def chars(text: str, size: int) -> list[str]:
    """A text in pieces of this size."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def events_of(*items: dict[str, Any], size: int = 8, **more: Any) -> list[dict[str, Any]]:
    """The events of a reply with these items, its texts in pieces of this size."""
    begun = response(status="in_progress", **more)
    found: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(items):
        found += _item(index, item, size)
    found.append({"type": "response.completed", "response": response(*items, **more)})
    return [{**event, "sequence_number": number} for number, event in enumerate(found)]


def _item(index: int, item: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    at = {"output_index": index}
    inside = {**at, "item_id": item["id"]}
    empty = {"arguments": ""} if "arguments" in item else {"summary": []} if "summary" in item else {}
    begun = {key: value for key, value in item.items() if key not in ("content", "encrypted_content")}
    begun |= {"status": "in_progress", **empty}
    yield {"type": "response.output_item.added", **at, "item": begun | ({"content": []} if "content" in item else {})}
    if "arguments" in item:
        for piece in chars(item["arguments"], size):
            yield {"type": "response.function_call_arguments.delta", **inside, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **inside, "arguments": item["arguments"]}
    for place, number in (("summary", "summary_index"), ("content", "content_index")):
        for position, part in enumerate(item.get(place, ())):
            yield from _part({**inside, number: position}, part, size)
    yield {"type": "response.output_item.done", **at, "item": item}


def _part(at: dict[str, Any], part: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    kind = {"output_text": "output_text", "summary_text": "reasoning_summary_text", "refusal": "refusal"}
    stem = kind.get(part["type"], "reasoning_text")
    field = "refusal" if stem == "refusal" else "text"
    outer = {"reasoning_summary_text": "reasoning_summary_part", "reasoning_text": ""}.get(stem, "content_part")
    if outer:
        yield {"type": f"response.{outer}.added", **at, "part": {**part, field: ""}}
    for piece in chars(part[field], size):
        yield {"type": f"response.{stem}.delta", **at, "delta": piece}
    yield {"type": f"response.{stem}.done", **at, field: part[field]}
    if outer:
        yield {"type": f"response.{outer}.done", **at, "part": part}


def stream_of(events: Sequence[dict[str, Any]]) -> list[Step]:
    """A streamed reply of these events, with no end mark."""
    return [SSE_HEAD, *(chunked(named(event)) for event in events), SSE_END]


def whole_of(*items: dict[str, Any], **more: Any) -> bytes:
    """The same as one document."""
    return http(200, response(*items, **more))
