"""The model's answer on its way to the client: what of it waits for a verdict, and what may go on. No I/O.

A reply is a row of *events* (the chunks of a stream, or the one document of a reply that is not streamed). An event
goes on as it came, whole, once all text in it was cleared; so nothing that belongs to text, such as its logprobs or a
field nobody here knows, can pass before it. Each choice has a row of its own: one is blocked, the others go on.

What tools are told is held until the choice is complete, and judged as the tool will read it: half a call is of no
use to anybody, and JSON can spell a word in escapes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.verdict import Decision
from ..errors import ChatModelError, ModerationError
from ..streaming.growing_answer import GrowingAnswer, Pacing, Piece, Ruling
from ..wires.guarded_replies import index_of, refused_chunks, strictest
from ..wires.openai_choices import CONTENT, parts_of, tool_text

__all__ = ["GuardedAnswer"]

_MAX_CHOICES = 128
_MAX_CHANNELS = 64


@dataclass(slots=True)
class _Event:
    """A chunk of one choice, and how far each channel must have been cleared for it to go on."""

    number: int
    chunk: Mapping[str, object]
    marks: Mapping[str, int]
    is_tool: bool = False
    is_end: bool = False


class _Choice:
    """One choice of the answer."""

    def __init__(self, index: int, pacing: Pacing, begun: str, tools: frozenset[str], shows_first: bool) -> None:
        self.index = index
        self.cut: Decision | None = None
        self.decisions: list[Decision] = []
        self.waiting: deque[_Event] = deque()
        self.has_role = self.has_text = False
        self._pacing, self._begun, self._known_tools, self._shows_first = pacing, begun, tools, shows_first
        self._channels: dict[str, GrowingAnswer] = {}
        self._tools: dict[str, list[str]] = {}
        self._last = ""
        self._ended = False

    def add(self, number: int, chunk: Mapping[str, object], choice: Mapping[str, object]) -> None:
        """An event of this choice."""
        if self.cut is not None:
            return
        marks: dict[str, int] = {}
        is_tool = False
        for part in parts_of(choice, tools=self._known_tools):
            if self._ended and part.text:
                raise ChatModelError("The chat model went on after the end of its answer.")
            if part.is_tool:
                is_tool = True
                self._tools.setdefault(part.channel, []).append(part.text)
            elif part.text:
                channel = self._channel(part.channel)
                channel.add(part.text)
                marks[part.channel] = channel.cleared + channel.held
                self._last = part.channel
        is_end = bool(choice.get("finish_reason"))
        self.waiting.append(_Event(number, {**chunk, "choices": [choice]}, marks, is_tool, is_end))
        if is_end:
            self.end()

    def end(self) -> None:
        """This choice is complete."""
        if self._ended:
            return
        self._ended = True
        for name, pieces in self._tools.items():
            self._channel(name).add(tool_text("".join(pieces)))
        for channel in self._channels.values():
            channel.end()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to judge now."""
        return self.cut is None and any(channel.is_ready for channel in self._channels.values())

    def pieces(self) -> list[tuple[GrowingAnswer, Piece]]:
        """What to judge now, of all channels."""
        if not self.is_ready:
            return []
        if not self._ended:
            # A model that has thought goes on to speak: the rest of its thoughts would hold its words back. This costs
            # no more than a check beside one that is due anyway.
            for name, channel in self._channels.items():
                if name != self._last and channel.held:
                    channel.flush()
        return [(one, piece) for one in self._channels.values() if (piece := one.next_piece()) is not None]

    def hurry(self) -> None:
        """Have text judged in smaller pieces for once."""
        for channel in self._channels.values():
            channel.hurry()

    def block(self, decision: Decision) -> None:
        """Nothing more of this choice is shown than the text that was cleared before."""
        before = self._take(lambda event: not event.is_tool and not event.is_end and self._is_cleared(event))
        self.cut = decision
        self.waiting = deque(before)
        self._channels.clear()
        self._tools.clear()

    def released(self) -> list[_Event]:
        """The events that may go on now."""
        return self._take(self._is_clear)

    def _take(self, may_go: Callable[[_Event], bool]) -> list[_Event]:
        found: list[_Event] = []
        while self.waiting and may_go(self.waiting[0]):
            event = self.waiting.popleft()
            found.append(event)
            self.has_role = True
            self.has_text = self.has_text or CONTENT in event.marks
        return found

    @property
    def is_judged(self) -> bool:
        """Whether this choice has ended and no text of it waits for a verdict."""
        return self.cut is not None or (self._ended and all(one.is_settled for one in self._channels.values()))

    def _is_clear(self, event: _Event) -> bool:
        if self.cut is not None:
            return True
        if (event.is_tool or event.is_end) and not self.is_judged:
            return False
        if self._shows_first:
            return True
        return self._is_cleared(event)

    def _is_cleared(self, event: _Event) -> bool:
        return all(self._channels[name].cleared >= mark for name, mark in event.marks.items())

    def _channel(self, name: str) -> GrowingAnswer:
        found = self._channels.get(name)
        if found is None:
            if len(self._channels) >= _MAX_CHANNELS:
                raise ChatModelError("The chat model's answer has too many fields.")
            found = GrowingAnswer(self._pacing, before=self._begun if name == CONTENT else "")
            self._channels[name] = found
        return found


@dataclass(slots=True)
class GuardedAnswer:
    """All choices of one answer. Not for several threads at once.

    `begun` is the beginning of the answer, if the caller has put one into the model's mouth; `expected` how many
    choices were asked for; `tools` the caller's names of tools. With `shows_first` text is released before it was
    judged, and the choice is cut when the verdict says so.
    """

    pacing: Pacing
    begun: str = ""
    expected: int = 1
    tools: frozenset[str] = frozenset()
    shows_first: bool = False
    head: Mapping[str, object] | None = None
    _choices: dict[int, _Choice] = field(default_factory=dict)
    _others: deque[_Event] = field(default_factory=deque)
    _out: list[tuple[_Choice, GrowingAnswer, Piece]] = field(default_factory=list)
    _cuts: list[_Choice] = field(default_factory=list)
    _number: int = 0

    def add(self, chunk: Mapping[str, object]) -> None:
        """A chunk of the stream, or the document of a whole reply. Raises ChatModelError for what is none."""
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            # Also an event of another contract: its text would be in places where nobody looks for it.
            raise ChatModelError("The chat model answered something that is no completion.")
        head = {key: value for key, value in chunk.items() if key != "choices"}
        self.head = self.head or chunk
        self._number += 1
        try:
            for position, choice in enumerate(choices):
                index = index_of(choice, position) if isinstance(choice, Mapping) else None
                if not isinstance(index, int) or not 0 <= index < _MAX_CHOICES:
                    raise ChatModelError("The chat model answered a choice that is none.")
                self._choice(index).add(self._number, head, choice)
        except RecursionError:
            raise ChatModelError("The chat model's answer is nested too deeply.") from None
        if not choices:
            self._others.append(_Event(self._number, chunk, {}))

    def end(self) -> None:
        """The reply is complete."""
        for choice in self._choices.values():
            choice.end()

    @property
    def wants_check(self) -> bool:
        """Whether there is something to judge now."""
        return not self._out and any(choice.is_ready for choice in self._choices.values())

    def take_pieces(self) -> Sequence[Piece]:
        """What to judge now, of all choices; nothing while pieces are out."""
        if not self._out:
            self._out = [(choice, *found) for choice in self._choices.values() for found in choice.pieces()]
            return [piece for _, _, piece in self._out]
        return ()

    def hurry(self) -> None:
        """Have text judged in smaller pieces for once, because it comes slowly."""
        for choice in self._choices.values():
            choice.hurry()

    def settle(self, rulings: Sequence[Ruling | ModerationError]) -> None:
        """The rulings on the pieces taken, in their order. Raises the first error among them."""
        out, self._out = self._out, []
        for (choice, answer, piece), ruling in zip(out, rulings, strict=True):
            if isinstance(ruling, ModerationError):
                raise ruling
            if choice.cut is not None:
                continue
            answer.settle(piece, ruling)
            if ruling.decision is not None:
                choice.decisions.append(ruling.decision)
                if ruling.is_blocked:
                    choice.block(ruling.decision)
                    self._cuts.append(choice)

    def release(self) -> list[Mapping[str, object]]:
        """The chunks that may go on to the client now, in the order in which they came."""
        events = [event for choice in self._choices.values() for event in choice.released()]
        waiting = [choice.waiting[0].number for choice in self._choices.values() if choice.waiting]
        # What belongs to no choice, such as the usage, waits for every choice before it.
        while self._others and not any(number < self._others[0].number for number in waiting):
            events.append(self._others.popleft())
        found = [event.chunk for event in sorted(events, key=lambda event: event.number)]
        for choice in self._cuts:
            assert choice.cut is not None
            found += refused_chunks(
                choice.cut, index=choice.index, head=self.head, has_role=choice.has_role, has_text=choice.has_text
            )
        self._cuts.clear()
        return found

    @property
    def cut(self) -> dict[int, Decision]:
        """The choices that were blocked."""
        return {choice.index: choice.cut for choice in self._choices.values() if choice.cut is not None}

    @property
    def is_all_cut(self) -> bool:
        """Whether nothing that is still to come could be shown."""
        return len(self.cut) >= max(self.expected, len(self._choices))

    @property
    def is_judged(self) -> bool:
        """Whether the reply has ended and no text of it waits for a verdict: all of it can be released."""
        return not self._out and all(choice.is_judged for choice in self._choices.values())

    @property
    def decisions(self) -> list[Decision]:
        """Every decision on a piece, in the order of the choices."""
        return [decision for _, choice in sorted(self._choices.items()) for decision in choice.decisions]

    @property
    def strictest(self) -> list[Decision]:
        """The decision that counts for each choice that was judged, in their order."""
        found = (strictest(choice.decisions) for _, choice in sorted(self._choices.items()))
        return [decision for decision in found if decision is not None]

    def _choice(self, index: int) -> _Choice:
        if index not in self._choices:
            self._choices[index] = _Choice(index, self.pacing, self.begun, self.tools, self.shows_first)
        return self._choices[index]
