"""The judging window: many questions to an engine at the same time, identical ones asked once.

A service bounds what one request may have under way, so that others get their turn. A data set has the engine to
itself and wants it busy: the window keeps a number of questions in flight, each in a thread of its own, which waits
for the engine and for nothing else. The engine is asked as the service asks it (its replicas, its windows for long
texts, its second servers), so a label in a data set is the label of live traffic.

An engine that is away for a while is waited for. One that has been away for longer than the patience ends the run:
a file full of errors is of no use.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from queue import SimpleQueue
from time import monotonic
from typing import Generic, Protocol, TypeVar

from ..core.conversation import Conversation, Role
from ..core.engine import Deadline, Engine
from ..core.verdict import Detail, Verdict
from ..errors import DeadlineExceeded, EngineUnavailable, ModerationError, Overloaded
from .columns import Outcome

__all__ = ["PASSING", "JudgingWindow", "Window", "WindowOptions", "judged", "question_key"]

_Item = TypeVar("_Item")
PASSING = (EngineUnavailable, DeadlineExceeded, Overloaded)
"""Errors that say something of the engine at this moment, and nothing of the text."""
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.5, 15.0
_LOOKAHEAD = 4
"""So many times what is in flight may be read ahead, so that one slow text does not hold up the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """How an engine is asked.

    `deadline_s` is the time for one text, `patience_s` how long an engine that is away is waited for, `remembered` how
    many verdicts are kept for texts that come again (about 0.5 kB each).
    """

    in_flight: int = 256
    detail: Detail = Detail.FULL
    deadline_s: float = 300.0
    patience_s: float = 300.0
    remembered: int = 65_536


class Window(Protocol):
    """What is asked about many texts: threads of this process, or the actors of a cluster."""

    threads: int
    """How many questions may be under way."""
    away: ModerationError | None
    """Why nothing can be judged any more: the engine has been away for longer than the patience."""

    def submit(self, conversation: Conversation, then: Callable[[Outcome], None]) -> None:
        """Have it judged, and `then` called with what came of it; by any thread."""


class JudgingWindow:
    """Asks one engine. `submit` may be called by any thread; what it is to call is called by threads of the window."""

    def __init__(self, engine: Engine, options: WindowOptions | None = None) -> None:
        self.options = options or WindowOptions()
        self._engine = engine
        threads = self.options.in_flight
        # The embedded engine computes: more threads than cores would only get into each other's way.
        self.threads = min(threads, os.cpu_count() or 1) if engine.name == "lite" else threads
        self._waiting: SimpleQueue[_Question | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._under_way: dict[bytes, _Question] = {}
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()
        self._started = 0
        self._idle = 0
        self._is_closed = threading.Event()
        self._answered_at = monotonic()
        self.away: ModerationError | None = None
        """Why nothing can be judged any more: the engine has been away for longer than the patience."""

    def submit(self, conversation: Conversation, then: Callable[[Outcome], None]) -> None:
        """Have it judged, and `then` called with what came of it; at once if that is known."""
        key = question_key(conversation)
        with self._lock:
            known = self._known.get(key)
            if known is None:
                question = self._under_way.get(key)
                if question is not None:
                    question.then.append(then)
                    return
                self._under_way[key] = question = _Question(key, conversation, then)
                self._idle -= 1
                must_start = self._idle < 0 and self._started < self.threads
                if must_start:
                    self._started += 1
                    self._idle += 1
            else:
                self._known.move_to_end(key)
        if known is not None:
            then(known)
            return
        self._waiting.put(question)
        if must_start:
            threading.Thread(target=self._work, name="judging", daemon=True).start()

    def judge(self, conversations: Sequence[Conversation]) -> list[Outcome]:
        """One verdict or error per conversation, in order; waits for all of them."""
        return [outcome for _, outcome in judged(self, conversations, lambda one: one)]

    def close(self) -> None:
        """End the threads. What they still ask is not waited for."""
        self._is_closed.set()
        for _ in range(self._started):
            self._waiting.put(None)

    def __enter__(self) -> JudgingWindow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        while (question := self._waiting.get()) is not None and not self._is_closed.is_set():
            try:
                outcome = self._outcome(question.conversation)
            except Exception as error:  # a bug: it must not leave a row waiting for ever
                outcome = ModerationError(f"The engine failed: {type(error).__name__}.")
            with self._lock:
                del self._under_way[question.key]
                self._idle += 1
                if isinstance(outcome, Verdict):
                    self._remember(question.key, outcome)
            for then in question.then:
                then(outcome)

    def _outcome(self, conversation: Conversation) -> Outcome:
        """Judge one, and again while the engine is away."""
        pause_s, began_at = _FIRST_PAUSE_S, monotonic()
        while True:
            deadline = Deadline.after(self.options.deadline_s)
            [outcome] = self._engine.judge([conversation], detail=self.options.detail, deadline=deadline)
            if isinstance(outcome, Verdict) and outcome.may_be_worse and isinstance(outcome.failure, ModerationError):
                # What was read of a part is the least that the text is, which is no label.
                outcome = outcome.failure
            now = monotonic()
            if not isinstance(outcome, PASSING):
                self._answered_at = now
                return outcome
            if now - began_at >= self.options.patience_s:
                if now - self._answered_at >= self.options.patience_s:
                    self.away = outcome
                return outcome
            if self.away is not None or self._is_closed.wait(max(outcome.retry_after_s or 0.0, pause_s)):
                return outcome
            pause_s = min(pause_s * 2, _LAST_PAUSE_S)

    def _remember(self, key: bytes, verdict: Verdict) -> None:
        if self.options.remembered and verdict.failure is None:
            self._known[key] = verdict
            if len(self._known) > self.options.remembered:
                self._known.popitem(last=False)


def judged(
    window: Window, items: Iterable[_Item], conversation: Callable[[_Item], Conversation | ModerationError]
) -> Iterator[tuple[_Item, Outcome]]:
    """Every item with what came of its conversation, in order, as soon as it is known.

    Items are read ahead only as far as the window needs to stay full. An item whose conversation is an error has that
    as its outcome. Raises the error that `window.away` names, once it does.
    """
    ahead: deque[_Pending[_Item]] = deque()
    limit = window.threads * _LOOKAHEAD
    for item in items:
        pending = _Pending(item)
        asked = conversation(item)
        if isinstance(asked, Conversation):
            window.submit(asked, pending.done)
        else:
            pending.done(asked)
        ahead.append(pending)
        while ahead and (len(ahead) >= limit or ahead[0].outcome is not None):
            first = ahead.popleft()
            yield first.item, first.wait(window)
    while ahead:
        first = ahead.popleft()
        yield first.item, first.wait(window)


class _Pending(Generic[_Item]):
    """An item that waits for its outcome."""

    __slots__ = ("_gate", "item", "outcome")

    def __init__(self, item: _Item) -> None:
        self.item = item
        self.outcome: Outcome | None = None
        # A lock that is taken until then: a tenth of what an event costs.
        self._gate = threading.Lock()
        self._gate.acquire()

    def done(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._gate.release()

    def wait(self, window: Window) -> Outcome:
        with self._gate:
            assert self.outcome is not None
        if window.away is not None and isinstance(self.outcome, PASSING):
            raise window.away
        return self.outcome


class _Question:
    """A text that is being judged, and who wants to know."""

    __slots__ = ("conversation", "key", "then")

    def __init__(self, key: bytes, conversation: Conversation, then: Callable[[Outcome], None]) -> None:
        self.key = key
        self.conversation = conversation
        self.then = [then]


def question_key(conversation: Conversation) -> bytes:
    """The same for conversations of the same turns."""
    digest = blake2b(digest_size=16)
    for message in conversation.messages:
        content = message.content.encode("utf-8", "surrogatepass")
        digest.update(b"%c%d:" % (b"u" if message.role is Role.USER else b"a", len(content)))
        digest.update(content)
    return digest.digest()
