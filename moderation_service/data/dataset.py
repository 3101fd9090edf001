"""A data set: one file or several, read one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..core.conversation import Conversation
from ..errors import DataError, ModerationError
from .arrow_file import ArrowFile
from .csv_file import CsvFile
from .files import STDIN, Chunk, DataFile, Kind, LinesFile, Row, Unreadable, kind_of
from .formats import Asked, Format, Judge, Reading, guess

__all__ = ["DataSet", "Files", "LabelledRow", "Position", "open_dataset", "open_files", "read_rows"]

_SAMPLE = 100


class Position(NamedTuple):
    """Where to go on: in which file, and where in it."""

    file: int = 0
    offset: int = 0


_BEGINNING = Position()


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a data set, all of one kind."""

    files: tuple[DataFile, ...]

    @property
    def kind(self) -> Kind:
        """The kind of all the files."""
        return self.files[0].kind

    def chunks(
        self, *, start: Position = _BEGINNING, size: int = 256, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[Position, Chunk]]:
        """The rows from a place on, with the place behind each chunk."""
        for number, file in enumerate(self.files):
            if number >= start.file:
                offset = start.offset if number == start.file else 0
                for chunk in file.chunks(start=offset, size=size, columns=columns):
                    yield Position(number, chunk.after), chunk

    def fraction(self, position: Position) -> float | None:
        """About how much of it was read, taking its files for equally long; None where that is not known."""
        part = self.files[position.file].fraction()
        return None if part is None else (position.file + part) / len(self.files)

    def fingerprint(self) -> list[Mapping[str, object]]:
        """What tells these files from others."""
        return [file.fingerprint() for file in self.files]

    @property
    def name(self) -> str:
        """For people: which files."""
        names = self.files[0].name if len(self.files) == 1 else f"{self.files[0].name} and {len(self.files) - 1} more"
        return "standard input" if names == STDIN else names


@dataclass(frozen=True, slots=True)
class DataSet(Files):
    """The files, and how their rows are read."""

    reading: Reading

    def describe(self) -> str:
        """For people: what was found, and how it is read."""
        return f"{self.name}: {self.kind.value}, {self.reading.describe()}"


def open_files(paths: Sequence[str | Path], *, kind: Kind | None = None) -> Files:
    """The files at these paths: `-` is standard input, a folder stands for the data files in it. Raises DataError.

    `kind` is what the files are, where their names don't say it.
    """
    files = tuple(_file(name, kind) for path in paths for name in _found(str(path), kind))
    if len({file.kind for file in files}) > 1:
        kinds = ", ".join(sorted({one.kind.value for one in files}))
        raise DataError(f"The files are of different kinds: {kinds}; --kind says which of a folder are meant.")
    _check_alike(files)
    return Files(files)


def open_dataset(
    paths: Sequence[str | Path],
    *,
    kind: Kind | None = None,
    row_format: Format | None = None,
    fields: Mapping[str, str] | None = None,
    judge: Judge = Judge.LAST,
) -> DataSet:
    """The files at these paths (see `open_files`), and how to read them. Raises DataError.

    The format of the rows is guessed from the first hundred where it is not given.
    """
    files = open_files(paths, kind=kind).files
    rows = [row for row in files[0].sample(_SAMPLE) if not isinstance(row, Unreadable)]
    try:
        reading = guess(rows, row_format=row_format, fields=fields, judge=judge)
    except DataError as error:
        raise DataError(f"{files[0].name}: {error}") from None
    return DataSet(files, reading)


class LabelledRow(NamedTuple):
    """A row for those who want more of it than its text: where it stands, its columns, and what is to be judged."""

    place: str
    values: Row
    asked: list[Asked]

    @property
    def conversation(self) -> Conversation | ModerationError:
        """What is judged, where a row is one question."""
        return self.asked[0].conversation


def read_rows(dataset: DataSet) -> Iterator[LabelledRow | Unreadable]:
    """Every row, with its place as file and number of the row in it, counted from 1; or why it can't be read."""
    number, current = 0, 0
    for position, chunk in dataset.chunks():
        if position.file != current:
            number, current = 0, position.file
        for row in chunk.rows:
            number += 1
            if row is None:
                continue
            place = f"{dataset.files[current].name}:{number}"
            if isinstance(row, Unreadable):
                yield Unreadable(f"{place}: {row.error}")
            else:
                yield LabelledRow(place, row, dataset.reading.asked(row))


def _file(name: str, kind: Kind | None) -> DataFile:
    kind = kind or (Kind.JSONL if name == STDIN else kind_of(name))
    if name == STDIN and kind not in (Kind.JSONL, Kind.LINES):
        raise DataError(f"Standard input can be jsonl or txt, not {kind.value}: write it to a file first.")
    if kind.is_typed:
        return ArrowFile(name, kind)
    return LinesFile(name, kind) if kind in (Kind.JSONL, Kind.LINES) else CsvFile(name, kind)


def _found(name: str, kind: Kind | None) -> list[str]:
    """The file itself, or the data files of a folder, in order."""
    folder = Path(name)
    if name == STDIN or folder.is_file():
        return [name]
    if not folder.is_dir():
        raise DataError(f"{name}: is not there.")
    if (folder / "dataset_dict.json").is_file():
        parts = ", ".join(str(one) for one in sorted(folder.iterdir()) if one.is_dir())
        raise DataError(f"{name}: is a data set of several parts. Name one: {parts}.")
    state = folder / "state.json"
    if state.is_file():
        try:
            names = [one["filename"] for one in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"{state}: is not what save_to_disk writes.") from None
        return [str(folder / Path(one).name) for one in names]
    found = sorted(str(one) for one in folder.iterdir() if one.is_file() and _is_data(one.name, kind))
    if not found:
        raise DataError(f"{name}: has no data files in it.")
    return found


def _is_data(name: str, kind: Kind | None) -> bool:
    if name.startswith((".", "_")):
        return False
    try:
        return kind in (None, kind_of(name))
    except DataError:
        return False


def _check_alike(files: Sequence[DataFile]) -> None:
    """That typed files have one schema, and CSV files one header."""
    for file in files[1:]:
        first = files[0]
        if (
            isinstance(first, CsvFile)
            and isinstance(file, CsvFile)
            and (first.header, first.delimiter)
            != (
                file.header,
                file.delimiter,
            )
        ):
            raise DataError(f"{file.name}: has another header than {first.name}.")
        if isinstance(first, ArrowFile) and isinstance(file, ArrowFile) and not first.schema.equals(file.schema):
            raise DataError(f"{file.name}: has other columns, or of other types, than {first.name}.")
