"""What a client of Anthropic's Messages has been shown, and how a reply ends that was blocked. No I/O.

A blocked reply ends with the policy's message in the block that is open, the stop reason `refusal` and its details: the
SDKs show the text, and programs see by the reason that it is none of the model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..core.verdict import Decision
from . import native
from .messages_events import index_of
from .sealed import Sealer

__all__ = ["ShownMessage", "render_blocked"]

_SEALED = {"thinking": "signature", "redacted_thinking": "data"}
_REFUSAL = "refusal"


class ShownMessage:
    """What was shown of one reply. `skeleton` is the message where the server has begun none."""

    def __init__(self, skeleton: Mapping[str, object], sealer: Sealer) -> None:
        self._skeleton, self._sealer = skeleton, sealer
        self._has_begun = False
        self._next = 0
        self._open: tuple[int, object] | None = None
        self._has_text = False

    def follow(self, event: Mapping[str, object]) -> Mapping[str, object]:
        """Note an event that goes on; returns it as the client gets it."""
        kind = event["type"]
        if kind == "content_block_delta":
            delta = event["delta"]
            assert isinstance(delta, dict)
            self._has_text = self._has_text or bool(delta.get("text"))
            if delta.get("signature"):
                return {**event, "delta": {**delta, "signature": self._sealer.seal(str(delta["signature"]))}}
        elif kind == "message_start":
            self._has_begun = True
            message = event["message"]
            assert isinstance(message, dict)
            return {**event, "message": self.sealed(message)}
        elif kind == "content_block_start":
            block = event["content_block"]
            assert isinstance(block, dict)
            self._open = (index_of(event), block.get("type"))
            self._next, self._has_text = self._open[0] + 1, self._has_text or bool(block.get("text"))
            return {**event, "content_block": self._sealed_block(block)}
        elif kind == "content_block_stop":
            self._open = None
        return event

    def sealed(self, message: Mapping[str, object]) -> Mapping[str, object]:
        """A message with our mark on its sealed data."""
        content = message.get("content")
        if not isinstance(content, list) or not content:
            return message
        return {**message, "content": [self._sealed_block(block) for block in content]}

    def _sealed_block(self, block: object) -> object:
        field = _SEALED.get(str(block.get("type"))) if isinstance(block, dict) else None
        if isinstance(block, dict) and field is not None and isinstance(block.get(field), str) and block[field]:
            return {**block, field: self._sealer.seal(block[field])}
        return block

    def blocked(self, decision: Decision) -> Iterator[Mapping[str, object]]:
        """The events that end the reply with the policy's message."""
        text = decision.message or ""
        if not self._has_begun:
            yield {"type": "message_start", "message": self._skeleton}
        if self._open is not None and self._open[1] != "text":
            yield {"type": "content_block_stop", "index": self._open[0]}
            self._open = None
        if self._open is None:
            self._open = (self._next, "text")
            yield {"type": "content_block_start", "index": self._next, "content_block": {"type": "text", "text": ""}}
        index = self._open[0]
        delta = {"type": "text_delta", "text": f"\n\n{text}" if self._has_text else text}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
        stop = {"stop_reason": _REFUSAL, "stop_sequence": None, "stop_details": _details(decision)}
        yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 0}}
        yield {"type": "message_stop"}


def render_blocked(skeleton: Mapping[str, object], decision: Decision) -> dict[str, object]:
    """The message for a prompt or an answer that was blocked: nothing of it is the model's."""
    content = [{"type": "text", "text": decision.message or ""}]
    return {**skeleton, "content": content, "stop_reason": _REFUSAL, "stop_details": _details(decision)}


def _details(decision: Decision) -> dict[str, object]:
    categories = decision.verdict.categories if decision.verdict is not None else ()
    return {
        "type": _REFUSAL,
        "category": categories[0].value if categories else None,
        "explanation": decision.message,
        "x_moderation": native.render(decision),
    }
