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

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way, or has ended and was not taken."""
        return self._call is not None

    def fileno(self) -> int:
        """Readable when the call has ended."""
        return self._readable

    def start(self, call: Callable[[], object]) -> None:
        """Begin a call; there must be none under way."""
        assert self._call is None
        self._call = Future()
        # The request's id and key belong into the audit record of its checks.
        arguments = (self._run, call, self._call)
        threading.Thread(target=copy_context().run, args=arguments, name="guarded-check", daemon=True).start()

    def take(self) -> object:
        """The result of the call that has ended; raises what it raised."""
        assert self._call is not None
        os.read(self._readable, 1)
        ended, self._call = self._call, None
        return ended.result()

    def close(self) -> None:
        """Forget the call under way; its thread ends with it."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._readable)
                os.close(self._writable)

    def _run(self, call: Callable[[], object], future: Future[object]) -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # raised again in the thread that takes it
            future.set_exception(error)
        with self._lock:
            # Once closed, the number of the pipe may belong to somebody else.
            if not self._is_closed:
                os.write(self._writable, b".")
