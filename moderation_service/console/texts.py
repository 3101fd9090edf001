"""The console's two languages. English is in the templates; `texts/*.yaml` have its Chinese, a file per page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files

import yaml

__all__ = ["LANGUAGES", "chinese", "choose_language", "translator"]

LANGUAGES = ("en", "zh")


@cache
def chinese() -> Mapping[str, str]:
    """English text to Chinese, of all pages."""
    found: dict[str, str] = {}
    for file in sorted(files(__package__).joinpath("texts").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".yaml"):
            found |= yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader) or {}
    return found


def translator(language: str) -> Callable[..., str]:
    """What templates know as `_`: a text in this language, its `{names}` filled in.

    What is filled in is text from outside: the result is no markup, and templates escape it as a whole.
    """
    texts = chinese() if language == "zh" else {}

    def translate(text: str, **values: object) -> str:
        found = texts.get(text, text)
        return found.format(**values) if values else found

    return translate


def choose_language(asked: str | None, remembered: str | None, accepted: Sequence[str]) -> str:
    """`en` or `zh`: what was just asked for, was chosen earlier, or the browser likes best."""
    for one in (asked, remembered):
        if one in LANGUAGES:
            return one
    for tag in accepted:
        language = tag.lower().partition("-")[0]
        if language in LANGUAGES:
            return language
    return "en"
