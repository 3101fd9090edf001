"""The text in OpenAI's Responses, streamed or whole: everything that a person or a program reads. No I/O.

A reply is a list of items; its events are a closed list, and so are the kinds of items and parts: what is not on them
is an error, because nobody here knows where its text would be. Source: openai/openai-openapi, `ResponseStreamEvent`;
vllm-project/vllm, `entrypoints/openai/responses`, which has the events of a `reasoning_part`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ..core.tool_calls import texts_in
from ..errors import ChatModelError
from .openai_choices import LOGPROBS, Part, Tokens, tokens_of
from .openai_shapes import BESIDE, Shape, is_count, is_identifier, is_model, one_of, strings
from .reply_texts import NO_REPLY, Reading, Texts, object_of

__all__ = ["ENDS", "MAIN", "ResponsesReader", "place_of", "texts_of"]

MAIN = "text"
"""The channel of a reply's first text."""
ENDS = ("response.completed", "response.incomplete", "response.failed")
"""The events that end a reply."""
_MAX_ITEMS = 512
_STATUS = one_of("completed", "in_progress", "incomplete", "failed", "queued", "searching", "calling")
_EVENT: Mapping[str, Shape] = {
    "sequence_number": is_count,
    "output_index": is_count,
    "content_index": is_count,
    "summary_index": is_count,
    "annotation_index": is_count,
}
_RESPONSE: Mapping[str, Shape] = {
    **{key: BESIDE[key] for key in ("id", "model", "service_tier", "usage")},
    **dict.fromkeys(("created_at", "completed_at", "parallel_tool_calls", "temperature", "top_p"), is_count),
    **dict.fromkeys(("max_output_tokens", "max_tool_calls", "top_logprobs", "background", "store"), is_count),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "top_k"), is_count),
    "object": one_of("response"),
    "status": _STATUS,
    "previous_response_id": is_identifier,
    "truncation": one_of("auto", "disabled"),
    "tool_choice": one_of("auto", "none", "required"),
}
_INCOMPLETE = {"reason": one_of("max_output_tokens", "content_filter")}
_ITEM: Mapping[str, Shape] = {
    "id": is_identifier,
    "status": _STATUS,
    "role": one_of("assistant"),
    "call_id": is_identifier,
    "phase": one_of("commentary", "final_answer"),
}
_PART_TEXTS = {
    "output_text": "text",
    "refusal": "refusal",
    "summary_text": "text",
    "reasoning_text": "text",
}
_NAMES = frozenset({*_EVENT, *_RESPONSE, *_ITEM, "item_id", "item", "part", "response", "output", "encrypted_content"})
_NAMES |= {"instructions", "metadata", "prompt_cache_key", "safety_identifier", "user", "tool_choice"}
_NAMES |= {"incomplete_details"}
_NAMES |= {"annotation", "logprobs", "namespace", "output_text", "obfuscation", "prompt_cache_retention", "moderation"}
_NAMES |= {"action", "billing", "payer", "conversation", "prompt", "tools", "truncation", "reasoning", "text"}
# Words that servers add to what the caller has sent, when they tell of it again.
_WORDS = frozenset(
    {"text", "format", "type", "verbosity", "low", "medium", "high", "effort", "summary", "generate_summary", "strict"}
    | {"description", "name", "parameters", "function", "custom", "auto", "none", "required", "mode", "tools", "schema"}
    | {"in_memory", "24h", "json_schema", "json_object", "minimal", "xhigh", "concise", "detailed", "output_schema"}
    | {"defer_loading", "allowed_callers", "context", "additionalProperties", "enabled", "disabled", "lark", "grammar"}
)
_ECHOED = frozenset(
    {"instructions", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user", "text"}
    | {"reasoning", "tools", "tool_choice", "truncation"}
)
"""What the caller has sent comes back in these; text of others than the caller is judged there too."""
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_MAIN_TEXT, _MAIN_DELTA = "response.output_text", "response.output_text.delta"
# The kind of text that an event goes on with or ends, and the field that has its number.
_TEXT_EVENTS = {
    "response.output_text": ("content", "content_index", "text"),
    "response.refusal": ("content", "content_index", "refusal"),
    "response.reasoning_text": ("thoughts", "content_index", "text"),
    "response.reasoning_summary_text": ("summary", "summary_index", "text"),
}
_CALL_EVENTS = {
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
}
_PART_EVENTS = {
    "response.content_part": ("content", "content_index"),
    "response.reasoning_part": ("thoughts", "content_index"),
    "response.reasoning_summary_part": ("summary", "summary_index"),
}
_DELTA_KEYS = frozenset(
    {"type", "sequence_number", "item_id", "output_index", "content_index", "delta", "logprobs", "obfuscation"}
)


def place_of(event: Mapping[str, object], number: str) -> tuple[int, int]:
    """The item and the part of it that an event is about. Raises ChatModelError for what is no number."""
    item, part = event.get("output_index", 0), event.get(number, 0)
    if not isinstance(item, int) or not isinstance(part, int):
        raise ChatModelError(NO_REPLY)
    if not (0 <= item < _MAX_ITEMS and 0 <= part < _MAX_ITEMS):
        raise ChatModelError(NO_REPLY)
    return item, part


class ResponsesReader:
    """Reads one reply. `tools` are the names of the caller's tools, `echoes` all texts that the caller has sent."""

    def __init__(self, *, tools: frozenset[str], echoes: frozenset[str], model: str) -> None:
        self._tools, self._echoes, self._model = tools, echoes | _WORDS, model
        self._texts = Texts(_NAMES)
        self._ids: dict[int, object] = {}
        self._main: str | None = None
        self._alternatives: set[str] = set()
        self._kinds: Mapping[str, Callable[[str, Mapping[str, object]], Iterator[Part]]] = {
            **dict.fromkeys(("response.created", "response.in_progress", "response.queued", *ENDS), self._lifecycle),
            **dict.fromkeys(("response.output_item.added", "response.output_item.done"), self._item_event),
            **{f"{kind}.{end}": self._text_event for kind in _TEXT_EVENTS for end in ("delta", "done")},
            **{f"{kind}.{end}": self._call_event for kind in _CALL_EVENTS for end in ("delta", "done")},
            **{f"{kind}.{end}": self._part_event for kind in _PART_EVENTS for end in ("added", "done")},
            "response.output_text.annotation.added": self._annotation_event,
        }

    def read(self, event: Mapping[str, object]) -> Reading:
        """The text of an event. Raises ChatModelError for one that is not known."""
        kind = event.get("type")
        if kind == _MAIN_DELTA and event.keys() <= _DELTA_KEYS:
            return self._plain_delta(event)
        read = self._kinds.get(kind) if isinstance(kind, str) else None
        if read is None or not isinstance(kind, str):
            raise ChatModelError(NO_REPLY)
        return Reading([*self._beside(event), *read(kind, event)], self._tokens(event, kind), kind in ENDS)

    def read_whole(self, document: Mapping[str, object]) -> Reading:
        """The text of a reply that is not streamed."""
        if not isinstance(document.get("output"), list) or document.get("error"):
            raise ChatModelError(NO_REPLY)
        return Reading([*self._response(document)], None, is_end=True)

    def _plain_delta(self, event: Mapping[str, object]) -> Reading:
        """An event as most of them are."""
        parts = self._texts.new(self._channel(event, "content", "content_index"), event.get("delta"))
        beside = () if self._is_known(event) else self._beside(event)
        tokens = self._tokens(event, _MAIN_DELTA) if event.get(LOGPROBS) else None
        return Reading([*beside, *parts], tokens)

    def _is_known(self, event: Mapping[str, object]) -> bool:
        """Whether an event says of its place only what is known."""
        index = event.get("output_index", 0)
        is_item = event.get("item_id") == self._ids.get(index) if isinstance(index, int) else False
        return is_item and is_count(event.get("sequence_number"))

    def _beside(self, event: Mapping[str, object]) -> Iterator[Part]:
        """The fields that are no text of the kind that the event is of."""
        index = event.get("output_index", 0)
        item = self._ids.get(index) if isinstance(index, int) else None
        known = {"type", *_BY_KIND, *(("item_id",) if event.get("item_id") in (None, item) else ())}
        if item is None and isinstance(index, int) and "item_id" in event and is_identifier(event["item_id"]):
            # Of an item that was never told: its first event tells its id.
            self._ids[place_of(event, "")[0]] = event["item_id"]
            known.add("item_id")
        yield from self._texts.others(event, _EVENT, known)
        for key in _BY_KIND:
            if key in event and key not in _FIELDS_OF.get(str(event["type"]), ()):
                yield from self._texts.field(key, event[key])

    def _channel(self, event: Mapping[str, object], kind: str, number: str) -> str:
        item, part = place_of(event, number)
        return self._name(item, kind, part)

    def _name(self, item: int, kind: str, part: int) -> str:
        name = f"{item} {kind} {part}"
        if kind == "content" and self._main is None:
            self._main = name
        return MAIN if name == self._main else name

    # The kinds of events.

    def _lifecycle(self, kind: str, event: Mapping[str, object]) -> Iterator[Part]:
        yield from self._response(object_of(event.get("response")))

    def _item_event(self, kind: str, event: Mapping[str, object]) -> Iterator[Part]:
        index, _ = place_of(event, "")
        yield from self._item(index, event.get("item"), is_done=kind.endswith("done"))

    def _text_event(self, kind: str, event: Mapping[str, object]) -> Iterator[Part]:
        stem, _, end = kind.rpartition(".")
        place, number, field = _TEXT_EVENTS[stem]
        channel = self._channel(event, place, number)
        if end == "delta":
            yield from self._texts.new(channel, event.get("delta"))
        else:
            yield from self._texts.again(channel, event.get(field))
            if stem == _MAIN_TEXT:
                yield from self._told_tokens(event.get(LOGPROBS), self._texts.said(channel))
            yield Part(channel, closes=True)

    def _call_event(self, kind: str, event: Mapping[str, object]) -> Iterator[Part]:
        stem, _, end = kind.rpartition(".")
        channel = f"{place_of(event, '')[0]} call"
        if end == "delta":
            yield from self._texts.new(channel, event.get("delta"), is_tool=True)
        else:
            yield from self._texts.again(channel, event.get(_CALL_EVENTS[stem]), is_tool=True)
            yield from self._tool_name(event.get("name"), channel)
        yield Part(channel, waits=True)

    def _part_event(self, kind: str, event: Mapping[str, object]) -> Iterator[Part]:
        stem, _, end = kind.rpartition(".")
        place, number = _PART_EVENTS[stem]
        item, part = place_of(event, number)
        yield from self._part(item, place, part, event.get("part"))
        if end == "done":
            yield Part(self._name(item, place, part), closes=True)

    def _annotation_event(self, kind: str, event: Mapping[str, object]) -> Iterator[Part]:
        yield from self._annotations([event.get("annotation")])

    # What stands in them.

    def _response(self, response: Mapping[str, object]) -> Iterator[Part]:
        """The reply as a whole, at its beginning or end."""
        for key, value in response.items():
            if key == "output" and isinstance(value, list):
                for index, item in enumerate(value[:_MAX_ITEMS]):
                    yield from self._item(index, item, is_done=True)
                if len(value) > _MAX_ITEMS:
                    raise ChatModelError(NO_REPLY)
            elif key == "output_text" and value == self._texts.said(MAIN):
                continue
            elif key == "incomplete_details" and isinstance(value, dict):
                yield from self._texts.others(value, _INCOMPLETE, ())
            elif not self._is_plain(key, value):
                yield from self._texts.field(key, value)

    def _is_plain(self, key: str, value: object) -> bool:
        shape = _RESPONSE.get(key)
        if shape is not None and shape(value):
            return True
        if key == "model":
            return is_model(value) or value == self._model
        return value is None or (key in _ECHOED and all(text in self._echoes for text in texts_in(value)))

    def _item(self, index: int, item: object, *, is_done: bool) -> Iterator[Part]:
        found = object_of(item)
        kind = str(found.get("type"))
        self._ids.setdefault(index, found.get("id"))
        if kind == "message":
            yield from self._texts.others(found, _ITEM, ("type", "content"))
            yield from self._parts(index, "content", found.get("content"))
        elif kind == "reasoning":
            yield from self._texts.others(found, _ITEM, ("type", "content", "summary", "encrypted_content"))
            yield from self._parts(index, "summary", found.get("summary"))
            yield from self._parts(index, "thoughts", found.get("content"))
            yield from self._texts.sealed(found.get("encrypted_content"))
        elif kind in _CALLS:
            field = _CALLS[kind]
            yield from self._texts.others(found, _ITEM, ("type", "name", field))
            yield from self._tool_name(found.get("name"), f"{index} call")
            yield from self._texts.again(f"{index} call", found.get(field) or "", is_tool=True)
            yield Part("", waits=True)
        else:
            raise ChatModelError(NO_REPLY)

    def _tool_name(self, name: object, channel: str) -> Iterator[Part]:
        if isinstance(name, str):
            yield Part(channel, tool=name)
        if name is not None and not (isinstance(name, str) and name in self._tools):
            yield from self._texts.field("name", name, channel="names of tools")

    def _parts(self, item: int, place: str, parts: object) -> Iterator[Part]:
        if parts is not None and not isinstance(parts, list):
            raise ChatModelError(NO_REPLY)
        for number, part in enumerate(parts or ()):
            yield from self._part(item, place, number, part)

    def _part(self, item: int, place: str, number: int, part: object) -> Iterator[Part]:
        found = object_of(part)
        field = _PART_TEXTS.get(str(found.get("type")))
        if field is None:
            raise ChatModelError(NO_REPLY)
        channel = self._name(item, place, number)
        yield from self._texts.again(channel, found.get(field) or "")
        yield from self._texts.others(found, {}, ("type", field, "annotations", LOGPROBS))
        yield from self._annotations(found.get("annotations"))
        yield from self._told_tokens(found.get(LOGPROBS), self._texts.said(channel))

    def _annotations(self, annotations: object) -> Iterator[Part]:
        """Links and quotes, which come as events, with their part, with their item and with the reply."""
        for annotation in annotations if isinstance(annotations, list) else [annotations] if annotations else ():
            text = "\n".join(strings(annotation))
            if text:
                yield from self._texts.once("annotations", text)

    # Tokens.

    def _tokens(self, event: Mapping[str, object], kind: str) -> Tokens | None:
        if kind != _MAIN_DELTA or not event.get(LOGPROBS):
            return None
        found = tokens_of({LOGPROBS: {"content": event[LOGPROBS]}})
        if found is not None:
            self._alternatives.update(found.beside)
        return found

    def _told_tokens(self, logprobs: object, text: str) -> Iterator[Part]:
        """The tokens of a whole text: they say nothing new while they spell it, with the alternatives told before."""
        found = tokens_of({LOGPROBS: {"content": logprobs}}) if logprobs else None
        if found is None:
            return
        if found.ids or found.is_numbers:
            yield Part(LOGPROBS, is_numbers=True)
        if found.spelled and bytes(found.spelled) != text.encode("utf-8", "surrogatepass"):
            yield from self._texts.once(LOGPROBS, found.spelled.decode("utf-8", "replace"))
        new = [one for one in found.beside if one not in self._alternatives]
        self._alternatives.update(new)
        if new:
            yield Part("alternatives of tokens", "".join(new))


_BY_KIND = (
    "text", "refusal", "arguments", "input", "delta", "annotation", "item", "part", "response", "name", LOGPROBS,
)  # fmt: skip
# The fields that each kind of event reads for itself; elsewhere they are fields as any others.
_FIELDS_OF: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("response.created", "response.in_progress", "response.queued", *ENDS), ("response",)),
    **dict.fromkeys(("response.output_item.added", "response.output_item.done"), ("item",)),
    **{f"{kind}.delta": ("delta",) for kind in (*_TEXT_EVENTS, *_CALL_EVENTS)},
    **{f"{kind}.done": (field,) for kind, (_, _, field) in _TEXT_EVENTS.items()},
    _MAIN_DELTA: ("delta", LOGPROBS),
    f"{_MAIN_TEXT}.done": ("text", LOGPROBS),
    **{f"{kind}.done": (field, "name") for kind, field in _CALL_EVENTS.items()},
    **{f"{kind}.{end}": ("part",) for kind in _PART_EVENTS for end in ("added", "done")},
    "response.output_text.annotation.added": ("annotation",),
}


def texts_of(body: object) -> frozenset[str]:
    """All texts of a request."""
    return frozenset(texts_in(body))
