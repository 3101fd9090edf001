"""The text in Anthropic's Messages, streamed or whole: everything that a person or a program reads. No I/O.

A reply is a list of blocks; its events are a closed list, and so are the kinds of blocks and deltas: what is not on
them is an error, because nobody here knows where its text would be. Source: anthropics/anthropic-sdk-python,
`types/raw_message_stream_event.py` and `types/content_block.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ..errors import ChatModelError
from .openai_choices import Part
from .openai_shapes import NAMES, Shape, is_count, is_identifier, is_model, one_of, strings
from .reply_texts import NO_REPLY, Reading, Texts, object_of

__all__ = ["MAIN", "MessagesReader", "index_of"]

MAIN = "text"
"""The channel of a reply's first text."""
_MAX_BLOCKS = 512
_STOPS = (
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
)
_USAGE_WORDS = one_of("standard", "priority", "batch", "fast", "not_available", "global", "us", "eu")
_NAMES = frozenset(
    {"stop_reason", "stop_sequence", "stop_details", "container", "context_management", "content_block", "partial_json"}
    | {"citation", "caller", "toolset_name", "diagnostics", "server_tool_use", "inference_geo", "speed", "explanation"}
    | {"category", "web_search_requests", "web_fetch_requests", "iterations", "thinking_tokens", "cited_text"}
    | {"document_index", "document_title", "start_char_index", "end_char_index", "file_id", "applied_edits"}
)


def _usage(value: object) -> bool:
    """Numbers under known names, and words for how a request was served."""
    if isinstance(value, Mapping):
        return all((key in _NAMES or key in NAMES) and _usage(item) for key, item in value.items())
    return is_count(value) or _USAGE_WORDS(value)


_MESSAGE: Mapping[str, Shape] = {
    "id": is_identifier,
    "type": one_of("message"),
    "role": one_of("assistant"),
    "model": is_model,
    "stop_reason": one_of(*_STOPS),
    "usage": _usage,
    "container": lambda value: value is None,
    "context_management": lambda value: value is None,
    "diagnostics": lambda value: value is None,
    "stop_sequence": lambda value: value is None,
    "stop_details": lambda value: value is None,
}
_EVENT: Mapping[str, Shape] = {"index": is_count, "usage": _usage}
_CALL: Mapping[str, Shape] = {"id": is_identifier, "caller": lambda value: value in (None, {"type": "direct"})}
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_DELTA_KEYS = frozenset({"type", "index", "delta"})


def index_of(event: Mapping[str, object]) -> int:
    """The block that an event is about. Raises ChatModelError for what is no number."""
    index = event.get("index")
    if not isinstance(index, int) or not 0 <= index < _MAX_BLOCKS:
        raise ChatModelError(NO_REPLY)
    return index


class MessagesReader:
    """Reads one reply. `tools` are the names of the caller's tools, `stops` its stop strings."""

    def __init__(self, *, tools: frozenset[str], stops: frozenset[str], model: str) -> None:
        self._tools, self._stops, self._model = tools, stops, model
        self._texts = Texts(_NAMES)
        self._kinds: dict[int, object] = {}
        self._signed: set[int] = set()
        self._main: str | None = None

    def read(self, event: Mapping[str, object]) -> Reading:
        """The text of an event. Raises ChatModelError for one that is not known."""
        kind = event.get("type")
        if kind == "content_block_delta":
            return Reading([*self._delta(event)])
        if kind == "message_start":
            parts = self._message(object_of(event.get("message")))
            return Reading([*self._texts.others(event, {}, ("type", "message")), *parts])
        if kind == "content_block_start":
            block = self._block(index_of(event), event.get("content_block"))
            return Reading([*self._texts.others(event, _EVENT, ("type", "content_block")), *block])
        if kind == "content_block_stop":
            closed = Part(self._channel(index_of(event)), closes=True)
            waits = [Part("", waits=True)] if self._kinds.get(index_of(event)) == "tool_use" else []
            return Reading([*self._texts.others(event, _EVENT, ("type",)), closed, *waits])
        if kind == "message_delta":
            parts = self._message(object_of(event.get("delta")))
            return Reading([*self._texts.others(event, _EVENT, ("type", "delta")), *parts, Part("", waits=True)])
        if kind == "message_stop":
            return Reading([*self._texts.others(event, {}, ("type",))], is_end=True)
        raise ChatModelError(NO_REPLY)

    def read_whole(self, document: Mapping[str, object]) -> Reading:
        """The text of a reply that is not streamed."""
        if document.get("type") != "message" or not isinstance(document.get("content"), list):
            raise ChatModelError(NO_REPLY)
        return Reading([*self._message(document)], is_end=True)

    def _channel(self, index: int) -> str:
        name = f"block {index}"
        if self._main is None and self._kinds.get(index) == "text":
            self._main = name
        return MAIN if name == self._main else name

    def _delta(self, event: Mapping[str, object]) -> Iterator[Part]:
        index, delta = index_of(event), object_of(event.get("delta"))
        if not event.keys() <= _DELTA_KEYS:
            yield from self._texts.others(event, _EVENT, ("type", "delta"))
        kind = delta.get("type")
        field = _DELTAS.get(kind) if isinstance(kind, str) else None
        if field is not None:
            if len(delta) != 2:
                yield from self._texts.others(delta, {}, ("type", field))
            is_tool = self._kinds.get(index) == "tool_use"
            if is_tool != (field == "partial_json"):
                raise ChatModelError(NO_REPLY)
            yield from self._texts.new(self._channel(index), delta.get(field), is_tool=is_tool)
        elif kind == "signature_delta":
            if delta.get("signature"):
                # Clients differ in what they make of a second one, and each is marked for itself.
                if index in self._signed:
                    raise ChatModelError(NO_REPLY)
                self._signed.add(index)
            yield from self._texts.sealed(delta.get("signature"))
            yield from self._texts.others(delta, {}, ("type", "signature"))
        elif kind == "citations_delta":
            yield from self._citations([delta.get("citation")])
            yield from self._texts.others(delta, {}, ("type", "citation"))
        else:
            raise ChatModelError(NO_REPLY)

    def _message(self, message: Mapping[str, object]) -> Iterator[Part]:
        for key, value in message.items():
            shape = _MESSAGE.get(key)
            if key == "content" and isinstance(value, list):
                for index, block in enumerate(value):
                    yield from self._block(index_of({"index": index}), block)
            elif not self._is_callers(key, value) and (shape is None or not shape(value)):
                yield from self._texts.field(key, value)

    def _is_callers(self, key: str, value: object) -> bool:
        """Whether a field says what the caller has said itself."""
        return (key == "model" and value == self._model) or (
            key == "stop_sequence" and isinstance(value, str) and value in self._stops
        )

    def _block(self, index: int, block: object) -> Iterator[Part]:
        found = object_of(block)
        kind = self._kinds[index] = found.get("type")
        channel = self._channel(index)
        if kind == "text":
            yield from self._texts.again(channel, found.get("text") or "")
            yield from self._citations(found.get("citations"))
            yield from self._texts.others(found, {}, ("type", "text", "citations"))
        elif kind == "thinking":
            yield from self._texts.again(channel, found.get("thinking") or "")
            yield from self._texts.sealed(found.get("signature") or None)
            yield from self._texts.others(found, {}, ("type", "thinking", "signature"))
        elif kind == "redacted_thinking":
            yield from self._texts.sealed(found.get("data"))
            yield from self._texts.others(found, {}, ("type", "data"))
        elif kind == "tool_use":
            told = found.get("input")
            yield from self._texts.again(channel, json.dumps(told) if told else "", is_tool=True)
            name = found.get("name")
            if isinstance(name, str):
                yield Part(channel, tool=name)
            if not (isinstance(name, str) and name in self._tools):
                yield from self._texts.field("name", name, channel="names of tools")
            yield from self._texts.others(found, _CALL, ("type", "name", "input"))
            yield Part("", waits=True)
        else:
            raise ChatModelError(NO_REPLY)

    def _citations(self, citations: object) -> Iterator[Part]:
        """Quotes, which come as deltas or with their block."""
        for citation in citations if isinstance(citations, list) else [citations] if citations else ():
            text = "\n".join(strings(citation))
            if text:
                yield from self._texts.once("citations", text)
