"""Rows that a generator of ours has made, from what it says of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..data import Row
from .near import is_near
from .topic import Answer

__all__ = ["answers", "prompts"]


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


def answers(source: str, found: Iterable[tuple[str, Answer]], *, min_chars: int = 0) -> Iterator[Row]:
    """Answers in the order of `found`, each pair once, none near to an evaluation item and none shorter than that.

    Of each: language, and what the generator says of it.
    """
    seen: set[tuple[str, str]] = set()
    for lang, answer in found:
        key = answer.prompt, answer.response.strip()
        if key in seen or len(key[1]) < min_chars or is_near(*key):
            continue
        seen.add(key)
        yield {
            "id": f"{source}-{len(seen):05d}",
            "source": source,
            "lang": lang,
            "topic": answer.topic,
            "form": answer.form,
            "prompt": key[0],
            "response": key[1],
            "label": "unsafe" if answer.category else "safe",
            "categories": [answer.category] if answer.category else [],
            "refusal": "Yes" if answer.refuses else "No",
            "refusal_src": "given",
            "tier": "S",
            "gen": "own",
            "weight": 1.0,
        }
