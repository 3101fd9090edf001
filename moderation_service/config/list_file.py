"""Reads lists of entries from files; every complaint names the file, the line and the reason.

A list is a file: YAML, CSV, JSON lines, or plain text with an entry per line. Its name is the file's, without the
ending. A folder has a list for each of its files. A YAML file may have several lists by name, under `lists`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

import yaml

from ..core.list_entry import FIELDS, Entry, entry_of, fields_of, is_list_name
from ..core.spreadsheet import is_formula
from ..errors import ConfigurationError, InvalidRequest
from .yaml_file import compose_file

__all__ = [
    "FORMATS",
    "csv_cell",
    "csv_rows",
    "json_rows",
    "parse_list",
    "plain_cell",
    "read_lists",
    "read_one_list",
    "text_of",
    "write_csv",
    "write_json_lines",
    "yaml_fields",
]

MAX_ENTRIES = 1_000_000
"""The most entries of one list: half a kilobyte of memory each."""
_MAX_FILE_BYTES = 512 * 1024 * 1024
_LINE_FIELDS = "a line is one entry"

Rows = Iterator[tuple[int, Mapping[str, object]]]
"""The fields of each entry, with its line."""


def read_lists(path: Path) -> dict[str, list[Entry]]:
    """The lists of a file or folder, by name. Raises ConfigurationError with file, line and reason."""
    if not path.is_dir():
        return _read_file(path)
    try:
        files = sorted(one for one in path.iterdir() if one.suffix in FORMATS and not one.name.startswith("."))
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}.") from error
    if not files:
        raise ConfigurationError(f"{path}: the folder has no file that ends in {', '.join(FORMATS)}.")
    found: dict[str, list[Entry]] = {}
    for file in files:
        for name, entries in _read_file(file).items():
            if name in found:
                raise ConfigurationError(f"{file}: there is a list {name!r} in another file of the folder already.")
            found[name] = entries
    return found


def read_one_list(path: Path, *, name: str) -> list[Entry]:
    """The entries of a file that is one list, under this name. Raises ConfigurationError."""
    if path.suffix not in (".csv", ".jsonl", ".txt"):
        raise ConfigurationError(f"{path}: its name must end in .csv, .jsonl or .txt.")
    return parse_list(text_of(path), suffix=path.suffix, name=_checked_name(name, str(path)), source=str(path))


def parse_list(text: str, *, suffix: str, name: str, source: str) -> list[Entry]:
    """The entries of a text in the format of this ending. Raises ConfigurationError with `source`, line and reason."""
    return _entries(FORMATS[suffix](text, source), name=name, source=source)


def _read_file(path: Path) -> dict[str, list[Entry]]:
    if path.suffix in (".yaml", ".yml"):
        return _read_yaml(path)
    if path.suffix not in FORMATS:
        raise ConfigurationError(f"{path}: its name must end in {', '.join(FORMATS)}.")
    name = _checked_name(path.stem, f"{path}")
    return {name: parse_list(text_of(path), suffix=path.suffix, name=name, source=str(path))}


def text_of(path: Path) -> str:
    """What is in a file. Raises ConfigurationError."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConfigurationError(f"{path}: is larger than {_MAX_FILE_BYTES} bytes.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{path}:{line}: is not UTF-8 text.") from error


def _checked_name(name: str, source: str) -> str:
    if not is_list_name(name):
        raise ConfigurationError(f"{source}: list name {name!r}: use up to 64 of a-z, 0-9, '-' and '_'.")
    return name


def _entries(rows: Iterable[tuple[int, Mapping[str, object]]], *, name: str, source: str) -> list[Entry]:
    found: list[Entry] = []
    lines: dict[str, int] = {}
    for line, fields in rows:
        try:
            entry = entry_of(fields, list_name=name, origin=f"{source}:{line}")
        except InvalidRequest as error:
            raise ConfigurationError(f"{source}:{line}: {error.message}") from error
        if entry.id in lines:
            what = f"the id {entry.id!r}" if fields.get("id") else "this entry"
            raise ConfigurationError(f"{source}:{line}: {what} is there already, in line {lines[entry.id]}.")
        if len(found) >= MAX_ENTRIES:
            raise ConfigurationError(f"{source}:{line}: a list has {MAX_ENTRIES} entries at most.")
        lines[entry.id] = line
        found.append(entry)
    return found


def _plain_rows(text: str, source: str) -> Rows:
    """An entry per line; blank lines and those that begin with `#` are none. Twice the same is once."""
    seen: set[str] = set()
    for line, content in enumerate(text.splitlines(), start=1):
        word = content.strip()
        if word and not word.startswith("#") and word not in seen:
            seen.add(word)
            yield line, {"text": word}


def csv_rows(text: str, source: str, *, known: Sequence[str] = FIELDS, needed: Sequence[str] = ("text",)) -> Rows:
    """The rows of a CSV with a header. Raises ConfigurationError."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        unknown = next((cell for cell in header if cell not in known), None)
        is_header = set(needed) <= set(header)
        if not is_header or unknown is not None or len(set(header)) < len(header):
            what = f"{unknown!r} is no column" if unknown is not None and is_header else "it needs a header"
            raise ConfigurationError(f"{source}:1: {what}; the columns are {', '.join(known)}, each at most once.")
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) > len(header):
                raise ConfigurationError(f"{source}:{line}: {len(cells)} cells, but the header has {len(header)}.")
            if any(cell.strip() for cell in cells):
                yield line, {name: plain_cell(cell) for name, cell in zip(header, cells, strict=False)}
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigurationError(f"{source}:{reader.line_num}: not valid CSV: {error}.") from error


def json_rows(text: str, source: str) -> Rows:
    """The objects of JSON lines. Raises ConfigurationError."""
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            fields = json.loads(content)
        except (ValueError, RecursionError):
            raise ConfigurationError(f"{source}:{line}: not valid JSON; {_LINE_FIELDS}.") from None
        if not isinstance(fields, dict):
            raise ConfigurationError(f"{source}:{line}: not an object; {_LINE_FIELDS}.")
        yield line, fields


def _read_yaml(path: Path) -> dict[str, list[Entry]]:
    """`entries: [...]` for one list, or `lists: {name: [...]}`; an entry is a mapping, or a text alone."""
    root = compose_file(path)
    if not isinstance(root, yaml.MappingNode) or len(root.value) != 1:
        raise ConfigurationError(f"{path}:1: the file needs one mapping, `entries` or `lists`.")
    key, value = root.value[0]
    if key.value == "entries":
        name = _checked_name(path.stem, str(path))
        return {name: _entries(_yaml_rows(value, path), name=name, source=str(path))}
    if key.value != "lists" or not isinstance(value, yaml.MappingNode):
        raise ConfigurationError(f"{path}:{key.start_mark.line + 1}: the file needs one mapping, `entries` or `lists`.")
    found: dict[str, list[Entry]] = {}
    for one, node in value.value:
        where = f"{path}:{one.start_mark.line + 1}"
        name = _checked_name(str(one.value), where)
        if name in found:
            raise ConfigurationError(f"{where}: there is a list {name!r} already.")
        found[name] = _entries(_yaml_rows(node, path), name=name, source=str(path))
    return found


def _yaml_rows(node: yaml.Node, path: Path) -> Rows:
    if not isinstance(node, yaml.SequenceNode):
        raise ConfigurationError(f"{path}:{node.start_mark.line + 1}: a list must be a list of entries.")
    for one in node.value:
        line = one.start_mark.line + 1
        if isinstance(one, yaml.ScalarNode):
            yield line, {"text": str(one.value)}
            continue
        yield line, yaml_fields(one, path)


def yaml_fields(node: yaml.Node, path: Path) -> dict[str, object]:
    """The fields of a mapping, texts or lists of texts. Raises ConfigurationError."""
    if not isinstance(node, yaml.MappingNode):
        raise ConfigurationError(f"{path}:{node.start_mark.line + 1}: an entry must be a mapping with its fields.")
    fields: dict[str, object] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in fields:
            raise ConfigurationError(f"{path}:{key.start_mark.line + 1}: the entry has {name!r} twice.")
        fields[name] = _plain_value(value)
    return fields


def _plain_value(node: yaml.Node) -> object:
    """A text, or a list of texts; anything else is refused by the field."""
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)
    return [str(one.value) for one in node.value] if isinstance(node, yaml.SequenceNode) else {}


FORMATS: Mapping[str, Callable[[str, str], Rows]] = {
    ".csv": csv_rows,
    ".jsonl": json_rows,
    ".txt": _plain_rows,
    ".yaml": lambda text, source: iter(()),
    ".yml": lambda text, source: iter(()),
}
"""What reads a file of this ending."""


def csv_cell(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula; `plain_cell` is the way back."""
    return f"'{text}" if is_formula(text.lstrip("'")) else text


def plain_cell(cell: str) -> str:
    """The text of a cell that may have been made by `csv_cell`."""
    return cell[1:] if cell.startswith("'") and is_formula(cell.lstrip("'")) else cell


def write_csv(entries: Iterable[Entry]) -> Iterator[str]:
    """The lines of a CSV file with these entries."""
    yield _csv_line(FIELDS)
    for entry in entries:
        yield _csv_line([csv_cell(cell) for cell in fields_of(entry).values()])


def write_json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """The lines of a file of JSON lines with these entries; empty fields are left out."""
    for entry in entries:
        fields: dict[str, object] = {name: text for name, text in fields_of(entry).items() if text}
        if entry.exceptions:
            fields["exceptions"] = list(entry.exceptions)
        yield json.dumps(fields, ensure_ascii=False) + "\n"


def _csv_line(cells: Sequence[str]) -> str:
    out = StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
