"""Anthropic's Messages as a guarded session speaks them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..core.verdict import Decision
from ..streaming.growing_answer import Pacing
from ..upstream.sse import write_event
from ..wires import messages_chat
from ..wires.anthropic_errors import dress
from ..wires.guarded_chat import GuardedChat
from ..wires.messages_events import MAIN, MessagesReader
from ..wires.messages_shown import ShownMessage, render_blocked
from ..wires.reply_texts import Reading
from ..wires.sealed import Sealer
from .contract import Moderation, Translation
from .events import GuardedEvents
from .row import Told

__all__ = ["Messages"]

_CHAT = "/v1/chat/completions"


class Messages:
    """One request; `name` is what the id of a reply is made of that is ours, `version` the caller's headers.

    `request_id` is told with errors.
    """

    path = "/v1/messages"
    param = "messages"
    main = MAIN

    def __init__(
        self, asked: GuardedChat, *, name: str, sealer: Sealer, version: Mapping[str, str], request_id: str
    ) -> None:
        self.asked, self._version, self._name, self._request_id = asked, version, name, request_id
        self._skeleton: Mapping[str, object] = {
            "id": f"msg_{name}",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        self._shown = ShownMessage(self._skeleton, sealer)
        stops = asked.forward.get("stop_sequences")
        self._stops = (
            frozenset(stop for stop in stops if isinstance(stop, str)) if isinstance(stops, list) else frozenset()
        )
        self._reader = MessagesReader(tools=asked.tools, stops=self._stops, model=asked.model)
        self._answer: GuardedEvents | None = None

    # As a contract.

    def answer(self, pacing: Pacing, *, shows_first: bool) -> GuardedEvents:
        """The answer that will come."""
        asked = self.asked
        told = Told(
            begun=asked.question.begun, tools=asked.tools, stops=self._stops, model=asked.model, policy=asked.policy
        )
        self._answer = GuardedEvents(self, pacing, told=told, shows_first=shows_first)
        return self._answer

    def tell(self, moderation: Moderation | None) -> None:
        """This contract has no place for it."""

    def translation(self) -> Translation | None:
        """The request as one for chat completions."""
        body = messages_chat.chat_body(self.asked.forward)
        made = messages_chat.MessagesFromChat(self._skeleton, self._name)
        return Translation(_CHAT, body, made.events, made.document, lambda: made.is_whole)

    def refused(self, decision: Decision, moderation: Moderation | None) -> Mapping[str, object]:
        """The whole reply to a prompt that was blocked."""
        return render_blocked(self._skeleton, decision)

    def whole(self, document: Mapping[str, object], moderation: Moderation | None) -> Mapping[str, object]:
        """The server's whole reply, with its content replaced if it was blocked."""
        cut = None if self._answer is None else self._answer.cut
        return self._shown.sealed(document) if cut is None else render_blocked(self._skeleton, cut)

    def write(self, events: Iterable[Mapping[str, object]]) -> bytes:
        """Events as they go to the client: it goes by their names."""
        return b"".join([write_event(event, name=str(event["type"])) for event in events])

    def last(self, refusal: Decision | None, moderation: Moderation | None) -> bytes:
        """The end of a stream; the whole of one whose prompt was blocked."""
        return b"" if refusal is None else self.write(self.blocked(refusal))

    def headers(self, api_key: str | None) -> Mapping[str, str]:
        """The version that the caller speaks, and the key where this contract has it."""
        return {**self._version, **({"X-Api-Key": api_key} if api_key is not None else {})}

    def error(self, document: Mapping[str, object], status: int) -> Mapping[str, object]:
        """In the client's shape: some servers have OpenAI's here too."""
        return dress(document, status, request_id=self._request_id)

    def broken(self, error: Mapping[str, object]) -> bytes:
        """The end of a stream that fails: nothing follows, not even the usual end."""
        return write_event(dress(error, 500, request_id=self._request_id), name="error")

    # As a wire of events.

    def tidy(self, event: Mapping[str, object]) -> Mapping[str, object] | None:
        """The event; None for a sign of life."""
        return None if event.get("type") == "ping" else event

    def read(self, event: Mapping[str, object]) -> Reading:
        """The text of an event."""
        return self._reader.read(event)

    def read_whole(self, document: Mapping[str, object]) -> Reading:
        """The text of a reply that is not streamed."""
        return self._reader.read_whole(document)

    def shown(self, event: Mapping[str, object]) -> Mapping[str, object]:
        """The event as the client gets it."""
        return self._shown.follow(event)

    def blocked(self, decision: Decision) -> list[Mapping[str, object]]:
        """The end of what was shown."""
        return list(self._shown.blocked(decision))
