"""A lock between threads and processes, made before the workers are forked.

Between processes it is the kernel's lock on a file without a name, which ends with the process that holds it: a worker
that is killed leaves nothing locked.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import weakref

__all__ = ["ProcessLock"]


class ProcessLock:
    """Used by `with`; not to be taken twice by one thread."""

    def __init__(self) -> None:
        self._threads = threading.Lock()
        self._file, path = tempfile.mkstemp(prefix="moderation-lock-")
        os.unlink(path)  # noqa: PTH108 (the descriptor is all that is needed of it)
        self.close = weakref.finalize(self, os.close, self._file)

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, *raised: object) -> None:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        finally:
            self._threads.release()
