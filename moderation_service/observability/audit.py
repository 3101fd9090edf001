"""The audit record: one JSON line per decision, without text."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ..core.moderator import Check, Outcome
from ..core.verdict import Decision
from ..errors import AuditUnavailable, ConfigurationError
from .logs import log_event
from .request_context import request_context

__all__ = ["AuditEvents", "AuditFile"]

_log = logging.getLogger("moderation.audit")
_RETRY_AFTER_S = 5.0


class AuditEvents(Protocol):
    """Told of what could not be written down."""

    def audit_failed(self) -> None:
        """A record could not be written."""


class AuditFile:
    """Appends to a file; the `Record` of the moderator. `close()` closes it.

    A record that can't be written is logged and told to `events`; where `is_required`, its decision is not given.
    Before the file would grow beyond `max_bytes` (0: never) it is renamed, and `keep` of those are kept.

    Raises ConfigurationError for a file that can't be written, or not be renamed though it should.
    """

    def __init__(
        self, path: Path, *, is_required: bool, events: AuditEvents, max_bytes: int = 0, keep: int = 1
    ) -> None:
        if max_bytes:
            # What a link leads to is renamed, not the link.
            path = path.resolve()
            if path.exists() and not path.is_file():
                raise ConfigurationError(f"audit_max_bytes: {path} is no file that can be renamed.")
            if path.parent.is_dir() and not os.access(path.parent, os.W_OK | os.X_OK):
                raise ConfigurationError(
                    f"audit_max_bytes: nothing can be renamed in {path.parent}: Permission denied."
                )
        try:
            self._lines = _Lines(path, max_bytes=max_bytes, keep=keep)
        except OSError as error:
            raise ConfigurationError(f"audit_file: {path} can't be written: {error.strerror}.") from error
        self._is_required = is_required
        self._events = events
        # A reload opens the file anew and only drops this object.
        self.close = weakref.finalize(self, self._lines.close)

    def write(self, check: Check, outcome: Outcome, fingerprint: bytes) -> None:
        """Write down what came of a check. Raises AuditUnavailable for a decision that needs its record."""
        context = request_context.get()
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": context.request_id,
            "key": context.key_name,
            **({} if context.app is None else {"app": context.app}),
            **({} if context.end_user is None else {"end_user": context.end_user}),
            **_fields(check, outcome, fingerprint),
            "policy": check.policy.name,
            "policy_version": check.policy.version,
            "metadata": dict(check.metadata),
        }
        try:
            self._lines.append((json.dumps(record) + "\n").encode())
        except OSError as error:
            # What is missing is in the log, under the request's id.
            log_event(_log, logging.ERROR, "audit_failed", request_id=context.request_id, reason=error.strerror)
            self._events.audit_failed()
            if self._is_required and isinstance(outcome, Decision):
                message = "The decision could not be recorded; without its record none is given."
                raise AuditUnavailable(message, retry_after_s=_RETRY_AFTER_S) from error


def _fields(check: Check, outcome: Outcome, fingerprint: bytes) -> dict[str, object]:
    if not isinstance(outcome, Decision):
        return {"target": check.conversation.target.value, "error": outcome.type}
    verdict = outcome.verdict
    return {
        "id": outcome.id,
        "target": outcome.target.value,
        "safety": None if verdict is None else verdict.severity.value,
        "categories": [] if verdict is None else [category.value for category in verdict.categories],
        "refusal": None if verdict is None else verdict.refusal,
        "action": outcome.action.value,
        "engine": outcome.engine,
        "model": outcome.model,
        "degraded": outcome.degraded,
        "reason": outcome.reason,
        "read_in_part": [] if verdict is None else sorted(part.value for part in verdict.read_in_part),
        "span": None if verdict is None or verdict.span is None else [verdict.span.start, verdict.span.end],
        "coverage": None if verdict is None or verdict.coverage is None else verdict.coverage.value,
        "cached": outcome.cached,
        **({} if outcome.listed_by is None else {"list_entry": outcome.listed_by.entry}),
        "text_hash": fingerprint.hex(),
        **({} if outcome.escalated_until is None else {"escalated": True}),
    }


class _Lines:
    """A file of whole lines, to which the threads of several processes append. Made before they are forked.

    A full disk takes the beginning of a line and refuses the rest. So one at a time writes, and takes back what it
    could not complete. Where that can't be done (a file with the attribute `a`, a device), or a process was killed in
    the middle of a line, the next line begins on one of its own.

    With `max_bytes`, whoever is alone and has no room for its line renames the file; the others see by its name that it
    is no longer theirs.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        self._descriptor = _open(path)
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._threads = threading.Lock()
        # One byte that all processes see: whether the file may end in the middle of a line. At first nobody knows.
        self._may_be_torn = mmap.mmap(-1, 1)
        self._may_be_torn[0] = 1

    def append(self, line: bytes) -> None:
        """Write a line, whole or not at all. Raises OSError."""
        with self._alone():
            if self._max_bytes:
                self._follow()
                self._make_room(len(line))
            if self._may_be_torn[0] and not self._ends_whole():
                line = b"\n" + line
            self._may_be_torn[0] = 1
            written = 0
            try:
                while written < len(line):
                    written += os.write(self._descriptor, line[written:])
            except OSError:
                self._take_back(written)
                raise
            self._may_be_torn[0] = 0

    def close(self) -> None:
        os.close(self._descriptor)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes. The lock on the file is between processes, and ends with the one that holds it."""
        with self._threads:
            self._lock()
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def _lock(self) -> None:
        # Some network file systems have no locks; there a line is one write all the same, if there is room for it.
        with contextlib.suppress(OSError):
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def _follow(self) -> None:
        """Go on in the file of that name, where ours was renamed or deleted. Raises OSError."""
        while not self._has_its_name():
            newer = _open(self._path)
            # This also ends the lock on the old file.
            os.close(self._descriptor)
            self._descriptor = newer
            self._may_be_torn[0] = 1
            self._lock()

    def _has_its_name(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def _make_room(self, length: int) -> None:
        """Rename the file if a line of that length would make it too long. Raises OSError."""
        size = os.fstat(self._descriptor).st_size
        if size == 0 or size + length <= self._max_bytes:
            return
        # Where it can't be renamed any more, a file that is too long is better than a record that is missing.
        with contextlib.suppress(OSError):
            # Only as far as to the first gap: one is there where a process was killed between two renames.
            gap = next((one for one in range(1, self._keep) if not os.path.lexists(self._numbered(one))), self._keep)
            for number in range(gap - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    self._numbered(number).replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))
        self._follow()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _ends_whole(self) -> bool:
        with contextlib.suppress(OSError):
            size = os.fstat(self._descriptor).st_size
            return size == 0 or os.pread(self._descriptor, 1, size - 1) == b"\n"
        return False

    def _take_back(self, written: int) -> None:
        """Cut off the last so many bytes, if they are still the end."""
        with contextlib.suppress(OSError):
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            if written and os.fstat(self._descriptor).st_size == end:
                os.ftruncate(self._descriptor, end - written)


def _open(path: Path) -> int:
    """Open for appending, and for reading where that can be, to see how a file ends; a pipe has but one direction."""
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    if path.is_file() or not path.exists():
        with contextlib.suppress(PermissionError):
            return os.open(path, flags | os.O_RDWR, 0o600)
    return os.open(path, flags | os.O_WRONLY, 0o600)
