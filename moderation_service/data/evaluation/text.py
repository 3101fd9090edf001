"""The figures of one data set as plain text, for a console. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from .summary import Document
from .tables import Table, tables

__all__ = ["render_table", "render_text"]


def render_text(document: Document) -> str:
    """What was judged by whom, and all tables."""
    parts = [_head(document), *map(render_table, tables(document)), _latency(document.get("latency"))]
    return "\n\n".join(part for part in parts if part)


def render_table(table: Table) -> str:
    """Its title, and columns of equal width."""
    lines = [list(table.heads), *map(list, table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.heads))]
    shown = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, *shown] if table.title else shown)


def _head(document: Document) -> str:
    errors = ", ".join(f"{name} {count}" for name, count in document["errors"].items())
    missing = document["items"] - document["judged"]
    # A model server says what its model is called.
    model = "".join(char for char in document["model"] if char.isprintable())
    lines = [
        f"engine      {document['engine']} ({model})",
        f"items       {document['items']}, of them not judged {missing}" + (f": {errors}" if errors else ""),
        "gold        " + _counts(document["gold"]),
        "found       " + _counts(document["found"]),
    ]
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _latency(latency: Mapping[str, float] | None) -> str:
    if latency is None:
        return ""
    times = ", ".join(f"{name.removesuffix('_ms')} {value:.1f} ms" for name, value in latency.items())
    return f"latency     {times} per item"
