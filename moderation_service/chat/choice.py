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

from ..core.verdict import Decision
from ..streaming.growing_answer import Pacing
from ..wires.openai_choices import CONTENT, FIELDS, only_content, parts_of, tokens_of
from ..wires.openai_shapes import BESIDE, FREE, NAMES, encodes, passes, strings
from .row import ALTERNATIVES, Channels, Event, Row, Told

__all__ = ["Beside", "Choice", "Event", "Told"]

_TOKEN_CHARS = 32

# What people read: of a chat, and of a completion without roles.
_SHOWN = frozenset({CONTENT, "text"})


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


class Choice(Row):
    """One choice of the answer."""

    def __init__(self, index: int, pacing: Pacing, told: Told, beside: Beside, *, shows_first: bool) -> None:
        super().__init__(pacing, told, main=CONTENT, shows_first=shows_first)
        self.index = index
        self.has_role = self.has_text = False
        self._beside = beside
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
            said = self._add_parts(event, parts_of(choice, tools=self._told.tools, stops=self._told.stops), marks)
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

    def _tie_ids(self, event: Event, ids: int) -> None:
        """Tie ids of tokens to text: those of this event to later text, those of earlier ones to this event's."""
        has_text = any(channel not in (FIELDS, ALTERNATIVES) for channel in event.marks)
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

    def block(self, decision: Decision) -> None:
        """Nothing more of this choice is shown than the text that was cleared before."""
        super().block(decision)
        self._early.clear()

    def _take(self, may_go: Callable[[Event], bool]) -> list[Event]:
        found = super()._take(may_go)
        if found:
            self.has_role = True
            self.has_text = self.has_text or any(not _SHOWN.isdisjoint(event.marks) for event in found)
        return found

    def _is_cleared(self, event: Event) -> bool:
        if not self._beside.is_cleared(event.beside):
            return False
        if event.ids:
            return self.is_judged
        return super()._is_cleared(event)
