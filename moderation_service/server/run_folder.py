"""Folders in the temporary folder that live as long as a process, and are cleared away by a later one if need be.

A process that is killed leaves its folder behind. The file `lock` in it tells: the kernel keeps a lock on it until the
last of the processes that share it has ended, workers included, however they end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RunFolder", "make_run_folder", "remove_leftovers"]

_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder of this process, and of those it forks. It holds plain files only."""

    path: Path
    lock: int
    """The descriptor that holds the lock; open as long as any of the processes lives."""

    def remove(self) -> None:
        """Remove it with all that is in it."""
        with contextlib.suppress(OSError):
            _remove(self.path)
        self.close()

    def close(self) -> None:
        """Let the folder stay, for the next start to clear away."""
        os.close(self.lock)


def make_run_folder(prefix: str) -> RunFolder:
    """Make a folder, readable by this user only."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:
                return RunFolder(path, lock)
        except BlockingIOError:
            pass
        # A start at the same time took it for a leftover, in the moment before it was locked.
        os.close(lock)


def remove_leftovers(prefix: str) -> None:
    """Remove the folders of this name that this user's earlier processes left behind; what can't be removed stays."""
    with contextlib.suppress(OSError):
        for path in list(Path(tempfile.gettempdir()).glob(prefix + "*")):
            with contextlib.suppress(OSError):
                _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    """Raises OSError when it is in use, somebody else's, or no folder of ours at all."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(path, flags | os.O_DIRECTORY)
    try:
        lock = os.open(_LOCK, flags | os.O_NONBLOCK, dir_fd=folder)
        try:
            is_ours = all(os.fstat(one).st_uid == os.geteuid() for one in (folder, lock))
            if is_ours and stat.S_ISREG(os.fstat(lock).st_mode):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
        finally:
            os.close(lock)
    finally:
        os.close(folder)


def _remove(path: Path) -> None:
    """Remove a folder and the files in it; never through a link, and no folder in it. Its lock goes last."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        names = os.listdir(folder)  # noqa: PTH208  (of a descriptor, not of a path)
        for name in sorted(names, key=lambda name: name == _LOCK):
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)
    path.rmdir()
