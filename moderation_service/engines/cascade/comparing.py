"""How often the two models of a cascade agree: counted where both judged, and for a sample where one was enough.

Without the sample the agreement would be known only of the texts that the small model was not sure of. What is sampled
is judged behind the caller's back, one text at a time and at most as many waiting as `_MAX_WAITING`, while half of the
larger model's places are free: when it is busy, the sample gets smaller and nobody waits.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import threading
from queue import Empty, Full, Queue
from typing import Protocol

from ...core.cascade import Up
from ...core.conversation import Conversation
from ...core.engine import Deadline, Engine
from ...core.verdict import Detail, Severity, Verdict
from ...errors import ModerationError
from ...observability.logs import log_event

__all__ = ["CascadeEvents", "Compared", "LargeEngine", "Sample"]

_log = logging.getLogger("moderation.upstream")

_MAX_WAITING = 16
_DEADLINE_S = 30.0


class Compared(enum.Enum):
    """Why both models judged a text; a label of metrics."""

    UP = "up"
    """The small one was not sure."""
    SAMPLE = "sample"
    """The small one was sure, and the text was drawn."""


class CascadeEvents(Protocol):
    """Told who decides and how both judged, for metrics."""

    def cascade_decided(self, *, by_small: bool) -> None:
        """A text got its verdict from the small model, or from the larger one."""

    def cascade_went_up(self, reason: Up) -> None:
        """A text goes to the larger model."""

    def cascade_compared(self, how: Compared, small: Severity, large: Severity) -> None:
        """Both models judged a text."""


class LargeEngine(Engine, Protocol):
    """The larger model, which can also judge what nobody waits for."""

    def judge_aside(
        self, conversation: Conversation, *, detail: Detail, deadline: Deadline
    ) -> Verdict | ModerationError | None:
        """A verdict or error; None where there is no room to spare."""


class Sample:
    """Texts that the small model decided, judged by the larger one too. Belongs to one process.

    Its thread begins with the first text and ends with `close`.
    """

    def __init__(self, large: LargeEngine, events: CascadeEvents) -> None:
        self._large = large
        self._events = events
        self._waiting: Queue[tuple[Conversation, Severity] | None] = Queue(_MAX_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def offer(self, conversation: Conversation, severity: Severity) -> None:
        """Have it judged when there is time; it is left out when too many wait already."""
        with self._lock:
            if self._is_closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cascade sample", daemon=True)
                self._thread.start()
            with contextlib.suppress(Full):
                self._waiting.put_nowait((conversation, severity))

    def close(self) -> None:
        """End the thread after the text that it is at; what waits is left out."""
        with self._lock:
            self._is_closed = True
        # Nobody else puts something in from here on, but the thread may take the last one away.
        with contextlib.suppress(Empty):
            while True:
                self._waiting.get_nowait()
        self._waiting.put_nowait(None)
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while (one := self._waiting.get()) is not None and not self._is_closed:
            conversation, severity = one
            deadline = Deadline.after(_DEADLINE_S)
            try:
                judged = self._large.judge_aside(conversation, detail=Detail.SEVERITY, deadline=deadline)
            except Exception as error:  # whatever it is, there would be no more samples without this thread
                log_event(_log, logging.ERROR, "cascade_sample_failed", error=type(error).__name__)
                continue
            if isinstance(judged, Verdict) and not judged.may_be_worse:
                self._events.cascade_compared(Compared.SAMPLE, severity, judged.severity)
