"""What a spreadsheet would run: text from outside must be no formula in a table that somebody opens. No I/O."""

from __future__ import annotations

__all__ = ["as_text", "is_formula"]

# The wide ones are what a Chinese or Japanese keyboard writes; spreadsheets there take them for the same.
# Source: OWASP, CSV Injection.
_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet may take it for a formula."""
    return cell.startswith(_BEGINNINGS)


def as_text(cell: str) -> str:
    """The cell, with a `'` in front where it would be taken for a formula."""
    return f"'{cell}" if is_formula(cell) else cell
