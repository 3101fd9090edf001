"""OpenAI's Responses in front of a server that only knows chat completions. No I/O.

What would be lost on the way is refused by name; what changes nothing of the answer is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..errors import ChatModelError, InvalidRequest
from .chat_steps import Kind, Said, Step, read_chunk

__all__ = ["ResponsesFromChat", "chat_body"]

_LEFT_OUT = frozenset(
    {"metadata", "service_tier", "prompt_cache_key", "prompt_cache_retention", "user", "safety_identifier", "store"}
    | {"include", "background", "client_metadata", "stream_options", "conversation", "prompt", "truncation"}
)
_READ = frozenset({"input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens"})
_LOST = ("max_tool_calls", "top_logprobs")
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def chat_body(body: Mapping[str, object], items: Sequence[object]) -> dict[str, object]:
    """The request as one for chat completions. Raises InvalidRequest for what would be lost."""
    for key in _LOST:
        if body.get(key) is not None:
            raise _lost(key)
    if body.get("truncation") not in (None, "disabled"):
        raise _lost("truncation")
    found: dict[str, object] = {key: value for key, value in body.items() if key not in _LEFT_OUT | _READ}
    instructions = body.get("instructions")
    system = [{"role": "system", "content": instructions}] if isinstance(instructions, str) else []
    found["messages"] = [*system, *_messages(items)]
    if body.get("stream"):
        found["stream_options"] = {"include_usage": True}
    if body.get("max_output_tokens") is not None:
        found["max_tokens"] = body["max_output_tokens"]
    tools = body.get("tools")
    if isinstance(tools, list) and tools:
        found["tools"] = [_tool(tool, at=f"tools[{index}]") for index, tool in enumerate(tools)]
        found |= _choice(body.get("tool_choice"))
    else:
        found.pop("parallel_tool_calls", None)
    effort = reasoning.get("effort") if isinstance(reasoning := body.get("reasoning"), Mapping) else None
    return {**found, **_format(body.get("text")), **({"reasoning_effort": effort} if effort is not None else {})}


def _lost(name: str) -> InvalidRequest:
    reason = f"`{name}`: the chat model's server knows chat completions only, and they have nothing like it."
    return InvalidRequest(reason, param=name)


def _tool(tool: object, *, at: str) -> dict[str, object]:
    if not isinstance(tool, Mapping) or tool.get("type") != "function":
        raise _lost(f"{at}.type")
    told = {key: tool[key] for key in ("name", "description", "parameters", "strict") if tool.get(key) is not None}
    return {"type": "function", "function": told}


def _choice(choice: object) -> dict[str, object]:
    if choice is None:
        return {}
    if isinstance(choice, Mapping):
        if choice.get("type") != "function":
            raise _lost("tool_choice")
        return {"tool_choice": {"type": "function", "function": {"name": choice.get("name")}}}
    return {"tool_choice": choice}


def _format(text: object) -> dict[str, object]:
    form = text.get("format") if isinstance(text, Mapping) else None
    if not isinstance(form, Mapping) or form.get("type") in (None, "text"):
        return {}
    if form["type"] != "json_schema":
        return {"response_format": {"type": form["type"]}}
    schema = {key: form[key] for key in ("name", "description", "schema", "strict") if form.get(key) is not None}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _messages(items: Sequence[object]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    thought = ""
    for index, item in enumerate(items):
        assert isinstance(item, Mapping)  # else it was refused before
        kind = item.get("type", "message")
        if kind == "reasoning":
            if item.get("encrypted_content") is not None:
                raise _lost(f"input[{index}].encrypted_content")
            thought += "\n".join(_thoughts(item))
        elif kind == "function_call":
            if not found or found[-1]["role"] != "assistant":
                found.append({"role": "assistant", "content": None})
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            calls = found[-1].setdefault("tool_calls", [])
            assert isinstance(calls, list)
            calls.append(call)
        elif kind == "function_call_output":
            content = _content(item.get("output"), at=f"input[{index}].output")
            found.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
        elif kind == "message":
            role = "system" if item.get("role") == "developer" else item.get("role")
            found.append({"role": role, "content": _content(item.get("content"), at=f"input[{index}].content")})
        else:
            raise _lost(f"input[{index}].type")
        if thought and kind != "reasoning":
            if found[-1]["role"] == "assistant":
                found[-1]["reasoning_content"] = thought
            thought = ""
    return found


def _thoughts(item: Mapping[str, object]) -> Iterator[str]:
    for place in ("summary", "content"):
        parts = item.get(place)
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def _content(content: object, *, at: str) -> object:
    if not isinstance(content, list):
        return content
    parts: list[dict[str, object]] = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        assert isinstance(part, Mapping)
        if kind == "input_image" and isinstance(part.get("image_url"), str):
            detail = {"detail": part["detail"]} if part.get("detail") else {}
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"], **detail}})
        elif "text" in part:
            parts.append({"type": "text", "text": part["text"]})
        else:
            raise _lost(f"{at}[{index}].type")
    if all(part["type"] == "text" for part in parts):
        return "\n".join(str(part["text"]) for part in parts)
    return parts


class ResponsesFromChat:
    """Makes the events of a response from the chunks of a chat completion; `skeleton` is its object."""

    def __init__(self, skeleton: Mapping[str, object], name: str) -> None:
        self._skeleton, self._name = skeleton, name
        self._items: list[dict[str, object]] = []
        self._open: tuple[Kind, int] | None = None
        self._text: list[str] = []
        self._number = 0
        self._has_begun = False
        self._finish: str | None = None
        self._usage: Mapping[str, object] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the completion has told its end; its usage may still come."""
        return self._finish is not None

    def events(self, chunk: Mapping[str, object] | None) -> list[dict[str, object]]:
        """The events that a chunk makes; without one, those that end the reply. Raises ChatModelError."""
        found = [*self._ended()] if chunk is None else [*self._read(read_chunk(chunk))]
        for event in found:
            event["sequence_number"] = self._number
            self._number += 1
        return found

    def document(self, completion: Mapping[str, object]) -> Mapping[str, object]:
        """The same of a reply that is not streamed."""
        if not isinstance(completion.get("choices"), list) or not completion["choices"]:
            raise ChatModelError("The chat model answered something that is no completion.")
        self.events(completion)
        response = self.events(None)[-1]["response"]
        assert isinstance(response, dict)
        return response

    def _read(self, said: Said) -> Iterator[dict[str, object]]:
        if not self._has_begun:
            self._has_begun = True
            for kind in ("created", "in_progress"):
                yield {"type": f"response.{kind}", "response": {**self._skeleton, "status": "in_progress"}}
        for step in said.steps:
            yield from self._step(step)
        self._finish = said.finish or self._finish
        self._usage = said.usage or self._usage

    def _step(self, step: Step) -> Iterator[dict[str, object]]:
        if self._open != (step.kind, step.number):
            yield from self._closed()
            yield from self._opened(step)
        self._text.append(step.text)
        if step.text:
            yield {**self._at(), "type": _DELTAS[step.kind], "delta": step.text, **_LOGPROBS.get(step.kind, {})}

    def _opened(self, step: Step) -> Iterator[dict[str, object]]:
        index = len(self._items)
        self._open, self._text = (step.kind, step.number), []
        prefix = {Kind.TEXT: "msg", Kind.THOUGHT: "rs", Kind.CALL: "fc"}[step.kind]
        item: dict[str, object] = {"id": f"{prefix}_{self._name}{index}", "status": "in_progress"}
        if step.kind is Kind.TEXT:
            item |= {"type": "message", "role": "assistant", "content": []}
        elif step.kind is Kind.THOUGHT:
            item |= {"type": "reasoning", "summary": [], "content": []}
        else:
            call_id = step.call_id or f"call_{self._name}{index}"
            item |= {"type": "function_call", "call_id": call_id, "name": step.name, "arguments": ""}
        self._items.append(item)
        yield {"type": "response.output_item.added", "output_index": index, "item": dict(item)}
        if step.kind is Kind.TEXT:
            yield {**self._at(), "type": "response.content_part.added", "part": _part("")}

    def _closed(self) -> Iterator[dict[str, object]]:
        if self._open is None:
            return
        kind, text = self._open[0], "".join(self._text)
        index = len(self._items) - 1
        item = self._items[index]
        item["status"] = "completed"
        if kind is Kind.TEXT:
            yield {**self._at(), "type": "response.output_text.done", "text": text, "logprobs": []}
            yield {**self._at(), "type": "response.content_part.done", "part": _part(text)}
            item["content"] = [_part(text)]
        elif kind is Kind.THOUGHT:
            yield {**self._at(), "type": "response.reasoning_text.done", "text": text}
            item["content"] = [{"type": "reasoning_text", "text": text}]
        else:
            yield {**self._at(), "type": "response.function_call_arguments.done", "arguments": text}
            item["arguments"] = text
        yield {"type": "response.output_item.done", "output_index": index, "item": dict(item)}
        self._open = None

    def _at(self) -> dict[str, object]:
        index = len(self._items) - 1
        at: dict[str, object] = {"item_id": self._items[index]["id"], "output_index": index}
        return at if self._items[index]["type"] == "function_call" else {**at, "content_index": 0}

    def _ended(self) -> Iterator[dict[str, object]]:
        if self._finish is None:
            raise ChatModelError("The chat model's answer broke off.")
        yield from self._closed()
        reason = _REASONS.get(self._finish)
        status = "completed" if reason is None else "incomplete"
        details = None if reason is None else {"reason": reason}
        rest = {"status": status, "incomplete_details": details, "usage": _usage(self._usage)}
        yield {"type": f"response.{status}", "response": {**self._skeleton, "output": self._items, **rest}}


_DELTAS = {
    Kind.TEXT: "response.output_text.delta",
    Kind.THOUGHT: "response.reasoning_text.delta",
    Kind.CALL: "response.function_call_arguments.delta",
}
_LOGPROBS: Mapping[Kind, dict[str, object]] = {Kind.TEXT: {"logprobs": []}}


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: Mapping[str, object] | None) -> dict[str, object] | None:
    if usage is None:
        return None
    counts = [usage.get(key) for key in ("prompt_tokens", "completion_tokens", "total_tokens")]
    asked, answered, total = (one if isinstance(one, int) else 0 for one in counts)
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": total,
    }
