"""Rows with their labels as bytes: the row as it was, the labels behind it."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import DataError
from .csv_file import CsvFile
from .dataset import Files
from .files import BOM, Chunk, Kind, Unreadable, compression, kind_of, pyarrow
from .json_text import dumps
from .labels import NewColumns

__all__ = ["Encoder", "create_encoder", "output_kind"]

LabelsOfRow = Mapping[str, object]


class Encoder(Protocol):
    """Makes the bytes of an output."""

    def begin(self) -> bytes:
        """What stands before the first row."""

    def chunk(self, chunk: Chunk, labels: Sequence[LabelsOfRow | None]) -> bytes:
        """These rows with their labels; a row that is none (an empty line) has no labels."""

    def finish(self, part: Path, output: Path) -> Path | None:
        """The finished file made of the grown one, beside `output`; None where the grown one is that already."""


def output_kind(output: str, dataset: Files) -> Kind:
    """What the output is to be, by its name; like the input where the name says nothing. Raises DataError."""
    kind = dataset.kind
    if output == "-" or (not Path(output).suffix and kind is not Kind.PARQUET):
        wanted: Kind = Kind.JSONL if kind is Kind.LINES or (output == "-" and kind.is_typed) else kind
    else:
        try:
            wanted = kind_of(output)
        except DataError:
            raise DataError(
                f"{output}: its ending does not say what to write: .jsonl, or what the input has."
            ) from None
    if wanted is Kind.LINES:
        raise DataError(f"{output}: lines of text have no place for labels; name it .jsonl.")
    if wanted not in (kind, Kind.JSONL) and not (wanted.is_typed and kind.is_typed):
        raise DataError(f"{output}: {kind.value} can be written as {kind.value} or as jsonl, not as {wanted.value}.")
    if wanted.is_typed and compression(output):
        raise DataError(f"{output}: {wanted.value} is compressed in itself; leave the ending out.")
    return wanted


def create_encoder(dataset: Files, labels: NewColumns, kind: Kind) -> Encoder:
    """The encoder from the kind of the input to this one. Raises DataError where a column is there already."""
    first = dataset.files[0]
    if kind is Kind.JSONL:
        return _SplicedJson(labels) if dataset.kind is Kind.JSONL else _RowsAsJson(dataset, labels)
    if isinstance(first, CsvFile):
        _refuse_taken(labels, first.header)
        return _SplicedCsv(first, labels)
    from .arrow_output import ArrowEncoder

    return ArrowEncoder(dataset, labels, kind)


class _Packed:
    """Compresses at the end, in one piece: many readers see the first piece of several only."""

    def begin(self) -> bytes:
        return b""

    def finish(self, part: Path, output: Path) -> Path | None:
        how = compression(output.name)
        if how is None:
            return None
        made = output.with_name(output.name + ".packing")
        with part.open("rb") as source:
            if how == "gzip":
                # No name and no time in it: the same rows are the same bytes.
                with made.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                    shutil.copyfileobj(source, packed, 1 << 20)
            else:
                arrow = pyarrow(f"{output}: zstd")
                with arrow.OSFile(str(made), "wb") as sink, arrow.CompressedOutputStream(sink, "zstd") as stream:
                    while block := source.read(1 << 20):
                        stream.write(block)
        return made


class _SplicedJson(_Packed):
    """JSON lines to JSON lines: the line's bytes stay, and the labels are put before its last brace."""

    def __init__(self, labels: NewColumns) -> None:
        self._source = f"{labels.prefix}source"
        self._adds = bool(labels.names)

    def chunk(self, chunk: Chunk, labels: Sequence[LabelsOfRow | None]) -> bytes:
        found: list[bytes] = []
        for line, row, label in zip(chunk.raw, chunk.rows, labels, strict=True):
            if label is None or not self._adds:
                found.append(line if line.endswith(b"\n") else line + b"\n")
            elif isinstance(row, Unreadable):
                # The line can't be kept as it is, or the output would not be JSON lines.
                text = line.removeprefix(BOM).rstrip(b"\r\n").decode("utf-8", "backslashreplace")
                found.append(dumps({self._source: text, **label}) + b"\n")
            else:
                body = line.rstrip()
                end = line[len(body) :]
                comma = b"," if row else b""
                found += (body[:-1], comma, dumps(label)[1:], end if end.endswith(b"\n") else b"\n")
        return b"".join(found)


class _RowsAsJson(_Packed):
    """Rows of another kind, as JSON lines."""

    def __init__(self, dataset: Files, labels: NewColumns) -> None:
        first = dataset.files[0]
        self._source = f"{labels.prefix}source"
        if isinstance(first, CsvFile) and first.twice:
            raise DataError(f"{first.name}: has two columns with the name {first.twice[0]}; JSON can have one only.")

    def chunk(self, chunk: Chunk, labels: Sequence[LabelsOfRow | None]) -> bytes:
        found: list[bytes] = []
        for number, (row, label) in enumerate(zip(chunk.rows, labels, strict=True)):
            if label is None:
                continue
            if row is None or isinstance(row, Unreadable):
                raw = chunk.raw[number].rstrip(b"\r\n").decode("utf-8", "backslashreplace")
                found += (dumps({self._source: raw, **label}), b"\n")
            else:
                found += (dumps({**row, **label}), b"\n")
        return b"".join(found)


class _SplicedCsv(_Packed):
    """CSV to CSV: the record's bytes stay, and the labels are columns behind it."""

    def __init__(self, file: CsvFile, labels: NewColumns) -> None:
        self._file = file
        self._names = labels.names
        self._between = file.delimiter.encode()

    def begin(self) -> bytes:
        return self._with(self._file.header_bytes, self._names) if self._names else self._file.header_bytes

    def chunk(self, chunk: Chunk, labels: Sequence[LabelsOfRow | None]) -> bytes:
        found: list[bytes] = []
        for record, row, label in zip(chunk.raw, chunk.rows, labels, strict=True):
            if label is None or not self._names:
                found.append(record if record.endswith(b"\n") else record + self._file.line_end)
                continue
            missing = b""
            if isinstance(row, Unreadable):
                missing = self._between * (len(self._file.header) - self._file.fields_of(record))
            found.append(self._with(record, [_cell(label[name]) for name in self._names], missing=missing))
        return b"".join(found)

    def _with(self, record: bytes, cells: Sequence[str], *, missing: bytes = b"") -> bytes:
        body = record.rstrip(b"\r\n")
        line = io.StringIO()
        csv.writer(line, delimiter=self._file.delimiter, lineterminator="").writerow(cells)
        end = record[len(body) :] or self._file.line_end
        return b"".join((body, missing, self._between, line.getvalue().encode(), end))


def _cell(value: object) -> str:
    """A label as CSV has it: nothing for null, categories with a semicolon between them, a span as `start-end`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"{value['start']}-{value['end']}"
    if isinstance(value, list):
        return ";".join(value) if all(isinstance(one, str) for one in value) else dumps(value).decode()
    return str(value)


def _refuse_taken(labels: NewColumns, columns: Sequence[Any]) -> None:
    taken = [name for name in labels.names if name in columns]
    if taken:
        raise DataError(f"The rows have a column {taken[0]} already; --columns gives the new ones another beginning.")
