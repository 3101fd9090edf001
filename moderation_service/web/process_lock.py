"""A lock between threads and processes, made before the workers are forked.

On Linux it is a robust mutex of the C library in memory that the processes share (pthread_mutexattr_setrobust(3)): the
kernel frees it when its holder is killed, and to take one that is free needs neither a system call nor that Python's
lock is given away. Elsewhere it is the kernel's lock on a file without a name, which ends with its process as well.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import sys
import tempfile
import threading
import weakref
from typing import Any, Protocol

__all__ = ["FileLock", "MutexLock", "ProcessLock", "process_lock"]

# Both are 1 in glibc and musl.
_PROCESS_SHARED = _ROBUST = 1
_ATTRIBUTES_BYTES = 64
"""At least what a pthread_mutexattr_t takes: 4 to 8 bytes."""


class ProcessLock(Protocol):
    """Used by `with`; not to be taken twice by one thread."""

    def __enter__(self) -> None:
        """Wait until nobody else has it."""

    def __exit__(self, *raised: object) -> None:
        """Let go of it."""

    def close(self) -> object:
        """Free what it needs of the system."""


def process_lock() -> ProcessLock:
    """The best lock that this system has."""
    if sys.platform == "linux":
        try:
            return MutexLock()
        except (AttributeError, OSError):
            pass  # a C library without it, or a kernel (of a sandbox) that would not free it
    return FileLock()


class MutexLock:
    """A robust mutex. Raises AttributeError or OSError where there is none."""

    def __init__(self) -> None:
        # The first functions keep Python's lock, as they never wait; the other waits and gives it away.
        quick, patient = ctypes.PyDLL(None), ctypes.CDLL(None)
        self._try, self._unlock, self._mend = (
            _function(quick, f"pthread_mutex_{name}") for name in ("trylock", "unlock", "consistent")
        )
        self._wait = _function(patient, "pthread_mutex_lock")
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._at = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        attributes = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
        _checked(quick.pthread_mutexattr_init(attributes))
        _checked(quick.pthread_mutexattr_setpshared(attributes, _PROCESS_SHARED))
        _checked(quick.pthread_mutexattr_setrobust(attributes, _ROBUST))
        _checked(_function(quick, "pthread_mutex_init", ctypes.c_void_p)(self._at, ctypes.addressof(attributes)))

    def __enter__(self) -> None:
        found = self._try(self._at)
        if found:
            if found == errno.EBUSY:
                found = self._wait(self._at)
            if found == errno.EOWNERDEAD:
                # Whoever held it was killed. What it guards is numbers that are right one by one.
                found = self._mend(self._at)
            _checked(found)

    def __exit__(self, *raised: object) -> None:
        self._unlock(self._at)

    def close(self) -> None:
        """Nothing: the memory goes with the lock."""


class FileLock:
    """A lock on a file, and one for the threads of each process."""

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


def _function(library: ctypes.CDLL, name: str, *more: Any) -> Any:
    """A function of the C library that takes a mutex."""
    function = getattr(library, name)
    function.argtypes = (ctypes.c_void_p, *more)
    return function


def _checked(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))
