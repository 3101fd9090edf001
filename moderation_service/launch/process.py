"""A child process that leaves nothing behind: its own process group, its output in a file, an end in every case."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["ENDING_SIGNALS", "ChildProcess", "adopt_orphans", "tail"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TAIL_BYTES = 64 * 1024
_LOG_BYTES = 32 * 1024**2
"""vLLM writes a line of statistics every ten seconds: a few months of them."""
_STRAGGLERS_S = 3.0
"""After the leader's end, how long the rest of its group may take before it is killed."""
_REAP_S = 10.0
_BURY_S = 1.0
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# Looked up here and not in the child, where between fork and exec nothing may be loaded.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def adopt_orphans() -> None:
    """Make this process the parent of its children's orphans, so that it can wait for their end as well.

    In a container it may be process 1, or there may be nobody else who does it.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class ChildProcess:
    """One run of a program. Starts when it is made."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._log = log
        output = log.open("ab") if log is not None else None
        # A Ctrl-C between the fork and the assignment would leave a child that nobody knows of.
        waiting = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        try:
            self._process = subprocess.Popen(  # noqa: S603
                argv,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output is not None else None,
                # Ctrl-C reaches us alone; the order in which things stop is ours.
                start_new_session=True,
                preexec_fn=functools.partial(_in_child, os.getpid()),  # no threads here, and nothing in it takes a lock
            )
        finally:
            if output is not None:
                output.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, waiting)
        self.pid = self._process.pid
        self.started_at = clock()
        self._ended = False

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def reload(self) -> None:
        """Tell the leader to read its files again; for signal handlers."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGHUP)

    def stop(self, *, grace_s: float) -> None:
        """End it: SIGTERM to the leader, which tells its children; after `grace_s`, SIGKILL to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            if self.poll() is None:
                self._process.terminate()
        deadline = self._clock() + grace_s
        while self.poll() is None and self._clock() < deadline:
            self._sleep(0.05)
        self.kill(leader_ended=self.poll() is not None)

    def kill(self, *, leader_ended: bool = False) -> None:
        """End what is left of the group, at once; when the leader has ended by itself, the others get a moment."""
        if self._ended:
            return  # The number may belong to somebody else by now.
        deadline = self._clock() + (_STRAGGLERS_S if leader_ended else 0.0)
        while leader_ended and self._group_lives() and self._clock() < deadline:
            self._sleep(0.05)
        self.hurry()
        # A process that hangs in a driver can't be waited for.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_REAP_S)
        deadline = self._clock() + _BURY_S
        while self._group_lives() and self._clock() < deadline:
            self._sleep(0.01)
        self._ended = True

    def hurry(self) -> None:
        """Kill the group and don't wait: for signal handlers."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def trim_log(self) -> None:
        """Start the log file again when it is large; the child appends, so that it goes on at the new end."""
        if self._log is not None and self._log.stat().st_size > _LOG_BYTES:
            self._log.with_suffix(".old").write_bytes(self._log.read_bytes()[-_LOG_BYTES // 2 :])
            os.truncate(self._log, 0)

    def _group_lives(self) -> bool:
        """Whether the group has members that have not ended; those that were adopted are buried on the way."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _in_child(parent: int) -> None:
    """Runs in the child before the program does."""
    # The child goes when we are killed in a way that leaves no time to tell it.
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    # SIGHUP means "read your files again"; until the program listens to it, it must not end it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def tail(log: Path, *, lines: int) -> list[str]:
    """The last lines of a log file."""
    try:
        with log.open("rb") as content:
            size = content.seek(0, os.SEEK_END)
            content.seek(max(0, size - _TAIL_BYTES))
            text = content.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]
