"""The core of every guarded answer: a row of events that wait for verdicts. No I/O.

A reply is a row of *events*, whatever its contract: the chunks of a stream, or the one document of a reply that is not
streamed. Each event has text on *channels*, one text each, and goes on as it came once all its text was cleared. An
event that `waits` goes on once the whole row was judged, and so does what follows it: calls of tools, sealed data, the
end.

What tools are told is judged when the row is complete, as the tool will read it: half a call is of no use to anybody,
and JSON can spell a word in escapes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ..core.policy import Policy
from ..core.tool_calls import tool_text
from ..core.verdict import Decision
from ..errors import ChatModelError
from ..streaming.growing_answer import GrowingAnswer, Pacing, Piece
from ..wires.openai_choices import FIELDS, LOGPROBS, Part, Tokens

__all__ = ["ALTERNATIVES", "MAX_CHANNELS", "Channels", "Event", "Row", "Told"]

ALTERNATIVES = "alternatives"
"""The channel of what a model has not said: tokens that were not chosen."""
MAX_CHANNELS = 64
"""The most texts that are judged apart in one row."""
_TAIL_CHARS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the caller has said itself, and so is nothing new in an answer.

    `begun` is the beginning of the answer, if the caller has put one into the model's mouth; `tools` the names of its
    tools, `stops` its stop strings, `model` the model's name.
    """

    begun: str = ""
    tools: frozenset[str] = frozenset()
    stops: frozenset[str] = frozenset()
    model: str = ""
    policy: Policy | None = None
    """Whose rules for tools count."""

    def has_rules(self, tool: str) -> bool:
        """Whether the policy has rules of its own for this tool."""
        return self.policy is not None and self.policy.for_tool(tool) is not None


@dataclass(slots=True)
class Event:
    """One event of a row, and how far each channel must have been cleared for it to go on."""

    number: int
    chunk: Mapping[str, object]
    marks: Mapping[str, int] = field(default_factory=dict)
    beside: Mapping[str, int] = field(default_factory=dict)
    waits: bool = False
    """Goes on once the whole row was judged; of a row that is blocked it is never shown."""
    is_end: bool = False
    is_untied: bool = False
    """Has numbers that could spell text, and nobody knows which."""
    ids: int = 0
    """How many ids of tokens have come up to this event, if it has some."""


class Channels:
    """Texts that grow side by side, each judged apart."""

    def __init__(self, pacing: Pacing, *, most: int = MAX_CHANNELS) -> None:
        self._pacing = pacing
        self._most = most
        self._by_name: dict[str, GrowingAnswer] = {}
        self._closed: set[str] = set()

    def add(self, name: str, text: str, *, before: str = "", tool: str | None = None) -> int:
        """Add to a text; returns up to where it must be cleared. `before` is what the text continues.

        `tool` is the name of the tool that it is told to, where that has rules of its own.
        """
        channel = self._by_name.get(name)
        if channel is None:
            if len(self._by_name) >= self._most:
                raise ChatModelError("The chat model's answer has too many fields.")
            channel = self._by_name[name] = GrowingAnswer(self._pacing, before=before, tool=tool)
        elif name in self._closed:
            raise ChatModelError("The chat model went on with a text that it had ended.")
        channel.add(text)
        return channel.cleared + channel.held

    def end(self) -> None:
        """No more text will come."""
        for channel in self._by_name.values():
            channel.end()

    def close(self, name: str) -> None:
        """No more of this text will come: what is held of it is judged now, and nothing waits for its next words."""
        channel = self._by_name.get(name)
        if channel is not None and name not in self._closed:
            self._closed.add(name)
            channel.end()

    def hurry(self) -> None:
        """Have text judged in smaller pieces for once."""
        for channel in self._by_name.values():
            channel.hurry()

    def flush(self, *, but: str = "") -> None:
        """Have what is held judged with the next check."""
        for name, channel in self._by_name.items():
            if name != but and channel.held:
                channel.flush()

    def clear(self) -> None:
        """Forget all text."""
        self._by_name.clear()

    def pieces(self) -> list[tuple[GrowingAnswer, Piece]]:
        """What to judge now."""
        return [(one, piece) for one in self._by_name.values() if (piece := one.next_piece()) is not None]

    def are_cleared(self, marks: Mapping[str, int]) -> bool:
        """Whether each text was cleared so far."""
        return all(self._by_name[name].cleared >= mark for name, mark in marks.items())

    @property
    def is_ready(self) -> bool:
        """Whether there is something to judge now."""
        return any(channel.is_ready for channel in self._by_name.values())

    @property
    def is_settled(self) -> bool:
        """Whether all texts have ended and nothing of them is open."""
        return all(channel.is_settled for channel in self._by_name.values())


class Row:
    """Events in the order in which they came, of which none passes the one before it.

    `main` is the channel that continues what the caller has begun. With `shows_first` text goes on before it was
    judged, and the row is cut when the verdict says so.
    """

    def __init__(
        self, pacing: Pacing, told: Told, *, main: str, shows_first: bool, most_channels: int = MAX_CHANNELS
    ) -> None:
        self.cut: Decision | None = None
        self.decisions: list[Decision] = []
        self.waiting: deque[Event] = deque()
        self.has_ended = False
        self._told, self._main, self._shows_first = told, main, shows_first
        self._channels = Channels(pacing, most=most_channels)
        self._names: set[str] = set()
        self._tools: dict[str, list[str]] = {}
        self._tool_names: dict[str, str] = {}
        self._last = ""
        # Of tokens: bytes of a character whose rest is to come; None when they spell something else than the text.
        self._ahead: bytes | None = b""
        self._tail = ""

    def hold(self, event: Event, parts: Iterable[Part], tokens: Tokens | None = None) -> None:
        """Let an event with this text wait."""
        if self.cut is not None:
            return
        marks: dict[str, int] = {}
        said = self._add_parts(event, parts, marks)
        if tokens is not None:
            self._add_tokens(tokens, said, marks)
            event.is_untied = event.is_untied or tokens.is_numbers or tokens.ids > 0
        event.marks = marks
        self.waiting.append(event)

    def _add_parts(self, event: Event, parts: Iterable[Part], marks: dict[str, int]) -> str:
        """All text of an event but its tokens; returns what it says together."""
        said: list[str] = []
        for part in parts:
            if part.is_numbers:
                event.is_untied = True
            elif part.waits:
                event.waits = True
            elif part.tool:
                # Some servers say the name once, some with every piece, some in pieces.
                event.waits = True
                known = self._tool_names.get(part.channel, "")
                self._tool_names[part.channel] = known if known == part.tool else known + part.tool
            elif part.closes:
                self._channels.close(part.channel)
            elif part.is_tool:
                self._refuse_after_end(part.text)
                event.waits = True
                self._tools.setdefault(part.channel, []).append(part.text)
                said.append(part.text)
            elif part.text and not (part.channel == FIELDS and part.text in self._names):
                self._mark(part.channel, part.text, marks)
                if part.channel == FIELDS:
                    self._names.add(part.text)
                else:
                    said.append(part.text)
                    self._last = part.channel
        return "".join(said)

    def _mark(self, channel: str, text: str, marks: dict[str, int], *, before: str = "") -> None:
        self._refuse_after_end(text)
        before = self._told.begun if channel == self._main else before
        marks[channel] = self._channels.add(channel, text, before=before)

    def _refuse_after_end(self, text: str) -> None:
        if self.has_ended and text:
            raise ChatModelError("The chat model went on after the end of its answer.")

    def _add_tokens(self, tokens: Tokens, said: str, marks: dict[str, int]) -> None:
        """Tokens say nothing new while they spell the text they come with; otherwise they are a text of their own."""
        if tokens.beside:
            self._mark(ALTERNATIVES, "".join(tokens.beside), marks)
        if tokens.spelled:
            if self._ahead is not None:
                self._ahead = _ahead_of(self._ahead + tokens.spelled, said)
            if self._ahead is None:
                self._mark(LOGPROBS, tokens.spelled.decode("utf-8", "replace"), marks, before=self._tail)
            self._tail = (self._tail + said)[-_TAIL_CHARS:]

    def end(self) -> None:
        """The row is complete."""
        if self.has_ended:
            return
        self.has_ended = True
        for channel in dict.fromkeys([*self._tools, *self._tool_names]):
            tool, text = self._tool_names.get(channel, ""), tool_text("".join(self._tools.get(channel, ())))
            if self._told.has_rules(tool):
                # Which tool it is says as much as what it is told; a call without arguments is one too.
                self._channels.add(channel, f"{tool}\n{text}", tool=tool)
            elif text:
                self._channels.add(channel, text)
        self._channels.end()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to judge now."""
        return self.cut is None and self._channels.is_ready

    def pieces(self) -> list[tuple[GrowingAnswer, Piece]]:
        """What to judge now, of all channels."""
        if not self.is_ready:
            return []
        if not self.has_ended:
            # A model that has thought goes on to speak: the rest of its thoughts would hold its words back. This costs
            # no more than a check beside one that is due anyway.
            self._channels.flush(but=self._last)
        return self._channels.pieces()

    def hurry(self) -> None:
        """Have text judged in smaller pieces for once."""
        self._channels.hurry()

    def block(self, decision: Decision) -> None:
        """Nothing more of this row is shown than the text that was cleared before."""
        before = self._take(lambda event: not event.waits and not event.is_end and self._is_cleared(event))
        self.cut = decision
        self.waiting = deque(before)
        self._channels.clear()
        self._tools.clear()

    def released(self) -> list[Event]:
        """The events that may go on now."""
        return self._take(self._is_clear)

    def _take(self, may_go: Callable[[Event], bool]) -> list[Event]:
        found: list[Event] = []
        while self.waiting and may_go(self.waiting[0]):
            found.append(self.waiting.popleft())
        return found

    @property
    def is_judged(self) -> bool:
        """Whether this row has ended and no text of it waits for a verdict."""
        return self.cut is not None or (self.has_ended and self._channels.is_settled)

    @property
    def is_shown(self) -> bool:
        """Whether all of it has gone to the client."""
        return self.has_ended and not self.waiting

    def _is_clear(self, event: Event) -> bool:
        if self.cut is not None:
            return True
        if (event.waits or event.is_end) and not self.is_judged:
            return False
        return self._shows_first or self._is_cleared(event)

    def _is_cleared(self, event: Event) -> bool:
        """Whether its text was cleared, and the text that its numbers spell."""
        if event.is_untied:
            return self.is_judged
        return self._channels.are_cleared(event.marks)


def _ahead_of(tokens: bytes, said: str) -> bytes | None:
    """What tokens say beyond the text: the first bytes of a character, or nothing; None if it is anything else."""
    text = said.encode("utf-8", "surrogatepass")
    if not tokens.startswith(text):
        return None
    rest = tokens[len(text) :]
    if not rest:
        return b""
    size = 2 if rest[0] < 0xE0 else 3 if rest[0] < 0xF0 else 4
    is_begun = rest[0] >= 0xC0 and len(rest) < size and all(0x80 <= byte < 0xC0 for byte in rest[1:])
    return rest if is_begun else None
