"""How values are written on pages: times, numbers, milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

__all__ = ["FILTERS", "NAMELESS", "shown_count", "shown_ms", "shown_share", "shown_time"]

NAMELESS = "(none)"
"""In an address, for decisions that are of no app: an empty word there filters nothing."""


def shown_time(epoch_ms: int) -> str:
    """A moment, in UTC as in the log: `2026-11-28 22:05:13`."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def shown_count(number: int) -> str:
    """A number with its thousands apart: `1 234 567`, in both languages."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def shown_share(part: float, whole: float) -> str:
    """A share in percent, with one decimal; a dash where there is nothing to have a share of."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def shown_ms(milliseconds: float | None) -> str:
    """A duration: `3.4 ms`, `120 ms`, `2.5 s`."""
    if milliseconds is None:
        return "–"
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def _as_number(column: str) -> tuple[str, str]:
    """The heading of a column of numbers, as the table's macro wants it."""
    return column, "number"


FILTERS: Mapping[str, Callable[..., object]] = {
    "as_number": _as_number,
    "time": shown_time,
    "count": shown_count,
    "share": shown_share,
    "ms": shown_ms,
}
