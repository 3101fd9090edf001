"""Only one process at a time makes a thing in the cache; the lock goes when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from .progress import Console

__all__ = ["locked"]


@contextlib.contextmanager
def locked(file: Path, console: Console, doing: str) -> Iterator[None]:
    """Hold the lock; if another process has it, say what it is `doing`, and wait for it."""
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.say(f"Another process {doing} (lock {file}); waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
