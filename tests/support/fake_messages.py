"""What a server of Anthropic's Messages says: blocks as events, and as the whole reply."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fake_llm import http

__all__ = ["events_of", "message", "text", "thinking", "tool_use", "whole_of"]

_HEAD = {"id": "msg_1", "type": "message", "role": "assistant", "model": "llm-1"}


def text(said: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": said}


def thinking(thought: str, *, signature: str = "") -> dict[str, Any]:
    """A block of thoughts."""
    return {"type": "thinking", "thinking": thought, "signature": signature}


def tool_use(told: dict[str, Any], *, tool: str = "find", name: str = "toolu_1") -> dict[str, Any]:
    """A call of a tool."""
    return {"type": "tool_use", "id": name, "name": tool, "input": told}


def message(*blocks: dict[str, Any], stop: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    """The reply as one document."""
    rest = {"stop_reason": stop, "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 5}}
    return {**_HEAD, "content": list(blocks), **rest, **more}


def events_of(
    *blocks: dict[str, Any], size: int = 8, spelled: str | None = None, stop: str = "end_turn"
) -> list[dict[str, Any]]:
    """The events of a reply with these blocks, its texts in pieces of this size; `spelled` is the JSON of a call."""
    found: list[dict[str, Any]] = [{"type": "message_start", "message": message(stop=None)}]
    for index, block in enumerate(blocks):
        found += _block(index, block, size, spelled)
    ended = {"stop_reason": stop, "stop_sequence": None}
    return [*found, {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 5}}, {"type": "message_stop"}]


def _block(index: int, block: dict[str, Any], size: int, spelled: str | None) -> Iterator[dict[str, Any]]:
    kind = block["type"]
    empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
    yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty.get(kind, {})}}
    delta = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}.get(kind)
    whole = block.get(kind, "") if delta else (spelled or json.dumps(block.get("input"))) if kind == "tool_use" else ""
    name, field = delta or ("input_json_delta", "partial_json")
    for at in range(0, len(whole), size):
        yield {"type": "content_block_delta", "index": index, "delta": {"type": name, field: whole[at : at + size]}}
    if block.get("signature"):
        signed = {"type": "signature_delta", "signature": block["signature"]}
        yield {"type": "content_block_delta", "index": index, "delta": signed}
    yield {"type": "content_block_stop", "index": index}


def whole_of(*blocks: dict[str, Any], **more: Any) -> bytes:
    """The same as one document, over HTTP."""
    return http(200, message(*blocks, **more))
