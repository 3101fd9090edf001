"""Rows that a generator of ours has made, from what it says of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..data import Row
from .near import is_near

__all__ = ["prompts"]


def prompts(source: str, found: Iterable[tuple[str, str, str, str | None, float]]) -> Iterator[Row]:
    """Prompts in the order of `found`, each text once and none that is near to an evaluation item.

    Of each: language, topic or an empty text, text, category or None for a harmless one, weight.
    """
    seen: set[str] = set()
    for lang, topic, text, category, weight in found:
        if text in seen or is_near(text):
            continue
        seen.add(text)
        yield {
            "id": f"{source}-{len(seen):05d}",
            "source": source,
            "lang": lang,
            "topic": topic or None,
            "prompt": text,
            "label": "unsafe" if category else "safe",
            "categories": [category] if category else [],
            "tier": "S",
            "gen": "own",
            "weight": weight,
        }
