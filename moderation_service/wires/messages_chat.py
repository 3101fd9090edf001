"""Anthropic's Messages in front of a server that only knows chat completions. No I/O.

What would be lost on the way is refused by name; what changes nothing of the answer is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ..errors import ChatModelError, InvalidRequest
from .chat_steps import Kind, Said, Step, read_chunk

__all__ = ["MessagesFromChat", "chat_body"]

_LEFT_OUT = frozenset(
    {
        "metadata",
        "service_tier",
        "inference_geo",
        "cache_control",
        "thread",
        "container",
        "mcp_servers",
        "context_management",
    }
)
_READ = frozenset({"messages", "system", "tools", "tool_choice", "thinking", "stop_sequences", "output_config"})
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use", "content_filter": "refusal"}


def chat_body(body: Mapping[str, object]) -> dict[str, object]:
    """The request as one for chat completions. Raises InvalidRequest for what would be lost."""
    thinking = body.get("thinking")
    if isinstance(thinking, Mapping) and thinking.get("type") == "enabled":
        raise _lost("thinking")
    if not _only_clears(body.get("context_management")):
        raise _lost("context_management")
    found: dict[str, object] = {key: value for key, value in body.items() if key not in _LEFT_OUT | _READ}
    messages = body["messages"]
    assert isinstance(messages, list)
    told = [one for index, message in enumerate(messages) for one in _messages(message, at=f"messages[{index}]")]
    system = _text(body.get("system"), at="system")
    found["messages"] = [*([{"role": "system", "content": system}] if system else []), *told]
    if body.get("stop_sequences") is not None:
        found["stop"] = body["stop_sequences"]
    if body.get("stream"):
        found["stream_options"] = {"include_usage": True}
    tools = body.get("tools")
    if isinstance(tools, list) and tools:
        found["tools"] = [_tool(tool, at=f"tools[{index}]") for index, tool in enumerate(tools)]
        found |= _choice(body.get("tool_choice"))
    return {**found, **_format(body.get("output_config"))}


def _only_clears(management: object) -> bool:
    """Whether it only saves room by dropping old thoughts or results (`clear_...`): without it the model sees more."""
    if not isinstance(management, Mapping):
        return management is None
    edits = management.get("edits", [])
    return isinstance(edits, list) and all(
        isinstance(edit, Mapping) and str(edit.get("type")).startswith("clear_") for edit in edits
    )


def _lost(name: str) -> InvalidRequest:
    reason = f"`{name}`: the chat model's server knows chat completions only, and they have nothing like it."
    return InvalidRequest(reason, param=name)


def _tool(tool: object, *, at: str) -> dict[str, object]:
    if not isinstance(tool, Mapping) or tool.get("type") not in (None, "custom"):
        raise _lost(f"{at}.type")
    told: dict[str, object] = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {"type": "object"}}
    if tool.get("description"):
        told["description"] = tool["description"]
    return {"type": "function", "function": told}


def _choice(choice: object) -> dict[str, object]:
    if not isinstance(choice, Mapping):
        return {}
    kind = choice.get("type")
    found: dict[str, object] = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    if kind == "tool":
        return {**found, "tool_choice": {"type": "function", "function": {"name": choice.get("name")}}}
    if not isinstance(kind, str) or kind not in _CHOICES:
        raise _lost("tool_choice")
    return {**found, "tool_choice": _CHOICES[kind]}


def _format(config: object) -> dict[str, object]:
    form = config.get("format") if isinstance(config, Mapping) else None
    if not isinstance(form, Mapping):
        return {}
    schema = {"name": "answer", "schema": form.get("schema"), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _messages(message: object, *, at: str) -> Iterator[dict[str, object]]:
    assert isinstance(message, Mapping)  # else it was refused before
    role, content = message.get("role"), message.get("content")
    if role == "assistant":
        yield _answer(content, at=at)
    elif not isinstance(content, list):
        yield {"role": role, "content": content}
    else:
        parts: list[object] = []
        for index, block in enumerate(content):
            where = f"{at}.content[{index}]"
            if block.get("type") == "tool_result":
                told = _text(block.get("content"), at=f"{where}.content")
                yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": told}
            else:
                parts.append(_part(block, at=where))
        if parts:
            yield {"role": role, "content": parts}


def _answer(content: object, *, at: str) -> dict[str, object]:
    if not isinstance(content, list):
        return {"role": "assistant", "content": content}
    texts, thoughts, calls = [], [], []
    for index, block in enumerate(content):
        kind = block.get("type")
        if kind == "text":
            texts.append(str(block.get("text")))
        elif kind == "thinking" and not block.get("signature"):
            thoughts.append(str(block.get("thinking")))
        elif kind == "tool_use":
            function = {"name": block.get("name"), "arguments": json.dumps(block.get("input") or {})}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        else:
            raise _lost(f"{at}.content[{index}].signature" if kind == "thinking" else f"{at}.content[{index}].type")
    found: dict[str, object] = {"role": "assistant", "content": "\n".join(texts) if texts else None}
    if thoughts:
        found["reasoning_content"] = "\n".join(thoughts)
    return {**found, "tool_calls": calls} if calls else found


def _part(block: Mapping[str, object], *, at: str) -> dict[str, object]:
    if block.get("type") == "text":
        return {"type": "text", "text": block.get("text")}
    source = block.get("source")
    if block.get("type") == "image" and isinstance(source, Mapping):
        if source.get("type") == "url":
            return {"type": "image_url", "image_url": {"url": source.get("url")}}
        if source.get("type") == "base64":
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
            return {"type": "image_url", "image_url": {"url": url}}
    raise _lost(f"{at}.type")


def _text(content: object, *, at: str) -> str:
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts = []
    for index, block in enumerate(content):
        if not isinstance(block, Mapping) or block.get("type") != "text":
            raise _lost(f"{at}[{index}].type")
        texts.append(str(block.get("text")))
    return "\n".join(texts)


class MessagesFromChat:
    """Makes the events of a message from the chunks of a chat completion; `skeleton` is its object."""

    def __init__(self, skeleton: Mapping[str, object], name: str) -> None:
        self._skeleton, self._name = skeleton, name
        self._has_begun = False
        self._next = 0
        self._open: tuple[Kind, int] | None = None
        self._blocks: list[dict[str, object]] = []
        self._text: list[str] = []
        self._finish: str | None = None
        self._usage: Mapping[str, object] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the completion has told its end; its usage may still come."""
        return self._finish is not None

    def events(self, chunk: Mapping[str, object] | None) -> list[dict[str, object]]:
        """The events that a chunk makes; without one, those that end the reply. Raises ChatModelError."""
        return [*self._ended()] if chunk is None else [*self._read(read_chunk(chunk))]

    def document(self, completion: Mapping[str, object]) -> Mapping[str, object]:
        """The same of a reply that is not streamed."""
        if not isinstance(completion.get("choices"), list) or not completion["choices"]:
            raise ChatModelError("The chat model answered something that is no completion.")
        self.events(completion)
        self.events(None)
        told = {"stop_reason": self._stop, "usage": self._counts()}
        return {**self._skeleton, "content": self._blocks, **told}

    def _read(self, said: Said) -> Iterator[dict[str, object]]:
        if not self._has_begun:
            self._has_begun = True
            yield {"type": "message_start", "message": self._skeleton}
        for step in said.steps:
            if self._open != (step.kind, step.number):
                yield from self._closed()
                yield self._opened(step)
            self._text.append(step.text)
            if step.text:
                kind, field = _DELTAS[step.kind]
                yield {"type": "content_block_delta", "index": self._next, "delta": {"type": kind, field: step.text}}
        self._finish = said.finish or self._finish
        self._usage = said.usage or self._usage

    def _opened(self, step: Step) -> dict[str, object]:
        self._open, self._text = (step.kind, step.number), []
        if step.kind is Kind.TEXT:
            block: dict[str, object] = {"type": "text", "text": ""}
        elif step.kind is Kind.THOUGHT:
            block = {"type": "thinking", "thinking": "", "signature": ""}
        else:
            call_id = step.call_id or f"toolu_{self._name}{self._next}"
            block = {"type": "tool_use", "id": call_id, "name": step.name, "input": {}}
        self._blocks.append(block)
        return {"type": "content_block_start", "index": self._next, "content_block": dict(block)}

    def _closed(self) -> Iterator[dict[str, object]]:
        if self._open is None:
            return
        text, block = "".join(self._text), self._blocks[-1]
        if self._open[0] is Kind.CALL:
            block["input"] = _arguments(text)
        else:
            block[self._open[0].value if self._open[0] is Kind.TEXT else "thinking"] = text
        yield {"type": "content_block_stop", "index": self._next}
        self._next, self._open = self._next + 1, None

    def _ended(self) -> Iterator[dict[str, object]]:
        if self._finish is None:
            raise ChatModelError("The chat model's answer broke off.")
        yield from self._closed()
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        yield {"type": "message_delta", "delta": delta, "usage": self._counts()}
        yield {"type": "message_stop"}

    @property
    def _stop(self) -> str:
        return _STOPS.get(self._finish or "", "end_turn")

    def _counts(self) -> dict[str, object]:
        found = self._usage or {}
        asked, answered = found.get("prompt_tokens"), found.get("completion_tokens")
        return {
            "input_tokens": asked if isinstance(asked, int) else 0,
            "output_tokens": answered if isinstance(answered, int) else 0,
        }


_DELTAS = {
    Kind.TEXT: ("text_delta", "text"),
    Kind.THOUGHT: ("thinking_delta", "thinking"),
    Kind.CALL: ("input_json_delta", "partial_json"),
}


def _arguments(text: str) -> object:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ChatModelError("The chat model called a tool with something that is no JSON.")
    return found
