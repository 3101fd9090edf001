"""The answer of a contract in which a reply is one row of events, such as Responses and Messages. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..core.verdict import Decision
from ..errors import ChatModelError, ModerationError
from ..streaming.growing_answer import GrowingAnswer, Pacing, Piece, Ruling
from ..wires.guarded_replies import strictest
from ..wires.reply_texts import Reading
from .row import Event, Row, Told

__all__ = ["EventWire", "GuardedEvents"]

_MAX_CHANNELS = 256


class EventWire(Protocol):
    """What one contract's events say, and how a reply ends that was blocked."""

    main: str
    """The channel of the answer's first words."""

    def tidy(self, event: Mapping[str, object]) -> Mapping[str, object] | None:
        """The event as it may be shown; None for one that says nothing. Raises ChatModelError."""

    def read(self, event: Mapping[str, object]) -> Reading:
        """The text of an event. Raises ChatModelError for what the contract does not know."""

    def read_whole(self, document: Mapping[str, object]) -> Reading:
        """The same of a reply that is not streamed."""

    def shown(self, event: Mapping[str, object]) -> Mapping[str, object]:
        """Note that this event goes on now; returns it as the client gets it."""

    def blocked(self, decision: Decision) -> list[Mapping[str, object]]:
        """The end of what was shown: what is open is closed, and the policy's message told."""


class GuardedEvents:
    """One reply. Not for several threads at once."""

    def __init__(self, wire: EventWire, pacing: Pacing, *, told: Told, shows_first: bool) -> None:
        self.head: Mapping[str, object] | None = None
        self._wire = wire
        self._row = Row(pacing, told, main=wire.main, shows_first=shows_first, most_channels=_MAX_CHANNELS)
        self._out: list[tuple[GrowingAnswer, Piece]] = []
        self._number = 0
        self._is_told = False

    def add(self, event: Mapping[str, object]) -> None:
        """An event of a stream. Raises ChatModelError for what is none."""
        if self._row.cut is not None or self._row.has_ended:
            return
        try:
            tidied = self._wire.tidy(event)
            if tidied is not None:
                self._hold(tidied, self._wire.read(tidied))
        except RecursionError:
            raise ChatModelError("The chat model's answer is nested too deeply.") from None

    def add_whole(self, document: Mapping[str, object]) -> None:
        """The document of a reply that is not streamed. Raises ChatModelError for what is none."""
        try:
            self._hold(document, self._wire.read_whole(document))
        except RecursionError:
            raise ChatModelError("The chat model's answer is nested too deeply.") from None

    def _hold(self, event: Mapping[str, object], reading: Reading) -> None:
        self.head = self.head or event
        self._number += 1
        self._row.hold(Event(self._number, event, is_end=reading.is_end), reading.parts, reading.tokens)
        if reading.is_end:
            self._row.end()

    def end(self) -> None:
        """The reply is complete."""
        self._row.end()

    @property
    def is_finished(self) -> bool:
        """Whether the last event has come, or none is waited for because the reply was blocked."""
        return self._row.has_ended or self._row.cut is not None

    @property
    def is_over(self) -> bool:
        """Whether the last event has come."""
        return self._row.has_ended

    @property
    def wants_check(self) -> bool:
        """Whether there is something to judge now."""
        return not self._out and self._row.is_ready

    def take_pieces(self) -> Sequence[Piece]:
        """What to judge now; nothing while pieces are out."""
        if self._out:
            return ()
        self._out = self._row.pieces()
        return [piece for _, piece in self._out]

    def hurry(self) -> None:
        """Have text judged in smaller pieces for once, because it comes slowly."""
        self._row.hurry()

    def settle(self, rulings: Sequence[Ruling | ModerationError]) -> None:
        """The rulings on the pieces taken, in their order. Raises the first error among them."""
        out, self._out = self._out, []
        for (text, piece), ruling in zip(out, rulings, strict=True):
            if isinstance(ruling, ModerationError):
                raise ruling
            if self._row.cut is not None:
                continue
            text.settle(piece, ruling)
            if ruling.decision is not None:
                self._row.decisions.append(ruling.decision)
                if ruling.is_blocked:
                    self._row.block(ruling.decision)

    def release(self) -> list[Mapping[str, object]]:
        """The events that may go on to the client now, in the order in which they came."""
        found = [self._wire.shown(event.chunk) for event in self._row.released()]
        if self._row.cut is not None and not self._is_told:
            self._is_told = True
            found += self._wire.blocked(self._row.cut)
        return found

    @property
    def cut(self) -> Decision | None:
        """The decision by which the reply was blocked."""
        return self._row.cut

    @property
    def is_all_cut(self) -> bool:
        """Whether nothing that is still to come could be shown."""
        return self._row.cut is not None

    is_blocked = is_all_cut

    @property
    def is_judged(self) -> bool:
        """Whether the reply has ended and no text of it waits for a verdict."""
        return not self._out and self._row.is_judged

    @property
    def decisions(self) -> list[Decision]:
        """Every decision on a piece."""
        return list(self._row.decisions)

    @property
    def strictest(self) -> list[Decision]:
        """The decision that counts for the reply, if it was judged."""
        worst = strictest(self._row.decisions)
        return [] if worst is None else [worst]
