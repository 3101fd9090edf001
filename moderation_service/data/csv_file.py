"""CSV and TSV: records as Python's `csv` reads them, and the bytes of each, to be written back as they were."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from ..errors import DataError
from .files import BOM, Chunk, Kind, Row, Unreadable, compression, file_fingerprint, opened

__all__ = ["CsvFile"]

_MAX_FIELD = 64 * 1024 * 1024
_MAX_CHUNK_BYTES = 8 * 1024 * 1024
_DELIMITERS = (",", ";", "\t")


class CsvFile:
    """A file with a header. A record may go over several lines."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self.kind = kind
        self._read = 0
        with opened(Path(name)) as file:
            lines = _Lines(file, name)
            first = lines.peek()
            if not first.strip():
                raise DataError(f"{name}: has no header.")
            self.delimiter = "\t" if kind is Kind.TSV else max(_DELIMITERS, key=first.count)
            self.header = next(_reader(lines, self.delimiter))
            self.header_bytes = lines.take()
        self.line_end = b"\r\n" if self.header_bytes.endswith(b"\r\n") else b"\n"
        self.twice = sorted({one for one in self.header if self.header.count(one) > 1})
        """Names that two columns have; what such a column says is not known, and it can't be judged."""

    def sample(self, size: int) -> list[Row | Unreadable]:
        rows: list[Row | Unreadable] = []
        for chunk in self.chunks(start=0, size=size):
            rows = [row for row in chunk.rows if row is not None]
            break
        return rows

    def chunks(self, *, start: int, size: int, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        with opened(Path(self.name)) as file:
            lines = _Lines(file, self.name)
            self._read = self._skip(file, max(start, len(self.header_bytes)))
            rows: list[Row | Unreadable | None] = []
            raw: list[bytes] = []
            length = 0
            try:
                for fields in _reader(lines, self.delimiter):
                    record = lines.take()
                    rows.append(self._row(fields))
                    raw.append(record)
                    length += len(record)
                    if len(rows) == size or length >= _MAX_CHUNK_BYTES:
                        self._read += length
                        yield Chunk(rows, raw, self._read)
                        rows, raw, length = [], [], 0
            except csv.Error as error:
                raise DataError(
                    f"{self.name}: the record at byte {self._read + length} can't be read ({error})."
                ) from None
            if raw and not self.fields_of(raw[-1]):
                raise DataError(f"{self.name}: a quote is opened near byte {self._read} and never closed.")
            if rows:
                self._read += length
                yield Chunk(rows, raw, self._read)

    def fraction(self) -> float | None:
        size = Path(self.name).stat().st_size
        return None if compression(self.name) or not size else self._read / size

    def fingerprint(self) -> dict[str, object]:
        return dict(file_fingerprint(Path(self.name)))

    def fields_of(self, record: bytes) -> int:
        """How many fields a record has; 0 for one whose last quote is not closed."""
        text = record.removeprefix(BOM).rstrip(b"\r\n").decode()
        [fields] = csv.reader([f"{text}{self.delimiter}."], delimiter=self.delimiter)
        return len(fields) - 1 if fields[-1] == "." else 0

    def _skip(self, file: IO[bytes], start: int) -> int:
        if compression(self.name):
            left = start
            while left > 0 and (read := file.read(min(left, 1 << 20))):
                left -= len(read)
        else:
            file.seek(start)
        return start

    def _row(self, fields: list[str]) -> Row | Unreadable | None:
        if not fields:
            return None
        if len(fields) > len(self.header):
            # Then a text stands in two columns, and nothing could be put behind it.
            raise DataError(
                f"{self.name}: a record near byte {self._read} has {len(fields)} fields, not {len(self.header)}. "
                "A text with a comma or a line break in it must stand in quotes."
            )
        if len(fields) < len(self.header):
            return Unreadable(f"too_few_fields: The record has {len(fields)} fields, the header {len(self.header)}.")
        return {name: field or None for name, field in zip(self.header, fields, strict=True) if name not in self.twice}


class _Lines:
    """Lines for `csv.reader`, which takes as many as a record has; their bytes can be taken afterwards."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._taken: list[bytes] = []
        self._peeked: bytes | None = None
        self._is_first = True

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._next() if self._peeked is None else self._peeked
        self._peeked = None
        if not line:
            raise StopIteration
        self._taken.append(line)
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(BOM)
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise DataError(f"{self._name}: is not UTF-8. To convert it: iconv -f LATIN1 -t UTF-8") from None

    def _next(self) -> bytes:
        try:
            return self._file.readline()
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{self._name}: can't be read to its end ({type(error).__name__}).") from None

    def peek(self) -> str:
        """The first line."""
        self._peeked = self._next()
        return self._peeked.decode("utf-8", "replace")

    def take(self) -> bytes:
        """The bytes of the lines since the last time."""
        taken, self._taken = self._taken, []
        return taken[0] if len(taken) == 1 else b"".join(taken)


def _reader(lines: _Lines, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_MAX_FIELD)
    return csv.reader(lines, delimiter=delimiter)
