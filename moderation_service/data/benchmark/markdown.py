"""A report as Markdown, made from its JSON. No I/O.

Every cell is data: names from files and model servers are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from ..evaluation.summary import Document
from ..evaluation.tables import Table, tables
from .facts import guard_facts, set_lines
from .report import against_paper, overview

__all__ = ["render_markdown"]

_SPECIAL = re.compile(r"([\\`*_\[\]#|~$])")


def render_markdown(document: Document) -> str:
    """The whole report."""
    parts = ["# Benchmark report", _list(guard_facts(document)), "## All sets", _table(overview(document))]
    for name, one in document["sets"].items():
        parts += [f"## {_escaped(name)}", _list(set_lines(one))]
        parts += [_table(table) for table in (*tables(one), against_paper(one)) if table.rows]
    return "\n\n".join(parts) + "\n"


def _list(facts: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- {_escaped(name)}: {_escaped(value)}" for name, value in facts)


def _table(table: Table) -> str:
    lines = [list(table.heads), ["---", *["---:"] * (len(table.heads) - 1)]]
    shown = [*([_escaped(table.title), ""] if table.title else [])]
    shown += ["| " + " | ".join(map(_escaped, lines[0])) + " |", "| " + " | ".join(lines[1]) + " |"]
    shown += ["| " + " | ".join(map(_escaped, row)) + " |" for row in table.rows]
    return "\n".join(shown)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", escape(" ".join(text.split()), quote=False))
