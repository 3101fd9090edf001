"""A labelled data set is read, the rows that pass are written as they were, the others with the reason."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from .dataset import Files
from .encoders import create_encoder, output_kind
from .files import Chunk, Unreadable
from .filter_summary import Summary
from .filtering import Groups, Label, Rules, read_label
from .labels import PREFIX

__all__ = ["Filter", "filter_rows", "parts_labelled"]

_CHUNK = 4096
_NOT_READABLE = "not_readable"
_PARTS = ("", "chosen_", "rejected_", "prompt_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is filtered by which rules, and where to. `group` is the column that says which rows answer one prompt."""

    files: Files
    kept: str
    rejects: str | None
    rules: Rules
    head: str = PREFIX
    prefix: str = PREFIX
    group: str | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class _Reason:
    """The one column of rejected rows, or none for those that are kept."""

    prefix: str
    bare_names: tuple[str, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        return (self.prefix,)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.prefix + name for name in self.bare_names)


def parts_labelled(files: Files, prefix: str) -> list[str]:
    """The parts of the rows that have labels: one without a name, or those of pairs. Raises DataError for none."""
    sample = [row for row in files.files[0].sample(100) if not isinstance(row, Unreadable)]
    found = [part for part in _PARTS if any(f"{prefix}{part}safety" in row for row in sample)]
    if not found:
        raise DataError(
            f"{files.name}: has no column {prefix}safety. Label it first with annotate; "
            "--columns says how the names of its columns begin."
        )
    return [part.removesuffix("_") for part in found]


def filter_rows(job: Filter) -> Summary:
    """Write the rows, and count. Raises DataError."""
    groups = None if job.group is None else _groups(job)
    summary = Summary()
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(closing(_Output(job, job.kept, ())))
        rejects = None if job.rejects is None else stack.enter_context(closing(_Output(job, job.rejects, ("reason",))))
        for _, chunk in job.files.chunks(size=_CHUNK):
            reasons: list[str | None] = []
            for row in chunk.rows:
                label, reason = (None, "") if row is None else _decided(job, row, groups)
                if row is not None:
                    summary.add(label, reason)
                reasons.append(reason)
            kept.write(chunk, [number for number, reason in enumerate(reasons) if reason is None], reasons)
            if rejects is not None:
                rejects.write(chunk, [number for number, reason in enumerate(reasons) if reason], reasons)
        for one in (kept, rejects):
            if one is not None:
                one.publish()
    return summary


def _decided(job: Filter, row: Any, groups: Groups | None) -> tuple[Label | None, str | None]:
    """The label of a row, and the reason to drop it."""
    if isinstance(row, Unreadable):
        return None, _NOT_READABLE
    label = read_label(row, job.head)
    reason = job.rules.reason(label)
    if groups is None or label.severity is None:
        return label, reason
    assert job.group is not None
    return label, groups.reason(row.get(job.group))


def _groups(job: Filter) -> Groups:
    """A first pass, for what the answers to each prompt are."""
    groups = Groups()
    assert job.group is not None
    found = False
    for _, chunk in job.files.chunks(size=_CHUNK):
        for row in chunk.rows:
            if row is None or isinstance(row, Unreadable) or job.group not in row:
                continue
            found = True
            label = read_label(row, job.head)
            if label.severity is not None:
                groups.note(row[job.group], passes=job.rules.reason(label) is None)
    if not found:
        raise DataError(f"--mixed-groups: no row has a column {job.group}.")
    return groups


class _Output:
    """A file that has its name once it is whole."""

    def __init__(self, job: Filter, name: str, columns: tuple[str, ...]) -> None:
        self._path = Path(name)
        self._part = self._path.with_name(self._path.name + ".part")
        if self._path.exists() and not job.fresh:
            raise DataError(f"{name}: is there already. Another name, or --fresh to replace it.")
        kind = output_kind(name, job.files)
        self._name = job.prefix + columns[0] if columns else None
        self._encoder = create_encoder(job.files, _Reason(job.prefix, columns), kind)
        self._is_typed = job.files.kind.is_typed
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("wb")
        except OSError as error:
            raise DataError(f"{name}: {error.strerror}.") from None
        self._file.write(self._encoder.begin())

    def write(self, chunk: Chunk, numbers: Sequence[int], reasons: Sequence[str | None]) -> None:
        """These rows of a chunk."""
        if not numbers:
            return
        labels: list[Mapping[str, object]] = [
            {} if self._name is None else {self._name: reasons[one]} for one in numbers
        ]
        rows = [chunk.rows[one] for one in numbers]
        raw = chunk.raw.take(_indices(numbers)) if self._is_typed else [chunk.raw[one] for one in numbers]
        self._file.write(self._encoder.chunk(Chunk(rows, raw, 0), labels))

    def publish(self) -> None:
        """Give it its name."""
        self._file.close()
        made = self._encoder.finish(self._part, self._path)
        (made or self._part).replace(self._path)

    def close(self) -> None:
        """Leave nothing half done behind."""
        self._file.close()
        self._part.unlink(missing_ok=True)


def _indices(numbers: Sequence[int]) -> Any:
    import pyarrow

    return pyarrow.array(numbers, type=pyarrow.int64())
