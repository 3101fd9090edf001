"""What a guarded session asks of the contract that its client speaks: one implementation for each. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.verdict import Decision
from ..errors import ModerationError
from ..streaming.growing_answer import Pacing, Piece, Ruling
from ..wires.guarded_chat import GuardedChat

__all__ = ["Answer", "Contract", "Moderation", "Translation"]

Moderation = Callable[[], Mapping[str, object]]
"""Makes OpenAI's `moderation` object of what was judged so far."""


class Answer(Protocol):
    """A reply on its way to the client, in events: what of it waits for a verdict, and what may go on."""

    head: Mapping[str, object] | None
    """The first event; None before it."""

    def add(self, event: Mapping[str, object]) -> None:
        """An event of a stream. Raises ChatModelError for what is none."""

    def add_whole(self, document: Mapping[str, object]) -> None:
        """The document of a reply that is not streamed. Raises ChatModelError for what is none."""

    def end(self) -> None:
        """The reply is complete."""

    @property
    def is_finished(self) -> bool:
        """Whether all that was asked for has come; some more, such as the usage, may come."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come."""

    @property
    def wants_check(self) -> bool:
        """Whether there is something to judge now."""

    def take_pieces(self) -> Sequence[Piece]:
        """What to judge now; nothing while pieces are out."""

    def hurry(self) -> None:
        """Have text judged in smaller pieces for once."""

    def settle(self, rulings: Sequence[Ruling | ModerationError]) -> None:
        """The rulings on the pieces taken, in their order. Raises the first error among them."""

    def release(self) -> list[Mapping[str, object]]:
        """The events that may go on now."""

    @property
    def is_all_cut(self) -> bool:
        """Whether nothing that is still to come could be shown."""

    @property
    def is_blocked(self) -> bool:
        """Whether something of the reply was blocked."""

    @property
    def is_judged(self) -> bool:
        """Whether the reply has ended and no text of it waits for a verdict."""

    @property
    def decisions(self) -> list[Decision]:
        """Every decision on a piece."""

    @property
    def strictest(self) -> list[Decision]:
        """The decision that counts, for each part that is judged apart."""


@dataclass(frozen=True, slots=True)
class Translation:
    """The same request in the words of another contract, for a server that does not know the client's.

    `events` gives the client's events for one of the server's, and for None those that end the reply; `document` does
    it for a reply that is not streamed. Both raise ChatModelError. `is_whole` tells whether the server's reply has told
    its end, though not every server sends the end mark.
    """

    path: str
    body: Mapping[str, object]
    events: Callable[[Mapping[str, object] | None], Iterable[Mapping[str, object]]]
    document: Callable[[Mapping[str, object]], Mapping[str, object]]
    is_whole: Callable[[], bool]


class Contract(Protocol):
    """One request of one client, and how its reply is written."""

    path: str
    """The address that the model's server is asked at."""
    param: str
    """The field of the request that the user's words are in."""
    asked: GuardedChat

    def answer(self, pacing: Pacing, *, shows_first: bool) -> Answer:
        """The answer that will come. Called once."""

    def tell(self, moderation: Moderation | None) -> None:
        """Have events of the reply tell what was found, where that was asked for."""

    def translation(self) -> Translation | None:
        """What to ask a server that does not know `path`; None for nothing. Raises InvalidRequest by name."""

    def refused(self, decision: Decision, moderation: Moderation | None) -> Mapping[str, object]:
        """The whole reply to a prompt that was blocked."""

    def whole(self, document: Mapping[str, object], moderation: Moderation | None) -> Mapping[str, object]:
        """The server's whole reply, with what was blocked replaced."""

    def write(self, events: Iterable[Mapping[str, object]]) -> bytes:
        """Events as they go to the client."""

    def last(self, refusal: Decision | None, moderation: Moderation | None) -> bytes:
        """The end of a stream, after all events that were released; the whole of one whose prompt was blocked."""

    def headers(self, api_key: str | None) -> Mapping[str, str]:
        """What the contract wants in the head of a call to the model's server, whose key this is."""

    def error(self, document: Mapping[str, object], status: int) -> Mapping[str, object]:
        """A refusal in the model server's words, in the client's shape."""

    def broken(self, error: Mapping[str, object]) -> bytes:
        """The end of a stream that fails, with an error in OpenAI's shape."""
