r"""The files of a data set: what kind each is, and its rows with the bytes they came from.

A file is read in chunks of rows, in order and once; from the middle, where a run goes on. Lines end with `\n` and
nothing else: a JSON string may have any other line separator of Unicode in it.
"""

from __future__ import annotations

import enum
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from ..config.extras import install_command
from ..errors import DataError
from .json_text import loads, loads_all

__all__ = [
    "BOM",
    "Chunk",
    "DataFile",
    "Kind",
    "LinesFile",
    "Row",
    "Unreadable",
    "compression",
    "kind_of",
    "opened",
    "pyarrow",
]

BOM = b"\xef\xbb\xbf"
STDIN = "-"
_MAX_LINE_BYTES = 256 * 1024 * 1024
_MAX_CHUNK_BYTES = 8 * 1024 * 1024
_PROOF_BYTES = 1024 * 1024
_LINES_AT_ONCE = 64
_CUT_OFF = (EOFError, OSError, zlib.error)


class Kind(enum.Enum):
    """What a file is made of."""

    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    LINES = "txt"
    """Every line is a text."""
    PARQUET = "parquet"
    ARROW = "arrow"
    """Arrow's IPC format, as Hugging Face's `save_to_disk` writes it."""

    @property
    def is_typed(self) -> bool:
        """Whether it has a schema, and its rows no bytes of their own."""
        return self in (Kind.PARQUET, Kind.ARROW)


_SUFFIXES = {
    ".jsonl": Kind.JSONL,
    ".ndjson": Kind.JSONL,
    ".jsonlines": Kind.JSONL,
    ".json": Kind.JSONL,
    ".csv": Kind.CSV,
    ".tsv": Kind.TSV,
    ".txt": Kind.LINES,
    ".parquet": Kind.PARQUET,
    ".pq": Kind.PARQUET,
    ".arrow": Kind.ARROW,
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


class Unreadable(NamedTuple):
    """A row that can't be read: why, in our words."""

    error: str


Row = Mapping[str, Any]


@dataclass(slots=True)
class Chunk:
    """Rows in a row. `raw` has the bytes of each (or is a record batch), `after` is where the next chunk begins.

    A row is None where there is only an empty line: it is kept, and no row. `digest` is of everything read so far,
    where the input can't be read a second time.
    """

    rows: Sequence[Row | Unreadable | None]
    raw: Any
    after: int
    digest: str | None = None


class DataFile(Protocol):
    """A file of a data set."""

    name: str
    kind: Kind

    def chunks(self, *, start: int, size: int, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        """Its rows from `start`, which is 0 or what a chunk said was `after` it; at most `size` in a chunk.

        Only `columns` need to be in the rows. Raises DataError.
        """

    def sample(self, size: int) -> list[Row | Unreadable]:
        """Its first rows; reading it is not begun by that."""

    def fraction(self) -> float | None:
        """How much of it was read; None where that is not known."""

    def fingerprint(self) -> Mapping[str, object]:
        """What tells it from another file, without its text or its place."""


def kind_of(name: str) -> Kind:
    """The kind by the name's ending, without that of a compression. Raises DataError."""
    suffix = Path(name.removesuffix(Path(name).suffix) if compression(name) else name).suffix.lower()
    kind = _SUFFIXES.get(suffix)
    if kind is None:
        known = ", ".join(_SUFFIXES)
        raise DataError(
            f"{name}: its ending does not say what it is. Known are {known} (also with .gz and .zst); --kind says it."
        )
    return kind


def compression(name: str) -> str | None:
    """`gzip`, `zstd`, or None, by the name's ending."""
    return _COMPRESSIONS.get(Path(name).suffix.lower())


def pyarrow(what: str) -> Any:
    """The library pyarrow with its parts, or a DataError that says how to get it."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise DataError(f"{what} needs pyarrow: {install_command('data')}") from None
    return pyarrow


def opened(path: Path) -> IO[bytes]:
    """A file for reading, unpacked if its ending says that it is packed. Raises DataError."""
    how = compression(path.name)
    try:
        if how == "gzip":
            return io.BufferedReader(gzip.open(path), 1 << 18)
        if how == "zstd":
            return io.BufferedReader(pyarrow(f"{path}: zstd").input_stream(str(path), compression="zstd"), 1 << 18)
        return path.open("rb", buffering=1 << 18)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or type(error).__name__}.") from None


class LinesFile:
    """JSON lines, or lines of text; also from standard input."""

    def __init__(self, name: str, kind: Kind, *, stream: IO[bytes] | None = None) -> None:
        self.name = name
        self.kind = kind
        self._stream: IO[bytes] | None = stream or (sys.stdin.buffer if name == STDIN else None)
        self._ahead: list[bytes] = []
        self._digest = blake2b(digest_size=16)
        self._read = 0
        self.expected_digest: str | None = None
        """Of what is skipped, where it can't be known otherwise whether it is the same input."""

    @property
    def is_stream(self) -> bool:
        """Whether it can be read only once."""
        return self._stream is not None

    def sample(self, size: int) -> list[Row | Unreadable]:
        if self._stream is not None:
            while len(self._ahead) < size and (line := self._line(self._stream)):
                self._ahead.append(line)
            lines = self._ahead[:size]
        else:
            try:
                with opened(Path(self.name)) as file:
                    lines = [line for _ in range(size) if (line := self._line(file))]
            except _CUT_OFF as error:
                raise DataError(f"{self.name}: can't be read ({type(error).__name__}).") from None
        self._refuse_array(lines)
        return [row for number, line in enumerate(lines) if (row := self._row(line, is_first=number == 0)) is not None]

    def chunks(self, *, start: int, size: int, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        file = self._stream or opened(Path(self.name))
        try:
            self._skip(file, start)
            while lines := self._next_lines(file, size):
                is_first = self._read == 0
                self._read += sum(map(len, lines))
                yield Chunk(
                    self._rows(lines, is_first=is_first),
                    lines,
                    self._read,
                    self._digest.hexdigest() if self.is_stream else None,
                )
        finally:
            if not self.is_stream:
                file.close()

    def fraction(self) -> float | None:
        if self.is_stream:
            return None
        size = Path(self.name).stat().st_size
        if compression(self.name):
            # What is packed tells only at its end how long it is: about four times what it takes.
            return None
        return self._read / size if size else 1.0

    def fingerprint(self) -> Mapping[str, object]:
        return {"stream": True} if self.is_stream else file_fingerprint(Path(self.name))

    def _next_lines(self, file: IO[bytes], size: int) -> list[bytes]:
        lines: list[bytes] = []
        length = 0
        while len(lines) < size and length < _MAX_CHUNK_BYTES:
            found = self._some_lines(file, min(size - len(lines), _LINES_AT_ONCE))
            if not found:
                break
            lines += found
            length += sum(map(len, found))
        if self.is_stream:
            for line in lines:
                self._digest.update(line)
        return lines

    def _some_lines(self, file: IO[bytes], count: int) -> list[bytes]:
        if self._ahead:
            found, self._ahead = self._ahead[:count], self._ahead[count:]
            return found
        if self.is_stream:
            return [line] if (line := self._line(file)) else []
        try:
            # A file whose lines have no end was noticed when it was sampled.
            return list(islice(file, count))
        except _CUT_OFF as error:
            raise self._cut_off(error) from None

    def _skip(self, file: IO[bytes], start: int) -> None:
        self._read = start
        if not self.is_stream and not compression(self.name):
            file.seek(start)
            return
        while start > 0:
            line = self._ahead.pop(0) if self._ahead else file.readline(min(start, 1 << 20))
            if not line:
                raise DataError(f"{self.name}: is shorter than it was; --fresh begins anew.")
            start -= len(line)
            if self.is_stream:
                self._digest.update(line)
        if self.expected_digest not in (None, self._digest.hexdigest()):
            raise DataError("Standard input is not what it was; --fresh begins anew.")

    def _line(self, file: IO[bytes]) -> bytes:
        try:
            line = file.readline(_MAX_LINE_BYTES + 1)
        except _CUT_OFF as error:
            raise self._cut_off(error) from None
        if len(line) > _MAX_LINE_BYTES:
            raise DataError(f"{self.name}: a line is longer than {_MAX_LINE_BYTES >> 20} MiB. Is it JSON lines?")
        return line

    def _cut_off(self, error: BaseException) -> DataError:
        """Of a packed file that was cut off, nothing behind the cut can be read."""
        return DataError(f"{self.name}: can't be read to its end ({type(error).__name__}).")

    def _rows(self, lines: Sequence[bytes], *, is_first: bool) -> list[Row | Unreadable | None]:
        if self.kind is Kind.JSONL:
            found = loads_all(lines)
            if found is not None and all(type(row) is dict for row in found):
                return found
        return [self._row(line, is_first=is_first and not number) for number, line in enumerate(lines)]

    def _row(self, line: bytes, *, is_first: bool) -> Row | Unreadable | None:
        if is_first and line.startswith(BOM):
            line = line[len(BOM) :]
        if self.kind is Kind.LINES:
            text = line.rstrip(b"\r\n")
            try:
                return {"text": text.decode()} if text.strip() else None
            except UnicodeDecodeError:
                return Unreadable("not_utf8: The line is not UTF-8.")
        try:
            row = loads(line)
        except ValueError:
            if not line.strip():
                return None
            return Unreadable("not_json: The line is not JSON.")
        return row if isinstance(row, dict) else Unreadable("not_an_object: The line is JSON, but no object.")

    def _refuse_array(self, lines: Sequence[bytes]) -> None:
        first = next((text for line in lines if (text := line.removeprefix(BOM).strip())), b"")
        if self.kind is Kind.JSONL and first[:1] == b"[" and (first == b"[" or first[-1:] in b"[{,]"):
            raise DataError(
                f"{self.name}: is one JSON list, not a row on each line. "
                f"To make it that: jq -c '.[]' {self.name} > rows.jsonl"
            )
        if self.kind is Kind.JSONL and first == b"{":
            raise DataError(
                f"{self.name}: its objects go over several lines. "
                f"To put each on its own: jq -c . {self.name} > rows.jsonl"
            )


def file_fingerprint(path: Path) -> Mapping[str, object]:
    """Size, and a hash of the first and the last MiB: enough to notice another file under the same name."""
    try:
        size = path.stat().st_size
        digest = blake2b(digest_size=16)
        with path.open("rb") as file:
            digest.update(file.read(_PROOF_BYTES))
            file.seek(max(0, size - _PROOF_BYTES))
            digest.update(file.read(_PROOF_BYTES))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or type(error).__name__}.") from None
    return {"bytes": size, "digest": digest.hexdigest()}
