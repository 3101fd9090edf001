"""A text with the place in it that the verdict rests on."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["marked"]


def marked(text: str, span: tuple[int, int] | None) -> Sequence[tuple[str, bool]]:
    """The parts of a text, and whether each is in the span (characters, the end without); templates escape them."""
    if span is None:
        return [(text, False)]
    start, end = max(0, span[0]), min(len(text), span[1])
    parts = [(text[:start], False), (text[start:end], True), (text[max(start, end) :], False)]
    return [(part, is_marked) for part, is_marked in parts if part]
