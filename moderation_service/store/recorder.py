"""Records of decisions on their way into the database: handed over in microseconds, written by a thread of their own.

A verdict never waits for the database. What the thread has not written yet stands in a bounded queue; while the
database is away it grows, and is caught up with afterwards. What is beyond the bound is dropped, newest first, and
counted: what was there first is the beginning of an incident.

A request only leaves the decision here; the thread makes the records of many at a time. Until then, and
while a database hangs, their texts are kept: so few that they don't fill the memory.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic, sleep, time
from typing import NamedTuple, Protocol

from ..core.keyed_hash import KeyedHashes
from ..core.moderator import Check
from ..core.policy import Policy
from ..core.verdict import Decision
from ..errors import ConfigurationError, ModerationError, StoreUnavailable
from ..observability.logs import log_event
from ..observability.request_context import RequestContext, request_context
from .record import Record, line_of, read_lines

__all__ = ["RecordEvents", "Recorder", "Sink"]

_log = logging.getLogger("moderation.store")

_BATCH = 500
_WAIT_S = 0.2
# A transaction costs about as much as ten records, so where many come they are gathered for longer: for half a second.
_MANY, _LONGER = 20, 2.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_TICK_S = 30.0
_MOST_POLICIES = 4096
# What is left here holds its text: so little of that is kept that nobody has to count it.
_MOST_LEFT, _MOST_LEFT_CHARS = 256, 1_000_000
_LINE_BYTES = 512
_SLICE, _BREATH_S = 32, 0.0002
# The latter: meanwhile the tables are of a newer program.
_AWAY = (StoreUnavailable, ConfigurationError)


class RecordEvents(Protocol):
    """Told of what became of records."""

    def records_written(self, count: int) -> None:
        """So many are in the database."""

    def records_dropped(self, count: int) -> None:
        """So many are lost: there was no room for them, or the database refused them."""

    def records_waiting(self, count: int) -> None:
        """So many wait in this process."""


class Sink(Protocol):
    """Where records go."""

    def write(self, records: Sequence[Record], policies: Callable[[str, str], Policy | None], *, again: bool) -> int:
        """Write them, all or none, and return how many were refused for good. Raises StoreUnavailable.

        `again`: this batch was tried before, and may have arrived.
        """

    def look_after(self) -> bool:
        """Do a small part of what is to be done from time to time; True if there is more. Raises StoreUnavailable."""

    def close(self) -> None:
        """Close the connections of this process."""


class _Left(NamedTuple):
    """What a request has left: all that its record is made of."""

    check: Check
    outcome: Decision | ModerationError
    at: int
    context: RequestContext
    chars: int


class _Queue:
    """What waits in one process, and the thread that writes it: lines, and then what no line was made of yet."""

    def __init__(self, *, line_of: Callable[[_Left], bytes | None], drop: Callable[[str], None], most: int) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.lines: deque[bytes] = deque()
        self.left: deque[_Left] = deque()
        self.bytes = 0
        """Of the lines, and about of those that are yet to be made."""
        self.in_hand = 0
        """How many records the thread has taken and not written yet."""
        self.thread: threading.Thread | None = None
        self.news = threading.Event()
        self.is_closing = threading.Event()
        self.ends_at = float("inf")
        self.is_dropping = False
        self.is_over = False
        """Nobody writes any more what comes now."""
        self._line_of = line_of
        self._drop = drop
        self._most_bytes = most
        self._left_chars = 0

    @property
    def waiting(self) -> int:
        return len(self.lines) + len(self.left) + self.in_hand

    def put(self, left: _Left) -> bool:
        """Append it; False where there is no room."""
        with self.lock:
            if self.is_over or self.bytes + _LINE_BYTES > self._most_bytes:
                return False
            self.bytes += _LINE_BYTES
            self._left_chars += left.chars
            self.left.append(left)
            while len(self.left) > _MOST_LEFT or self._left_chars > _MOST_LEFT_CHARS:
                self._line_up()
        if not self.news.is_set():
            self.news.set()
        return True

    def line_up(self) -> None:
        """Make the lines of all that is left, some at a time: threads with a request wait for Python's lock."""
        while self.left:
            with self.lock:
                for _ in range(min(_SLICE, len(self.left))):
                    self._line_up()
            if self.left:
                sleep(_BREATH_S)

    def _line_up(self) -> None:
        left = self.left.popleft()
        self._left_chars -= left.chars
        self.bytes -= _LINE_BYTES
        line = self._line_of(left)
        if line is None:
            self._drop("it can't be written as JSON")
        elif self.bytes + len(line) > self._most_bytes:
            self._drop("the queue is full")
        else:
            self.bytes += len(line)
            self.lines.append(line)

    def taken(self) -> list[bytes]:
        """The next batch, which counts as waiting until it is written."""
        self.line_up()
        with self.lock:
            batch = [self.lines.popleft() for _ in range(min(_BATCH, len(self.lines)))]
            self.in_hand = len(batch)
        return batch

    def written(self, batch: Sequence[bytes]) -> None:
        with self.lock:
            self.bytes -= sum(map(len, batch))
            self.in_hand = 0
        self.is_dropping = False


class Recorder:
    """An `Observer` of the moderator. Made before the workers are forked; each has its own queue and thread.

    `close()` writes what waits, for as long as it is given.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        hashes: KeyedHashes,
        events: RecordEvents,
        memory_bytes: int,
        wait_s: float = _WAIT_S,
        clock: Callable[[], float] = time,
    ) -> None:
        self._sink = sink
        self._hashes = hashes
        self._events = events
        self._memory_bytes = memory_bytes
        self._wait_s = wait_s
        self._clock = clock
        self._policies: dict[tuple[str, str], Policy] = {}
        self._queue = self._new_queue()

    def decided(self, check: Check, decision: Decision, fingerprint: bytes) -> None:
        """Hand over the record of a decision."""
        self._hand_over(check, decision)

    def failed(self, check: Check, error: ModerationError) -> None:
        """Hand over the record of a check that ended with an error."""
        self._hand_over(check, error)

    def engine_called(self, engine: str, seconds: float, failures: int, verdicts: int) -> None:
        """Nothing to record."""

    def open(self) -> None:
        """Start the thread of this process; a first record does so too."""
        queue = self._queue_here()
        with queue.lock:
            if queue.thread is None and not queue.is_closing.is_set():
                queue.thread = threading.Thread(target=self._run, args=(queue,), name="recorder", daemon=True)
                queue.thread.start()

    def close(self, within_s: float = 5.0) -> None:
        """Write what waits and end the thread; what could not be written in time is lost, logged and counted."""
        queue = self._queue_here()
        if queue.is_closing.is_set():
            return
        queue.ends_at = monotonic() + within_s
        queue.is_closing.set()
        queue.news.set()
        if queue.thread is not None:
            queue.thread.join(within_s + 1.0)
        with queue.lock:
            queue.is_over = True
        if queue.waiting:
            self._events.records_dropped(queue.waiting)
            log_event(_log, logging.ERROR, "records_lost", count=queue.waiting, reason="the process ended")

    @property
    def waiting(self) -> int:
        """How many records wait in this process."""
        return self._queue_here().waiting

    def _queue_here(self) -> _Queue:
        if self._queue.pid != os.getpid():
            # Forked: what waits, the thread and the state of the lock are the parent's.
            self._queue = self._new_queue()
        return self._queue

    def _new_queue(self) -> _Queue:
        return _Queue(line_of=self._line_of, drop=self._drop, most=self._memory_bytes)

    def _hand_over(self, check: Check, outcome: Decision | ModerationError) -> None:
        queue = self._queue_here()
        if isinstance(outcome, Decision):
            messages = check.conversation.messages
            chars = len(messages[0].content) if len(messages) == 1 else sum(len(one.content) for one in messages)
        else:
            # Its traceback holds all that the request has had in hand.
            chars = _MOST_LEFT_CHARS + 1
        if not queue.put(_Left(check, outcome, int(self._clock() * 1000), request_context.get(), chars)):
            self._drop("the process ended" if queue.is_over else "the queue is full")
        if queue.thread is None:
            self.open()

    def _line_of(self, left: _Left) -> bytes | None:
        """The record; None for what JSON can't hold, such as half a character."""
        check = left.check
        for policy in (check.policy, *check.policy.shadow):
            self._note(policy)
        try:
            return line_of(check, left.outcome, at=left.at, context=left.context, hashes=self._hashes)
        except (TypeError, ValueError):
            return None
        except Exception:
            # As for a batch: what nobody thought of must not end the thread.
            _log.exception("record_not_made")
            return None

    def _note(self, policy: Policy) -> None:
        """Remember what a version of a policy is, until it is written down."""
        key = policy.name, policy.version
        if key not in self._policies and len(self._policies) < _MOST_POLICIES:
            self._policies[key] = policy

    def _drop(self, reason: str) -> None:
        queue = self._queue
        self._events.records_dropped(1)
        if not queue.is_dropping:
            # Once for as long as it lasts; the metric counts.
            queue.is_dropping = True
            log_event(_log, logging.ERROR, "records_dropped", reason=reason, waiting=queue.waiting)

    def _run(self, queue: _Queue) -> None:
        gathered = 0
        try:
            while not queue.is_closing.is_set():
                queue.news.wait(_TICK_S)
                if queue.waiting < _BATCH:
                    queue.is_closing.wait(self._wait_s * (_LONGER if gathered >= _MANY else 1))
                queue.news.clear()
                gathered = queue.waiting
                if not self._write_all(queue):
                    return
                self._look_after(queue)
            self._write_all(queue)
        finally:
            self._sink.close()

    def _write_all(self, queue: _Queue) -> bool:
        while batch := queue.taken():
            if not self._write(queue, batch):
                return False
        return True

    def _write(self, queue: _Queue, batch: Sequence[bytes]) -> bool:
        """Write a batch, however long it takes; False where the process ends before that."""
        records = read_lines(batch)
        pause, again = _FIRST_PAUSE_S, False
        while True:
            try:
                refused = self._sink.write(records, self._policy, again=again)
            except _AWAY as error:
                if not again:
                    log_event(_log, logging.WARNING, "store_unavailable", reason=str(error))
                again = True
                self._events.records_waiting(queue.waiting)
                if monotonic() + pause > queue.ends_at:
                    return False
                # While the database is away no text waits with the rest.
                queue.line_up()
                self._pause(queue, pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            except Exception:
                # A thread that ended would leave all that comes later waiting until there is no room.
                _log.exception("records_not_written")
                refused = len(batch)
            queue.written(batch)
            self._tell(queue, len(batch), refused, was_away=again)
            return True

    def _pause(self, queue: _Queue, seconds: float) -> None:
        """Wait, or until the process shall end; once it shall, only wait."""
        if queue.is_closing.is_set():
            sleep(seconds)
        else:
            queue.is_closing.wait(seconds)

    def _tell(self, queue: _Queue, count: int, refused: int, *, was_away: bool) -> None:
        self._events.records_written(count - refused)
        self._events.records_waiting(queue.waiting)
        if was_away:
            log_event(_log, logging.INFO, "store_available_again", waiting=queue.waiting)
        if refused:
            self._events.records_dropped(refused)
            log_event(_log, logging.ERROR, "records_refused", count=refused)

    def _policy(self, name: str, version: str) -> Policy | None:
        return self._policies.get((name, version))

    def _look_after(self, queue: _Queue) -> None:
        """Between two batches, so that other processes get their turn with the database as well."""
        try:
            if not queue.is_closing.is_set() and self._sink.look_after():
                queue.news.set()
        except _AWAY as error:
            log_event(_log, logging.WARNING, "store_unavailable", reason=str(error))
        except Exception:
            _log.exception("housekeeping_failed")
