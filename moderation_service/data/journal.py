"""An output that can be gone on with after a kill at any moment: one growing file, and a journal of what is in it.

Some times a second, in this order: what was written is synced, a line goes to the journal, the journal is synced. So
the journal never promises what is not there, and what stands behind its last promise is cut off. The first line of the
journal says what is written by whom: going on with another input, model or engine would make one file of two.

    OUT.part      the output while it grows
    OUT.journal   what of the input is in it; it stays beside OUT, and says how OUT was made

There is no text in the journal: sizes, hashes of files, names and counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from ..errors import DataError

__all__ = ["GrowingFile", "Progress"]

_PROMISE_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an output has come: where to go on in the input, its length in bytes, and what was counted so far."""

    file: int = 0
    offset: int = 0
    length: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    digest: str | None = None
    is_end: bool = False

    def to_json(self) -> dict[str, object]:
        """A line of the journal."""
        line: dict[str, object] = {"in": [self.file, self.offset], "out": self.length, "counts": dict(self.counts)}
        if self.digest is not None:
            line["digest"] = self.digest
        return {**line, "end": True} if self.is_end else line

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Progress:
        """The progress that a line of the journal tells."""
        file, offset = line["in"]
        return cls(file, offset, line["out"], line["counts"], line.get("digest"), bool(line.get("end")))


class GrowingFile:
    """The output and its journal, for one process at a time. `progress` is how far it has come."""

    def __init__(self, path: Path, head: Mapping[str, object], *, fresh: bool = False) -> None:
        """Begin, or go on. Raises DataError where there is something else in the way, and says what."""
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self._journal_path = path.with_name(path.name + ".journal")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}.") from None
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._journal)
            raise DataError(f"{path}: another process is writing it.") from None
        self._file = -1
        self.progress = Progress()
        self._promised_at = monotonic()
        try:
            self._begin({**head}, fresh=fresh)
            self._file = os.open(self.part, os.O_RDWR | os.O_CREAT, 0o644) if not self.is_complete else -1
            self._promised = self.progress
            if self._file >= 0:
                os.ftruncate(self._file, self.progress.length)
                os.lseek(self._file, 0, os.SEEK_END)
        except BaseException:
            os.close(self._journal)
            raise

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to do."""
        return self.progress.is_end and not self.part.exists() and self.path.exists()

    def add(self, content: bytes, progress: Progress) -> None:
        """Write a chunk. It outlives a kill from the next promise on, which is made some times a second.

        Raises DataError where it can't be written.
        """
        try:
            _write(self._file, content)
            self.progress = progress
            self.settle(at_once=progress.is_end)
        except OSError as error:  # the disk is full
            raise DataError(f"{self.part}: {error.strerror}. With that mended, the same command goes on.") from None

    def settle(self, *, at_once: bool = False) -> None:
        """Make the promise that is due; to be called where one waits for the next chunk."""
        is_due = at_once or monotonic() - self._promised_at >= _PROMISE_EVERY_S
        if is_due and self._promised != self.progress:
            self._promise()

    def close(self) -> None:
        """Leave it as it is, to be gone on with."""
        if self._file >= 0:
            # Where there is no room for it either, the last promise stands.
            with contextlib.suppress(OSError):
                self.settle(at_once=True)
        for descriptor in (self._file, self._journal):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._journal = -1

    def published(self, made: Path | None = None) -> None:
        """Give the output its name: the grown file itself, or `made`, which was made of it. All rows are in it."""
        source = made or self.part
        for one in (*source.glob("*"), source) if source.is_dir() else (source,):
            _sync(one)
        if self.path.is_dir():
            shutil.rmtree(self.path)
        source.replace(self.path)
        _sync(self.path.parent)
        if made is not None:
            self.part.unlink(missing_ok=True)

    def _begin(self, head: dict[str, object], *, fresh: bool) -> None:
        lines = self._lines()
        if fresh:
            lines = []
        elif not lines and self.path.exists():
            self._journal_path.unlink()
            raise DataError(f"{self.path}: is there already. Another -o, or --fresh to replace it.")
        if lines:
            self._check_same(lines[0], head)
            self.progress = Progress.of(lines[-1]) if len(lines) > 1 else Progress()
            if self.is_complete:
                return
            size = self.part.stat().st_size if self.part.exists() else 0
            if size >= self.progress.length:
                return
            raise DataError(f"{self.part}: is gone, or shorter than it was. --fresh begins anew.")
        os.ftruncate(self._journal, 0)
        os.lseek(self._journal, 0, os.SEEK_SET)
        self.part.unlink(missing_ok=True)
        self._note(head)

    def _lines(self) -> list[dict[str, Any]]:
        """The journal's lines; a last one that was torn off is cut away."""
        content = b""
        while piece := os.read(self._journal, 1 << 20):
            content += piece
        lines: list[dict[str, Any]] = []
        length = 0
        for line in content.splitlines(keepends=True):
            try:
                found = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                found = None
            if not isinstance(found, dict):
                break
            lines.append(found)
            length += len(line)
        os.ftruncate(self._journal, length)
        os.lseek(self._journal, length, os.SEEK_SET)
        return lines

    def _check_same(self, before: Mapping[str, object], now: Mapping[str, object]) -> None:
        told = json.loads(json.dumps(now))
        for name in {**before, **told}:
            if before.get(name) != told.get(name):
                was, is_now = (json.dumps(one.get(name)) for one in (before, told))
                said = "" if name == "input" else f" was {was[:80]} and is {is_now[:80]}"
                raise DataError(
                    f"{self.path}: was begun with another {name}:{said or ' the files are not the same'}. "
                    "The same command as before goes on; --fresh begins anew."
                )

    def _promise(self) -> None:
        """Have what was written on the disk, and then the journal that says so."""
        os.fdatasync(self._file)
        self._note(self.progress.to_json())
        self._promised, self._promised_at = self.progress, monotonic()

    def _note(self, line: Mapping[str, object]) -> None:
        _write(self._journal, json.dumps(line, separators=(",", ":")).encode() + b"\n")
        os.fdatasync(self._journal)


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync(path: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems can't sync a folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
