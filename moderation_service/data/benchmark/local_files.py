"""A set's files on this disk: found, their hashes taken, and read as labelled texts.

In a folder DIR a set NAME is one of these, the first that is there:

    DIR/NAME.jsonl (.gz)        rows in the shape of `eval`
    DIR/NAME/PATH               its files as `benchmark fetch` leaves them, or as they were unpacked
    DIR/NAME/FILE, DIR/FILE     its files without their folders
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.conversation import Conversation, Limits
from ...errors import DataError, ModerationError
from ..evaluation.labels import gold
from ..evaluation.run import LabelledText
from .loaders import Load, labelled
from .registry import BenchmarkFile, BenchmarkSet

__all__ = ["LocalSet", "locate"]

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalSet:
    """A set that is on this disk. `is_own` says that its file is in the shape of `eval`, and not the set's own."""

    benchmark: BenchmarkSet
    paths: Sequence[Path]
    is_own: bool

    def texts(self) -> list[LabelledText]:
        """All texts with their labels. Raises DataError naming the set, the row and the column."""
        load: Load = labelled if self.is_own else self.benchmark.load
        found = []
        try:
            for number, row in enumerate(load(self.paths), 1):
                found.append(_text(row, number))
        except ModerationError as error:
            raise DataError(f"{self.benchmark.name}: row {len(found) + 1}: {error.message}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{self.benchmark.name}: row {len(found) + 1} is not as this set's rows are ({type(error).__name__})."
            ) from error
        if not found:
            raise DataError(f"{self.benchmark.name}: there is no row in {', '.join(map(str, self.paths))}.")
        return found

    def facts(self) -> list[dict[str, Any]]:
        """The files with their hashes, and whether these are the pinned ones; null where none is pinned."""
        pins = {Path(file.path).name: file.sha256 for file in self.benchmark.files}
        facts = []
        for path in self.paths:
            digest, pin = _sha256(path), None if self.is_own else pins.get(path.name)
            facts.append({"file": path.name, "sha256": digest, "is_pinned": None if pin is None else pin == digest})
        return facts


def locate(benchmark: BenchmarkSet, folder: Path) -> LocalSet | None:
    """The set in this folder; None if it is not there, or not whole."""
    for end in (".jsonl", ".jsonl.gz"):
        own = folder / f"{benchmark.name}{end}"
        if own.is_file():
            return LocalSet(benchmark, (own,), is_own=True)
    if benchmark.unpacked is not None:
        unpacked = sorted((folder / benchmark.name).glob(f"**/{benchmark.unpacked}"))
        return LocalSet(benchmark, unpacked, is_own=False) if unpacked else None
    found: list[Path] = []
    for file in benchmark.files:
        here = _matching(file, folder, benchmark.name)
        if not here:
            return None
        found += here
    return LocalSet(benchmark, tuple(found), is_own=False) if found else None


def _matching(file: BenchmarkFile, folder: Path, name: str) -> list[Path]:
    base = Path(file.path).name
    for root, pattern in ((folder / name, file.path), (folder / name, base), (folder, base)):
        found = sorted(one for one in root.glob(pattern) if one.is_file()) if root.is_dir() else []
        if found:
            return found
    return []


def _text(row: Mapping[str, Any], number: int) -> LabelledText:
    messages = row.get("messages")
    if messages is None:
        conversation = Conversation.of(prompt=row.get("prompt"), response=row.get("response"))
    else:
        conversation = Conversation.from_messages(messages, limits=Limits(messages=100_000))
    return LabelledText(gold(row, conversation, number=number), conversation)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
