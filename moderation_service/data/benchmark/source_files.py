"""Reads the files that benchmarks come as: JSON, JSON lines, CSV, plain lines, Parquet; also in gzip, xz and zip.

Only what a set's loader asks for is read, into memory: the largest set has 36 MB. Raises DataError that names the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..files import pyarrow

__all__ = ["LIMIT_BYTES", "members", "rows_of", "text_of"]

LIMIT_BYTES = 512 * 1024 * 1024
"""Of one file when it is unpacked: an archive made to burst must not fill the memory."""
_LONGEST_CELL = 16 * 1024 * 1024


def rows_of(path: Path, *, comment: str = "") -> Iterator[Mapping[str, Any]]:
    """The records of a file, told by its name. Lines of a CSV file that begin with `comment` before its head are left.

    A JSON file is a list of records, or JSON lines under another name.
    """
    name = path.name.removesuffix(".gz").removesuffix(".xz").removesuffix(".zip").casefold()
    if name.endswith(".parquet"):
        yield from _parquet(path)
        return
    text = text_of(path)
    if name.endswith((".csv", ".tsv")):
        while comment and text.startswith(comment):
            text = text.partition("\n")[2]
        csv.field_size_limit(_LONGEST_CELL)
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if name.endswith(".tsv") else ",")
        return
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in _lines(text)]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON.") from error
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: record {number} is not an object.")
        yield row


def text_of(path: Path) -> str:
    """The whole text of a file, unpacked; of an archive its only member."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".gz":
                content = gzip.GzipFile(fileobj=file).read(LIMIT_BYTES + 1)
            elif path.suffix == ".xz":
                with lzma.open(file) as unpacked:
                    content = unpacked.read(LIMIT_BYTES + 1)
            elif path.suffix == ".zip":
                [(_, content)] = members(path, "")
            else:
                content = file.read(LIMIT_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise DataError(f"{path}: can't be read: {type(error).__name__}.") from error
    if len(content) > LIMIT_BYTES:
        raise DataError(f"{path}: is larger than {LIMIT_BYTES // 1024**2} MiB.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text.") from error


def members(archive: Path, end: str) -> list[tuple[str, bytes]]:
    """The files of a zip archive whose names end so, but for what macOS adds to archives. Nothing goes to the disk."""
    try:
        with zipfile.ZipFile(archive) as opened:
            wanted = [one for one in opened.infolist() if _is_content(one) and one.filename.endswith(end)]
            if any(one.flag_bits & 1 for one in wanted):
                raise DataError(f"{archive}: is encrypted. Unpack it by the rule in its README, and give the folder.")
            if sum(one.file_size for one in wanted) > LIMIT_BYTES:
                raise DataError(f"{archive}: unpacks to more than {LIMIT_BYTES // 1024**2} MiB.")
            return [(one.filename, opened.read(one)) for one in wanted]
    except (OSError, zipfile.BadZipFile, NotImplementedError, zlib.error) as error:
        raise DataError(f"{archive}: can't be read: {type(error).__name__}.") from error


def _is_content(member: zipfile.ZipInfo) -> bool:
    return not member.is_dir() and not member.filename.startswith("__MACOSX/")


def _lines(text: str) -> Sequence[str]:
    # Not splitlines(): it also parts at characters that JSON has inside its strings.
    return [line for line in text.split("\n") if line.strip()]


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    arrow = pyarrow(str(path))
    try:
        for batch in arrow.parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, arrow.ArrowException) as error:
        raise DataError(f"{path}: can't be read: {type(error).__name__}.") from error
