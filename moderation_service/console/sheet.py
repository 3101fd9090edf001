"""Tables to take along: CSV that a spreadsheet reads as text, whatever stands in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from ..core.spreadsheet import as_text

__all__ = ["write_sheet"]


def write_sheet(rows: Sequence[Mapping[str, object]]) -> bytes:
    """A CSV file in UTF-8, which spreadsheets know by its byte order mark. The columns are those of the first row."""
    out = io.StringIO()
    if rows:
        writer = csv.writer(out)
        writer.writerow(rows[0])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return out.getvalue().encode("utf-8-sig", "replace")


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    # Ids and names come from callers.
    return as_text(value) if isinstance(value, str) else value
