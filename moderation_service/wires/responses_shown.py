"""What a client of OpenAI's Responses has been shown, and how a reply ends that was blocked. No I/O.

A blocked stream goes on as an answer does that was cut short: the policy's message in the part that is open, everything
closed, and `incomplete` with the reason `content_filter`. No client takes that for a whole answer. Never a part of type
`refusal`: SDKs leave it out of their text, and servers fail on it when it comes back with the next turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from enum import Enum

from ..core.verdict import Decision
from . import native
from .responses_events import place_of
from .sealed import Sealer

__all__ = ["NO_USAGE", "BlockedEnd", "ShownResponse", "render_blocked"]

NO_USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}
_SEALED = "encrypted_content"
# What ends a part of this kind, and the field of its text there; before it the delta of that name came.
_ENDS = {
    "output_text": ("response.output_text", "content_index"),
    "refusal": ("response.refusal", "content_index"),
    "reasoning_text": ("response.reasoning_text", "content_index"),
    "summary_text": ("response.reasoning_summary_text", "summary_index"),
}
_DELTAS = {
    "response.output_text.delta": ("output_text", "content", "content_index"),
    "response.refusal.delta": ("refusal", "content", "content_index"),
    "response.reasoning_text.delta": ("reasoning_text", "content", "content_index"),
    "response.reasoning_summary_text.delta": ("summary_text", "summary", "summary_index"),
}
_PARTS = {
    "response.content_part": ("content", "content_index"),
    "response.reasoning_part": ("content", "content_index"),
    "response.reasoning_summary_part": ("summary", "summary_index"),
}


class BlockedEnd(Enum):
    """As what a reply ends that was blocked."""

    INCOMPLETE = "incomplete"
    """`response.incomplete`, with the reason `content_filter`."""
    FAILED = "failed"
    """`response.failed` with the code `invalid_prompt`: agent command lines ask again after `incomplete`."""
    COMPLETED = "completed"
    """`response.completed`: for clients that raise an exception otherwise; only `x_moderation` tells."""


class ShownResponse:
    """What was shown of one reply. `skeleton` is the reply's object where the server has told none."""

    def __init__(self, skeleton: Mapping[str, object], sealer: Sealer, *, end: BlockedEnd) -> None:
        self._skeleton, self._sealer, self._end = skeleton, sealer, end
        self._head: Mapping[str, object] | None = None
        self._number = -1
        self._items: dict[int, dict[str, object]] = {}
        self._open: int | None = None
        self._texts: dict[tuple[int, str, int], list[str]] = {}
        self._part: tuple[int, str, int, str] | None = None
        """The part that is open: its item, the list it is in, its place there, its type."""

    @property
    def following(self) -> int:
        """The number of the next event."""
        return self._number + 1

    def follow(self, event: Mapping[str, object]) -> Mapping[str, object]:
        """Note an event that goes on; returns it as the client gets it."""
        kind = str(event.get("type"))
        number = event.get("sequence_number")
        self._number = number if isinstance(number, int) else self._number + 1
        delta = _DELTAS.get(kind)
        if delta is not None:
            part, place, index = delta
            item, position = place_of(event, index)
            key = (item, place, position)
            if key in self._texts:
                self._texts[key].append(str(event["delta"]))
            else:
                self._texts[key] = [str(event["delta"])]
                self._part = (*key, part)
                self._open = item
            return event
        stem, _, end = kind.rpartition(".")
        if stem == "response.output_item":
            return self._follow_item(event, is_done=end == "done")
        if stem in _PARTS:
            place, index = _PARTS[stem]
            item, position = place_of(event, index)
            found = event["part"]
            assert isinstance(found, dict)
            self._part = (item, place, position, str(found["type"])) if end == "added" else None
        elif "response" in event:
            response = event["response"]
            assert isinstance(response, dict)
            self._head = self._head or response
            return {**event, "response": self.sealed(response)}
        return event

    def _follow_item(self, event: Mapping[str, object], *, is_done: bool) -> Mapping[str, object]:
        index, _ = place_of(event, "")
        item = self._sealed_item(event["item"])
        assert isinstance(item, dict)
        self._items[index] = item
        self._open = None if is_done else index
        self._part = None
        return {**event, "item": item}

    def sealed(self, response: Mapping[str, object]) -> Mapping[str, object]:
        """A reply with our mark on its sealed data."""
        output = response.get("output")
        if not isinstance(output, list):
            return response
        return {**response, "output": [self._sealed_item(item) for item in output]}

    def _sealed_item(self, item: object) -> object:
        if isinstance(item, dict) and isinstance(item.get(_SEALED), str):
            return {**item, _SEALED: self._sealer.seal(item[_SEALED])}
        return item

    def blocked(self, decision: Decision) -> list[Mapping[str, object]]:
        """The events that end the reply with the policy's message."""
        found = [{**event} for event in self._ended(decision)]
        for event in found:
            self._number += 1
            event["sequence_number"] = self._number
        return list(found)

    def _ended(self, decision: Decision) -> Iterator[dict[str, object]]:
        if self._head is None:
            response = {**self._skeleton, "status": "in_progress"}
            yield {"type": "response.created", "response": response}
            yield {"type": "response.in_progress", "response": response}
        text = decision.message or ""
        is_message = self._open is not None and self._is_message(self._open)
        if self._part is not None and not (is_message and self._part[3] == "output_text"):
            yield from self._closed_part()
        if self._open is not None and not is_message:
            yield from self._closed_item()
        if self._open is None:
            self._open = max(self._items, default=-1) + 1
            item: dict[str, object] = {"id": f"msg_{_hex(decision)}", "type": "message", "role": "assistant"}
            item |= {"status": "in_progress", "content": []}
            self._items[self._open] = dict(item)
            yield {"type": "response.output_item.added", "output_index": self._open, "item": item}
        if self._part is None:
            places = [place for item, _, place in self._texts if item == self._open]
            self._part = (self._open, "content", max(places, default=-1) + 1, "output_text")
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield {**self._at(), "type": "response.content_part.added", "part": part}
        key = self._part[:3]
        # Also after text of an item that is closed: programs put the texts of all of them together.
        has_text = any("".join(shown) for (item, _, _), shown in self._texts.items() if self._is_message(item))
        text = f"\n\n{text}" if has_text else text
        self._texts.setdefault(key, []).append(text)
        yield {**self._at(), "type": "response.output_text.delta", "delta": text, "logprobs": []}
        yield from self._closed_part()
        yield from self._closed_item()
        output = [item for _, item in sorted(self._items.items())]
        response = render_blocked({**(self._head or self._skeleton), "output": output}, decision, end=self._end)
        yield {"type": f"response.{response['status']}", "response": response}

    def _is_message(self, item: int) -> bool:
        return self._items.get(item, {}).get("type", "message") == "message"

    def _at(self) -> dict[str, object]:
        assert self._part is not None
        item, _, position, kind = self._part
        number = _ENDS[kind][1]
        return {"item_id": self._items.get(item, {}).get("id", ""), "output_index": item, number: position}

    def _closed_part(self) -> Iterator[dict[str, object]]:
        """The events that end the part that is open."""
        assert self._part is not None
        item, place, position, kind = self._part
        text = "".join(self._texts.get((item, place, position), ()))
        stem, number = _ENDS[kind]
        field = "refusal" if kind == "refusal" else "text"
        more: dict[str, object] = {"logprobs": []} if kind == "output_text" else {}
        yield {**self._at(), "type": f"{stem}.done", field: text, **more}
        if kind != "reasoning_text":
            part = {"type": kind, field: text, **({"annotations": [], **more} if more else {})}
            name = "reasoning_summary_part" if number == "summary_index" else "content_part"
            yield {**self._at(), "type": f"response.{name}.done", "part": part}
        self._part = None

    def _closed_item(self) -> Iterator[dict[str, object]]:
        """The event that ends the item that is open, with what of it was shown."""
        index = self._open
        assert index is not None
        item = deepcopy(self._items.get(index, {"type": "message", "role": "assistant"}))
        status = "completed" if self._end is BlockedEnd.COMPLETED else "incomplete"
        item["status"] = status
        for place in ("content", "summary"):
            parts = [self._told_part(item, place, at) for at in sorted(self._texts) if at[:2] == (index, place)]
            if parts or place in item:
                item[place] = parts
        item.pop(_SEALED, None)
        self._items[index] = item
        self._open = None
        yield {"type": "response.output_item.done", "output_index": index, "item": item}

    def _told_part(self, item: Mapping[str, object], place: str, at: tuple[int, str, int]) -> dict[str, object]:
        text = "".join(self._texts[at])
        if item.get("type") == "reasoning":
            return {"type": "summary_text" if place == "summary" else "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def render_blocked(response: Mapping[str, object], decision: Decision, *, end: BlockedEnd) -> dict[str, object]:
    """The object of a reply that was blocked; without any output it gets the policy's message as its only item."""
    status = end.value
    output = response.get("output")
    if not output:
        item_status = "completed" if end is BlockedEnd.COMPLETED else "incomplete"
        part = {"type": "output_text", "text": decision.message or "", "annotations": [], "logprobs": []}
        message = {"id": f"msg_{_hex(decision)}", "type": "message", "role": "assistant", "status": item_status}
        output = [{**message, "content": [part]}]
    failed = {"code": "invalid_prompt", "message": decision.message or "The answer was blocked."}
    return {
        **response,
        "status": status,
        "error": failed if end is BlockedEnd.FAILED else None,
        "incomplete_details": {"reason": "content_filter"} if end is BlockedEnd.INCOMPLETE else None,
        "output": output,
        "usage": NO_USAGE,
        "x_moderation": native.render(decision),
    }


def _hex(decision: Decision) -> str:
    return decision.id.removeprefix("mod_")
