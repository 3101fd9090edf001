"""Parquet files, and Arrow's IPC files as Hugging Face's `save_to_disk` writes them. Read by batch, never whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .files import Chunk, Kind, Row, Unreadable, file_fingerprint, pyarrow

__all__ = ["ArrowFile"]


class ArrowFile:
    """A typed file. Places in it are numbers of rows."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self.kind = kind
        self._arrow = pyarrow(name)
        self._read = 0
        self.schema, self._rows = self._head()

    def sample(self, size: int) -> list[Row | Unreadable]:
        for chunk in self.chunks(start=0, size=size):
            return [row for row in chunk.rows if row is not None]
        return []

    def chunks(self, *, start: int, size: int, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        self._read = start
        try:
            for batch in self._batches(start, size):
                for first in range(0, batch.num_rows, size):
                    part = batch.slice(first, size)
                    self._read += part.num_rows
                    wanted = (
                        part if columns is None else part.select([one for one in columns if one in part.schema.names])
                    )
                    yield Chunk(wanted.to_pylist(), part, self._read)
        except (self._arrow.ArrowException, OSError) as error:
            raise DataError(f"{self.name}: can't be read ({type(error).__name__}).") from None

    def fraction(self) -> float | None:
        return None if not self._rows else self._read / self._rows

    def fingerprint(self) -> dict[str, object]:
        return dict(file_fingerprint(Path(self.name)))

    def _head(self) -> tuple[Any, int | None]:
        """The schema, and the number of rows where it is known."""
        try:
            if self.kind is Kind.PARQUET:
                with self._arrow.parquet.ParquetFile(self.name) as file:
                    schema, rows = file.schema_arrow, file.metadata.num_rows
            else:
                with self._arrow.OSFile(self.name) as source:
                    schema, rows = self._opened(source).schema, None
        except (self._arrow.ArrowException, OSError) as error:
            raise DataError(f"{self.name}: is no {self.kind.value} file ({type(error).__name__}).") from None
        twice = sorted({one for one in schema.names if schema.names.count(one) > 1})
        if twice:
            raise DataError(f"{self.name}: has two columns with the name {twice[0]}.")
        return schema, rows

    def _batches(self, start: int, size: int) -> Iterator[Any]:
        if self.kind is Kind.PARQUET:
            yield from self._parquet_batches(start, size)
            return
        with self._arrow.OSFile(self.name) as source:
            reader = self._opened(source)
            count = getattr(reader, "num_record_batches", None)
            batches = reader if count is None else (reader.get_batch(number) for number in range(count))
            for batch in batches:
                if start < batch.num_rows:
                    yield batch.slice(start)
                start = max(0, start - batch.num_rows)

    def _parquet_batches(self, start: int, size: int) -> Iterator[Any]:
        with self._arrow.parquet.ParquetFile(self.name) as file:
            groups: list[int] = []
            for number in range(file.metadata.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                if not groups and start >= rows:
                    start -= rows
                else:
                    groups.append(number)
            for batch in file.iter_batches(batch_size=max(size, 1024), row_groups=groups):
                if start < batch.num_rows:
                    yield batch.slice(start)
                start = max(0, start - batch.num_rows)

    def _opened(self, source: Any) -> Any:
        """`save_to_disk` writes streams; other programs write files with an index."""
        try:
            return self._arrow.ipc.open_stream(source)
        except self._arrow.ArrowInvalid:
            source.seek(0)
            return self._arrow.ipc.open_file(source)
