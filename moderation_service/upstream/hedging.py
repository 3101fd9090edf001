"""A call that takes long is put to a second server as well, and the first answer counts.

The thread that waits for the first server starts the second call in a helper thread, when its patience is over, and
from then on waits for both. A context variable brings the `Hedge` to the place where it waits: what lies between (who
asks, what is asked, how a request is written) has no part in it.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Hedge", "Overtaken", "current_hedge"]

_Result = TypeVar("_Result")


class Overtaken(Exception):
    """The second server was quicker; its answer is in the `Hedge`."""


class _Waiting(Protocol):
    """A connection on which a reply is awaited."""

    def fileno(self) -> int:
        """What to poll."""

    def wait(self, ends_at: float) -> None:
        """Return when there is something to receive, or raise when the time is over."""

    def has_input(self, seconds: float) -> bool:
        """Wait for so long at most; whether there is something to receive."""


class Hedge(Generic[_Result]):
    """One call that may be put to a second server. Used by the thread that waits, and by one helper.

    `begin` starts the second call, which is to end in `succeeded` or `failed`; it returns False if that can't be.
    """

    __slots__ = (
        "_begin",
        "_begins_at",
        "_is_closed",
        "_is_under_way",
        "_lock",
        "_readable",
        "_results",
        "_was_begun",
        "_writable",
        "error",
    )

    def __init__(self, *, patience_s: float, begin: Callable[[], bool]) -> None:
        self.error: BaseException | None = None
        """What the second call raised, if that is an answer too."""
        self._results: list[_Result] = []
        self._begin = begin
        self._begins_at = monotonic() + patience_s
        self._was_begun = False
        self._is_under_way = False
        self._is_closed = False
        self._lock = threading.Lock()
        self._readable = self._writable = -1

    @property
    def results(self) -> list[_Result]:
        """The second server's answer, if it has come."""
        return list(self._results)

    # For the thread that waits.

    def patience_left_s(self) -> float:
        """For how long the first server alone is waited for; endless once the second was asked."""
        return max(0.0, self._begins_at - monotonic()) if not self._was_begun else float("inf")

    def wait(self, connection: _Waiting, ends_at: float) -> None:
        """As the connection's own `wait`. Raises Overtaken when the second server has answered first."""
        while not self._was_begun and (left_s := ends_at - monotonic()) > 0:
            if connection.has_input(min(self.patience_left_s(), left_s)):
                return
            if self.patience_left_s() <= 0:
                self.start()
        if not (self._is_under_way and self._wait_for_both(connection, ends_at)):
            connection.wait(ends_at)

    def start(self) -> None:
        """Ask the second server now, unless that was done."""
        if self._was_begun:
            return
        self._was_begun = True
        self._readable, self._writable = os.pipe()
        self._is_under_way = True
        if not self._begin():
            self._is_under_way = False

    def wait_for_second(self, seconds: float) -> None:
        """Wait for the second call alone, if it is under way."""
        if self._is_under_way:
            poller = select.poll()
            poller.register(self._readable, select.POLLIN)
            poller.poll(max(0.0, seconds) * 1000)

    def close(self) -> None:
        """Nobody waits any longer; the second call ends by itself."""
        if self._was_begun:
            with self._lock:
                self._is_closed = True
                os.close(self._readable)
                os.close(self._writable)

    def _wait_for_both(self, connection: _Waiting, ends_at: float) -> bool:
        """False when only the first is left to wait for."""
        poller = select.poll()
        poller.register(connection.fileno(), select.POLLIN)
        poller.register(self._readable, select.POLLIN)
        ready = {number for number, _ in poller.poll(max(0.0, ends_at - monotonic()) * 1000)}
        if connection.fileno() in ready:
            return True
        if self._readable not in ready:
            return False
        self._is_under_way = False
        if self._results or self.error is not None:
            raise Overtaken
        return False

    # For the helper.

    def succeeded(self, result: _Result) -> None:
        """The second server has answered."""
        self._results.append(result)
        self._tell()

    def failed(self, error: BaseException | None = None) -> None:
        """It gave no answer; with `error`, that is an answer which ends the wait."""
        self.error = error
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            # Once closed, the number of the pipe may belong to somebody else.
            if not self._is_closed:
                os.write(self._writable, b".")


current_hedge: ContextVar[Hedge[Any] | None] = ContextVar("current_hedge", default=None)
"""The hedge of the call that this thread makes; None where a call has no alternative."""
