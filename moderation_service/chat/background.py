"""One call at a time beside the thread that waits for it, with something to poll for its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context

__all__ = ["Background"]


class Background:
    """Runs calls, one after the other, each in a thread of its own. Close it, whatever happens.

    A thread per call: a check takes much longer than making one, and there is nothing to shut down, to bring through a
    fork or to share between streams.
    """

    def __init__(self) -> None:
        self._readable, self._writable = os.pipe()
        self._lock = threading.Lock()
        self._is_closed = False
        self._call: Future[object] | None = None
        self._undo: Callable[[], object] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way, or has ended and was not taken."""
        return self._call is not None

    def fileno(self) -> int:
        """Readable when the call has ended."""
        return self._readable

    def start(self, call: Callable[[], object], *, undo: Callable[[], object] | None = None) -> None:
        """Begin a call; there must be none under way. If nobody takes its result, `undo` is called in the end."""
        assert self._call is None
        self._call, self._undo = Future(), undo
        # The request's id and key belong into the audit record of its checks.
        arguments = (self._run, call, self._call)
        threading.Thread(target=copy_context().run, args=arguments, name="guarded-check", daemon=True).start()

    def take(self) -> object:
        """The result of the call that has ended; raises what it raised."""
        assert self._call is not None
        os.read(self._readable, 1)
        ended, self._call, self._undo = self._call, None, None
        return ended.result()

    def close(self) -> None:
        """Forget the call under way; its thread ends with it."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            os.close(self._readable)
            os.close(self._writable)
            has_ended = self._call is not None and self._call.done()
        if has_ended and self._undo is not None:
            self._undo()

    def _run(self, call: Callable[[], object], future: Future[object]) -> None:
        try:
            result, failure = call(), None
        except BaseException as error:  # raised again in the thread that takes it
            result, failure = None, error
        with self._lock:
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)
            # Once closed, the number of the pipe may belong to somebody else.
            if not self._is_closed:
                os.write(self._writable, b".")
                return
        if self._undo is not None:
            self._undo()
