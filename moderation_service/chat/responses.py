"""OpenAI's Responses as a guarded session speaks them. No I/O but the memory of what was let out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..core.verdict import Decision
from ..streaming.growing_answer import Pacing
from ..upstream.sse import write_event
from ..wires import responses_chat
from ..wires.reply_texts import Reading
from ..wires.responses_events import ENDS, MAIN, ResponsesReader, texts_of
from ..wires.responses_requests import ResponsesRequest
from ..wires.responses_shown import BlockedEnd, ShownResponse, render_blocked
from ..wires.sealed import Sealer
from .contract import Moderation, Translation
from .events import GuardedEvents
from .row import Told

__all__ = ["Responses"]

_CHAT = "/v1/chat/completions"

Remember = Callable[[Mapping[str, object]], None]
"""Takes a reply as it was let out."""
_ECHOED = (
    "instructions",
    "metadata",
    "tools",
    "tool_choice",
    "temperature",
    "top_p",
    "text",
    "truncation",
    "reasoning",
)
_DEFAULTS: Mapping[str, object] = {
    "instructions": None,
    "metadata": {},
    "tools": [],
    "tool_choice": "auto",
    "temperature": None,
    "top_p": None,
    "text": {"format": {"type": "text"}},
    "truncation": "disabled",
    "reasoning": None,
    "parallel_tool_calls": True,
}


class Responses:
    """One request; `created` is the time in a reply that is ours, `name` what its id is made of.

    `remember` is called with each reply that ends, where the caller may refer to it later.
    """

    path = "/v1/responses"
    param = "input"
    main = MAIN

    def __init__(
        self,
        request: ResponsesRequest,
        *,
        created: int,
        name: str,
        sealer: Sealer,
        end: BlockedEnd,
        remember: Remember | None,
    ) -> None:
        self.asked = request.chat
        self._request, self._end, self._remember, self._name = request, end, remember, name
        told = {key: value for key in _ECHOED if (value := self.asked.forward.get(key)) is not None}
        self._skeleton: Mapping[str, object] = {
            "id": f"resp_{name}",
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "model": self.asked.model,
            "output": [],
            "error": None,
            "incomplete_details": None,
            "usage": None,
            "previous_response_id": request.previous,
            **_DEFAULTS,
            **told,
        }
        self._shown = ShownResponse(self._skeleton, sealer, end=end)
        self._reader = ResponsesReader(
            tools=self.asked.tools, echoes=texts_of(self.asked.forward), model=self.asked.model
        )
        self._moderation: Moderation | None = None
        self._answer: GuardedEvents | None = None

    # As a contract.

    def answer(self, pacing: Pacing, *, shows_first: bool) -> GuardedEvents:
        """The answer that will come."""
        told = Told(
            begun=self.asked.question.begun, tools=self.asked.tools, model=self.asked.model, policy=self.asked.policy
        )
        self._answer = GuardedEvents(self, pacing, told=told, shows_first=shows_first)
        return self._answer

    def translation(self) -> Translation | None:
        """The request as one for chat completions."""
        body = responses_chat.chat_body(self.asked.forward, self._request.items)
        made = responses_chat.ResponsesFromChat(self._skeleton, self._name)
        return Translation(_CHAT, body, made.events, made.document, lambda: made.is_whole)

    def refused(self, decision: Decision, moderation: Moderation | None) -> Mapping[str, object]:
        """The whole reply to a prompt that was blocked."""
        return self._let_out(render_blocked(self._skeleton, decision, end=self._end), moderation)

    def whole(self, document: Mapping[str, object], moderation: Moderation | None) -> Mapping[str, object]:
        """The server's whole reply, with its output replaced if it was blocked."""
        cut = None if self._answer is None else self._answer.cut
        if cut is not None:
            return self._let_out(render_blocked(self._skeleton, cut, end=self._end), moderation)
        return self._let_out(self._shown.sealed(document), moderation)

    def write(self, events: Iterable[Mapping[str, object]]) -> bytes:
        """Events as they go to the client."""
        return b"".join([write_event(event, name=str(event["type"])) for event in events])

    def last(self, refusal: Decision | None, moderation: Moderation | None) -> bytes:
        """The end of a stream; the whole of one whose prompt was blocked."""
        if refusal is None:
            return b""
        return self.write(self.blocked(refusal))

    def headers(self, api_key: str | None) -> Mapping[str, str]:
        """Nothing of its own."""
        return {}

    def error(self, document: Mapping[str, object], status: int) -> Mapping[str, object]:
        """As it came."""
        return document

    def broken(self, error: Mapping[str, object]) -> bytes:
        """The end of a stream that fails: an event that all SDKs raise."""
        found = error["error"]
        assert isinstance(found, dict)
        told = {"code": found.get("code"), "message": found.get("message"), "param": None}
        event = {"type": "error", "sequence_number": self._shown.following, **told, "error": found}
        return write_event(event, name="error")

    # As a wire of events.

    def tidy(self, event: Mapping[str, object]) -> Mapping[str, object]:
        """The event without what only hides its length."""
        return {key: value for key, value in event.items() if key != "obfuscation"} if "obfuscation" in event else event

    def read(self, event: Mapping[str, object]) -> Reading:
        """The text of an event."""
        return self._reader.read(event)

    def read_whole(self, document: Mapping[str, object]) -> Reading:
        """The text of a reply that is not streamed."""
        return self._reader.read_whole(document)

    def shown(self, event: Mapping[str, object]) -> Mapping[str, object]:
        """The event as the client gets it."""
        shown = self._shown.follow(event)
        response = shown.get("response")
        if not isinstance(response, dict):
            return shown
        if shown["type"] in ENDS:
            return {**shown, "response": self._let_out(response, self._moderation)}
        return {**shown, "response": self._named(response)}

    def blocked(self, decision: Decision) -> list[Mapping[str, object]]:
        """The end of what was shown."""
        *events, last = self._shown.blocked(decision)
        response = last["response"]
        assert isinstance(response, dict)
        return [*events, {**last, "response": self._let_out(response, self._moderation)}]

    def tell(self, moderation: Moderation | None) -> None:
        """Have the reply tell what was found, where that was asked for."""
        self._moderation = moderation

    def _named(self, response: Mapping[str, object]) -> Mapping[str, object]:
        """The turn that the caller has referred to, of which the model's server knows nothing."""
        if self._request.previous is None:
            return response
        return {**response, "previous_response_id": self._request.previous}

    def _let_out(self, response: Mapping[str, object], moderation: Moderation | None) -> Mapping[str, object]:
        response = self._named(response)
        if moderation is not None:
            response = {**response, "moderation": {side: _strictest(found) for side, found in moderation().items()}}
        if self._remember is not None and self._request.keeps:
            self._remember(response)
        return response


def _strictest(side: object) -> object:
    """Of one side of a `moderation` object the one result that this contract has room for."""
    results = side.get("results") if isinstance(side, Mapping) else None
    if not isinstance(results, list):
        return side
    return max(results, key=lambda result: bool(result["flagged"]), default=None)
