"""OpenAI's chat completions as a guarded session speaks them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..core.verdict import Decision
from ..streaming.growing_answer import Pacing
from ..upstream.sse import DONE, write_event
from ..wires.guarded_chat import GuardedChat
from ..wires.guarded_replies import moderation_chunk, refused, refused_chunks, with_cuts
from .answer import GuardedAnswer
from .contract import Moderation, Translation
from .row import Told

__all__ = ["Completions"]

_MAX_CHOICES = 128
_END = f"data: {DONE}\n\n".encode()


class Completions:
    """One request for chat completions; `created` is the time in the replies that are ours."""

    path = "/v1/chat/completions"
    param = "messages"

    def __init__(self, asked: GuardedChat, *, created: int) -> None:
        self.asked, self._created = asked, created
        self._answer: GuardedAnswer | None = None

    def answer(self, pacing: Pacing, *, shows_first: bool) -> GuardedAnswer:
        """The answer that will come."""
        asked = self.asked
        self._answer = GuardedAnswer(
            pacing=pacing,
            expected=asked.choices,
            told=Told(
                begun=asked.question.begun, tools=asked.tools, stops=asked.stops, model=asked.model, policy=asked.policy
            ),
            is_structured=asked.is_structured,
            shows_first=shows_first,
        )
        return self._answer

    def tell(self, moderation: Moderation | None) -> None:
        """It stands in a chunk of its own, at the end."""

    def translation(self) -> Translation | None:
        """Every server of OpenAI's API knows this contract."""
        return None

    def refused(self, decision: Decision, moderation: Moderation | None) -> Mapping[str, object]:
        """The whole reply to a prompt that was blocked."""
        document = refused(decision, self.asked, created=self._created, choices=self._choices)
        return document if moderation is None else {**document, "moderation": moderation()}

    def whole(self, document: Mapping[str, object], moderation: Moderation | None) -> Mapping[str, object]:
        """The server's whole reply, with the choices that were blocked replaced."""
        cut = {} if self._answer is None else self._answer.cut
        shown = with_cuts(document, cut, is_structured=self.asked.is_structured)
        return shown if moderation is None else {**shown, "moderation": moderation()}

    def write(self, events: Iterable[Mapping[str, object]]) -> bytes:
        """Events as they go to the client."""
        return b"".join([write_event(event) for event in events])

    def last(self, refusal: Decision | None, moderation: Moderation | None) -> bytes:
        """The end of a stream; the whole of one whose prompt was blocked."""
        events: list[Mapping[str, object]] = []
        for index in range(self._choices if refusal is not None else 0):
            assert refusal is not None
            events += refused_chunks(
                refusal,
                index=index,
                model=self.asked.model,
                created=self._created,
                is_structured=self.asked.is_structured,
            )
        if moderation is not None:
            head = events[0] if events else (self._answer and self._answer.head) or {}
            events.append(moderation_chunk(head, moderation()))
        return self.write(events) + _END

    def headers(self, api_key: str | None) -> Mapping[str, str]:
        """Nothing of its own."""
        return {}

    def error(self, document: Mapping[str, object], status: int) -> Mapping[str, object]:
        """As it came."""
        return document

    def broken(self, error: Mapping[str, object]) -> bytes:
        """The end of a stream that fails: nothing follows, not even the usual end."""
        return write_event(error)

    @property
    def _choices(self) -> int:
        return min(self.asked.choices, _MAX_CHOICES)
