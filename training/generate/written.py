"""own10 and own10_resp: pairs that were written whole, a harmful text and a harmless one with its nouns or its verbs.

`written/` has two kinds of files. A line of `*_prompts*.txt` is a category, two harmful prompts and a harmless twin of
each. A block of `*_answers*.txt` is a harmful question (`Q`) with two answers that comply (`A`, `B`) and a harmless one
(`S`), then a harmless question (`q`) with its answer (`a`) and a harmless text of the shape of `B` (`n`).
Nothing is put together from frames: what tells the two sides apart is what they say. No text has working detail.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from moderation_service.engines.lite.refusal import declines
from moderation_service.engines.lite.text import clean

from ..data import Row
from . import own_rows
from .topic import CATEGORIES, Answer

__all__ = ["answer_rows", "prompt_rows"]

_FOLDER = Path(__file__).parent / "written"
_TONGUES = ("en", "zh")
_PROMPT_WEIGHT = 1.0


def prompt_rows() -> Iterator[Row]:
    """Yield the prompts in the order of their files."""
    yield from own_rows.prompts("own10", _prompts())


def answer_rows() -> Iterator[Row]:
    """Yield the answers in the order of their files."""
    yield from own_rows.answers("own10_resp", ((lang, answer) for lang in _TONGUES for answer in _answers(lang)))


def _prompts() -> Iterator[tuple[str, str, str, str | None, float]]:
    for lang in _TONGUES:
        for at, line in enumerate(_lines(lang, "prompts")):
            letter, *texts = line.split(" | ")
            for text, category in zip(texts, (*[CATEGORIES[letter]] * 2, None, None), strict=True):
                yield lang, f"written {lang} {at}", text, category, _PROMPT_WEIGHT


def _answers(lang: str) -> Iterator[Answer]:
    for at, block in enumerate(_blocks(lang)):
        topic, category = block["topic"], block["C"]
        # Every second time without its question, which then says nothing of either side.
        unasked = at % 2 == 0
        yield Answer(topic, "steps", block["Q"], block["A"], category)
        yield Answer(topic, "other", "" if unasked else block["Q"], block["B"], category)
        yield Answer(topic, "instead", block["Q"], block["S"], refuses=declines(clean(block["S"])))
        yield Answer(topic, "help-steps", block["q"], block["a"])
        yield Answer(topic, "help-other", block["q"] if unasked else "", block["n"])


def _blocks(lang: str) -> list[dict[str, str]]:
    found = []
    for at, lines in enumerate("\n".join(_lines(lang, "answers", keep_empty=True)).split("\n\n")):
        block = {line[0]: line[3:].replace(" / ", "\n") for line in lines.splitlines()}
        found.append(block | {"C": CATEGORIES[block["C"]], "topic": f"written answer {lang} {at}"})
    return found


def _lines(lang: str, kind: str, *, keep_empty: bool = False) -> list[str]:
    texts = [path.read_text(encoding="utf-8").strip() for path in sorted(_FOLDER.glob(f"{lang}_{kind}*.txt"))]
    return [line for line in "\n\n".join(texts).split("\n") if line or keep_empty]
