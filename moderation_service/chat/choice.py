"""One choice of an answer on its way, and the text that stands beside the choices. No I/O.

An event of a choice waits until three things were cleared: its own text, the text beside the choices that came up to
it, and the text that its numbers spell.

Ids of tokens can come long before their text: a server holds text back that may become a stop string or a call of a
tool. How far they are ahead is counted: so many ids as came in events without text, as may have been in the stop
strings, and as came at once. The ids of an event are tied to the text that came so many ids later. Other numbers are
tied to nothing, and wait for the end of the choice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..core.verdict import Decision
from ..errors import ChatModelError
from ..streaming.growing_answer import GrowingAnswer, Pacing, Piece
from ..wires.openai_choices import CONTENT, FIELDS, LOGPROBS, Tokens, only_content, parts_of, tokens_of, tool_text
from ..wires.openai_shapes import BESIDE, FREE, NAMES, encodes, passes, strings

__all__ = ["Beside", "Choice", "Event", "Told"]

_MAX_CHANNELS = 64
_TAIL_CHARS = 256
_TOKEN_CHARS = 32
_ALTERNATIVES = "alternatives"


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


@dataclass(slots=True)
class Event:
    """A chunk of one choice, and how far each channel must have been cleared for it to go on."""

    number: int
    chunk: Mapping[str, object]
    marks: Mapping[str, int] = field(default_factory=dict)
    beside: Mapping[str, int] = field(default_factory=dict)
    is_tool: bool = False
    is_end: bool = False
    is_untied: bool = False
    """Has numbers that could spell text, and nobody knows which."""
    ids: int = 0
    """How many ids of tokens have come up to this event, if it has some."""


class Channels:
    """Texts that grow side by side, each judged apart."""

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._by_name: dict[str, GrowingAnswer] = {}

    def add(self, name: str, text: str, *, before: str = "") -> int:
        """Add to a text; returns up to where it must be cleared. `before` is what the text continues."""
        channel = self._by_name.get(name)
        if channel is None:
            if len(self._by_name) >= _MAX_CHANNELS:
                raise ChatModelError("The chat model's answer has too many fields.")
            channel = self._by_name[name] = GrowingAnswer(self._pacing, before=before)
        channel.add(text)
        return channel.cleared + channel.held

    def end(self) -> None:
        """No more text will come."""
        for channel in self._by_name.values():
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


class Beside:
    """The text beside the choices, such as `citations`: it belongs to all of them. The same again says nothing new."""

    def __init__(self, pacing: Pacing, told: Told) -> None:
        self.cut: Decision | None = None
        self.decisions: list[Decision] = []
        self.channels = Channels(pacing)
        self.marks: Mapping[str, int] = {}
        """Up to where it must be cleared for what has come by now."""
        self._free = {"model": told.model} if told.model else {}
        self._heads = 0
        self._head: Mapping[str, object] | None = None
        self._is_untied = False
        self._seen: dict[str, object] = {}
        self._since: dict[str, int] = {}

    def add(self, head: Mapping[str, object]) -> bool:
        """The fields beside the choices of one document; returns whether they have numbers that could spell text."""
        self._heads += 1
        if head == self._head:
            return self._is_untied
        self._head, self._is_untied = head, False
        for key, value in head.items():
            is_known = key in self._seen
            is_new = not is_known or self._seen[key] != value
            if not self._passes(key, value):
                if is_new:
                    self._add_text(key, value, is_known=is_known)
                self._is_untied = self._is_untied or encodes(value)
            if is_new:
                self._seen[key], self._since[key] = value, self._heads
        return self._is_untied

    def _passes(self, key: str, value: object) -> bool:
        if key in FREE and isinstance(value, str) and value:
            first = self._free.get(key)
            if first == value:
                return True
            if (first is None or key not in self._seen) and passes(BESIDE, key, value):
                self._free[key] = value
                return True
            return False
        return passes(BESIDE, key, value)

    def _add_text(self, key: str, value: object, *, is_known: bool) -> None:
        text = value if isinstance(value, str) else "\n".join(strings(value))
        before = self._seen.get(key)
        if isinstance(before, str) and isinstance(value, str) and len(before) <= _TOKEN_CHARS:
            # It is no constant, but text that comes token by token, and some came more than once.
            text = before * (self._heads - self._since[key] - 1) + text
        marks = dict(self.marks)
        if key not in NAMES and not is_known:
            marks[FIELDS] = self.channels.add(FIELDS, f"{key}\n")
        if text:
            marks[key] = self.channels.add(key, text)
        self.marks = marks

    def is_cleared(self, marks: Mapping[str, int]) -> bool:
        """Whether the text was cleared so far, and nothing of it is blocked."""
        return not marks or (self.cut is None and self.channels.are_cleared(marks))


class Choice:
    """One choice of the answer."""

    def __init__(self, index: int, pacing: Pacing, told: Told, beside: Beside, *, shows_first: bool) -> None:
        self.index = index
        self.cut: Decision | None = None
        self.decisions: list[Decision] = []
        self.waiting: deque[Event] = deque()
        self.has_role = self.has_text = self.has_ended = False
        self._told, self._beside, self._shows_first = told, beside, shows_first
        self._channels = Channels(pacing)
        self._names: set[str] = set()
        self._tools: dict[str, list[str]] = {}
        self._last = ""
        # Of tokens: bytes of a character whose rest is to come; None when they spell something else than the text.
        self._ahead: bytes | None = b""
        self._tail = ""
        self._ids = self._late = self._most = 0
        self._early: deque[Event] = deque()
        self._stop_bytes = max((len(stop.encode("utf-8", "replace")) for stop in told.stops), default=0)

    def add(self, event: Event, choice: Mapping[str, object]) -> None:
        """An event of this choice, with the fields beside it as its chunk."""
        if self.cut is not None:
            return
        event.chunk = {**event.chunk, "choices": [choice]}
        marks: dict[str, int] = {}
        content = only_content(choice)
        if content is None:
            said = self._add_parts(event, choice, marks)
        else:
            said = content
            if content:
                self._mark(CONTENT, content, marks)
                self._last = CONTENT
        tokens = tokens_of(choice)
        if tokens is not None:
            self._add_tokens(tokens, said, marks)
            event.is_untied = event.is_untied or tokens.is_numbers
        event.marks, event.is_end = marks, bool(choice.get("finish_reason"))
        self.waiting.append(event)
        if tokens is not None or self._early:
            self._tie_ids(event, tokens.ids if tokens is not None else 0)
        if event.is_end:
            self.end()

    def _add_parts(self, event: Event, choice: Mapping[str, object], marks: dict[str, int]) -> str:
        """All text of an event but its tokens; returns what it says together."""
        said: list[str] = []
        for part in parts_of(choice, tools=self._told.tools, stops=self._told.stops):
            if part.is_numbers:
                event.is_untied = True
            elif part.is_tool:
                self._refuse_after_end(part.text)
                event.is_tool = True
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
        before = self._told.begun if channel == CONTENT else before
        marks[channel] = self._channels.add(channel, text, before=before)

    def _refuse_after_end(self, text: str) -> None:
        if self.has_ended and text:
            raise ChatModelError("The chat model went on after the end of its answer.")

    def _add_tokens(self, tokens: Tokens, said: str, marks: dict[str, int]) -> None:
        """Tokens say nothing new while they spell the text they come with; otherwise they are a text of their own."""
        if tokens.beside:
            self._mark(_ALTERNATIVES, "".join(tokens.beside), marks)
        if tokens.spelled:
            if self._ahead is not None:
                self._ahead = _ahead_of(self._ahead + tokens.spelled, said)
            if self._ahead is None:
                self._mark(LOGPROBS, tokens.spelled.decode("utf-8", "replace"), marks, before=self._tail)
            self._tail = (self._tail + said)[-_TAIL_CHARS:]

    def _tie_ids(self, event: Event, ids: int) -> None:
        """Tie ids of tokens to text: those of this event to later text, those of earlier ones to this event's."""
        has_text = any(channel not in (FIELDS, _ALTERNATIVES) for channel in event.marks)
        if ids:
            self._ids += ids
            self._most = max(self._most, ids)
            self._late += 0 if has_text else ids
            event.ids = self._ids
            self._early.append(event)
        if has_text:
            spelled = self._ids - self._late - self._most - self._stop_bytes
            while self._early and self._early[0].ids <= spelled:
                early = self._early.popleft()
                early.ids, early.marks = 0, {**early.marks, **event.marks}

    def end(self) -> None:
        """This choice is complete."""
        if self.has_ended:
            return
        self.has_ended = True
        for name, pieces in self._tools.items():
            self._channels.add(name, tool_text("".join(pieces)))
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
        """Nothing more of this choice is shown than the text that was cleared before."""
        before = self._take(lambda event: not event.is_tool and not event.is_end and self._is_cleared(event))
        self.cut = decision
        self.waiting = deque(before)
        self._early.clear()
        self._channels.clear()
        self._tools.clear()

    def released(self) -> list[Event]:
        """The events that may go on now."""
        return self._take(self._is_clear)

    def _take(self, may_go: Callable[[Event], bool]) -> list[Event]:
        found: list[Event] = []
        while self.waiting and may_go(self.waiting[0]):
            event = self.waiting.popleft()
            found.append(event)
            self.has_role = True
            self.has_text = self.has_text or CONTENT in event.marks
        return found

    @property
    def is_judged(self) -> bool:
        """Whether this choice has ended and no text of it waits for a verdict."""
        return self.cut is not None or (self.has_ended and self._channels.is_settled)

    @property
    def is_shown(self) -> bool:
        """Whether all of it has gone to the client."""
        return self.has_ended and not self.waiting

    def _is_clear(self, event: Event) -> bool:
        if self.cut is not None:
            return True
        if (event.is_tool or event.is_end) and not self.is_judged:
            return False
        return self._shows_first or self._is_cleared(event)

    def _is_cleared(self, event: Event) -> bool:
        if not self._beside.is_cleared(event.beside):
            return False
        if event.is_untied or event.ids:
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
