"""The model's answer on its way to the client: what of it waits for a verdict, and what may go on. No I/O.

A reply is a row of *events* (the chunks of a stream, or the one document of a reply that is not streamed). An event
goes on as it came, whole, once all text in it was cleared; so nothing that belongs to text, such as its logprobs or a
field nobody here knows, can pass before it. Each choice has a row of its own: one is blocked, the others go on.

What tools are told is held until the choice is complete, and judged as the tool will read it: half a call is of no
use to anybody, and JSON can spell a word in escapes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.verdict import Decision
from ..errors import ChatModelError, ModerationError
from ..streaming.growing_answer import GrowingAnswer, Pacing, Piece, Ruling
from ..wires.guarded_replies import index_of, refused_chunks, strictest
from ..wires.openai_shapes import BESIDE, encodes, passes, strings
from .choice import Beside, Choice
from .row import Event, Told

__all__ = ["GuardedAnswer"]

_MAX_CHOICES = 128
_NO_CHOICE = "The chat model answered a choice that is none."


@dataclass(slots=True)
class GuardedAnswer:
    """All choices of one answer. Not for several threads at once.

    `expected` is how many choices were asked for, `told` what the caller has said itself. With `shows_first` text is
    released before it was judged, and the choice is cut when the verdict says so. `is_structured`: JSON was asked for.
    """

    pacing: Pacing
    expected: int = 1
    told: Told = Told()
    shows_first: bool = False
    is_structured: bool = False
    head: Mapping[str, object] | None = None
    _choices: dict[int, Choice] = field(default_factory=dict)
    _others: deque[Event] = field(default_factory=deque)
    _out: list[tuple[Choice | Beside, GrowingAnswer, Piece]] = field(default_factory=list)
    _cuts: list[Choice] = field(default_factory=list)
    _number: int = 0
    _beside: Beside = field(init=False)

    def __post_init__(self) -> None:
        self._beside = Beside(self.pacing, self.told)

    def add(self, chunk: Mapping[str, object]) -> None:
        """A chunk of the stream, or the document of a whole reply. Raises ChatModelError for what is none.

        An object without choices and without any text, such as some servers send to keep a connection, is passed over.
        """
        choices = chunk.get("choices")
        try:
            if choices is None and not _says_something(chunk):
                return
            if not isinstance(choices, list):
                # Also an event of another contract: its text would be in places where nobody looks for it.
                raise ChatModelError("The chat model answered something that is no completion.")
            self._add(chunk, choices)
        except RecursionError:
            raise ChatModelError("The chat model's answer is nested too deeply.") from None

    def _add(self, chunk: Mapping[str, object], choices: Sequence[object]) -> None:
        if self._beside.cut is not None:
            return
        head = {key: value for key, value in chunk.items() if key != "choices"}
        self.head = self.head or chunk
        self._number += 1
        is_untied = self._beside.add(head)
        for position, choice in enumerate(choices):
            if not isinstance(choice, Mapping):
                raise ChatModelError(_NO_CHOICE)
            index = index_of(choice, position)
            if not isinstance(index, int) or not 0 <= index < _MAX_CHOICES:
                raise ChatModelError(_NO_CHOICE)
            event = Event(self._number, head, beside=self._beside.marks, is_untied=is_untied)
            self._choice(index).add(event, choice)
        if not choices:
            self._others.append(Event(self._number, chunk, beside=self._beside.marks, is_untied=is_untied))

    def add_whole(self, document: Mapping[str, object]) -> None:
        """The document of a reply that is not streamed. Raises ChatModelError for what is none."""
        if not isinstance(document.get("choices"), list) or not document["choices"]:
            raise ChatModelError("The chat model answered something that is no completion.")
        self.add(document)

    def end(self) -> None:
        """The reply is complete."""
        self._beside.channels.end()
        for choice in self._choices.values():
            choice.end()

    @property
    def is_finished(self) -> bool:
        """Whether the server has finished every choice that was asked for, and so the answer is whole."""
        ended = sum(choice.has_ended or choice.cut is not None for choice in self._choices.values())
        return ended == len(self._choices) >= self.expected

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come: usage may come after every choice."""
        return False

    @property
    def wants_check(self) -> bool:
        """Whether there is something to judge now."""
        is_ready = self._beside.channels.is_ready or any(choice.is_ready for choice in self._choices.values())
        return not self._out and is_ready

    def take_pieces(self) -> Sequence[Piece]:
        """What to judge now, of all choices; nothing while pieces are out."""
        if self._out:
            return ()
        self._out = [(choice, *found) for choice in self._choices.values() for found in choice.pieces()]
        if self._out:
            self._beside.channels.flush()
        self._out += [(self._beside, *found) for found in self._beside.channels.pieces()]
        return [piece for _, _, piece in self._out]

    def hurry(self) -> None:
        """Have text judged in smaller pieces for once, because it comes slowly."""
        self._beside.channels.hurry()
        for choice in self._choices.values():
            choice.hurry()

    def settle(self, rulings: Sequence[Ruling | ModerationError]) -> None:
        """The rulings on the pieces taken, in their order. Raises the first error among them."""
        out, self._out = self._out, []
        for (owner, answer, piece), ruling in zip(out, rulings, strict=True):
            if isinstance(ruling, ModerationError):
                raise ruling
            if owner.cut is not None:
                continue
            answer.settle(piece, ruling)
            if ruling.decision is not None:
                owner.decisions.append(ruling.decision)
                if ruling.is_blocked:
                    self._block(owner, ruling.decision)

    def _block(self, owner: Choice | Beside, decision: Decision) -> None:
        """Cut a choice; or, for text beside the choices, all of them that are not wholly shown yet."""
        if isinstance(owner, Choice):
            owner.block(decision)
            self._cuts.append(owner)
            return
        for index in range(min(self.expected, _MAX_CHOICES)):
            self._choice(index)
        for choice in self._choices.values():
            if choice.cut is None and not choice.is_shown:
                choice.block(decision)
                self._cuts.append(choice)
        self._others = deque(event for event in self._others if self._may_follow(event))
        self._beside.cut = decision
        self._beside.channels.clear()

    def _may_follow(self, event: Event) -> bool:
        """Whether an event that belongs to no choice may go on after those before it."""
        return self._beside.is_cleared(event.beside) and (not event.is_untied or self.is_judged)

    def release(self) -> list[Mapping[str, object]]:
        """The chunks that may go on to the client now, in the order in which they came."""
        events = [event for choice in self._choices.values() for event in choice.released()]
        waiting = [choice.waiting[0].number for choice in self._choices.values() if choice.waiting]
        # What belongs to no choice, such as the usage, waits for every choice before it.
        while self._others and not any(number < self._others[0].number for number in waiting):
            if not self._may_follow(self._others[0]):
                break
            events.append(self._others.popleft())
        found = [event.chunk for event in sorted(events, key=lambda event: event.number)]
        for choice in self._cuts:
            assert choice.cut is not None
            found += refused_chunks(
                choice.cut,
                index=choice.index,
                head=self.head,
                has_role=choice.has_role,
                has_text=choice.has_text,
                is_structured=self.is_structured,
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
        return self._beside.cut is not None or len(self.cut) >= max(self.expected, len(self._choices))

    @property
    def is_blocked(self) -> bool:
        """Whether something of the reply was blocked."""
        return self._beside.cut is not None or bool(self.cut)

    @property
    def is_judged(self) -> bool:
        """Whether the reply has ended and no text of it waits for a verdict: all of it can be released."""
        is_settled = self._beside.cut is not None or self._beside.channels.is_settled
        return not self._out and is_settled and all(choice.is_judged for choice in self._choices.values())

    @property
    def decisions(self) -> list[Decision]:
        """Every decision on a piece, in the order of the choices."""
        found = [decision for _, choice in sorted(self._choices.items()) for decision in choice.decisions]
        return found + self._beside.decisions

    @property
    def strictest(self) -> list[Decision]:
        """The decision that counts for each choice that was judged, in their order."""
        beside = self._beside.decisions
        found = (strictest([*choice.decisions, *beside]) for _, choice in sorted(self._choices.items()))
        return [decision for decision in found if decision is not None]

    def _choice(self, index: int) -> Choice:
        if index not in self._choices:
            self._choices[index] = Choice(index, self.pacing, self.told, self._beside, shows_first=self.shows_first)
        return self._choices[index]


def _says_something(document: Mapping[str, object]) -> bool:
    """Whether an object that is no completion has text in it, or numbers that could spell one."""
    others = {key: value for key, value in document.items() if not passes(BESIDE, key, value)}
    return encodes(others) or any(strings(others))
