"""Where words begin and end, in scripts with and without spaces between them. No I/O.

All of it is about texts in their normal view (`core/text_views/normal`), in which Hangul is written in its letters.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["could_go_on", "is_whole", "is_whole_domain"]

# Han, kana, Hangul (as syllables and as letters), Thai, Lao, Khmer, Burmese: a word may begin and end anywhere.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u30ff\u3130-\u318f\u31a0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)
# Vowels and final consonants of Hangul: they belong to the consonant before them.
_HANGUL_PARTS = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff]")


def is_whole(text: str, start: int, end: int) -> bool:
    """Whether no word goes on at either edge of this stretch."""
    if start and _is_of_word(text[start - 1]) and _is_of_word(text[start]):
        return False
    if end == len(text):
        return True
    after = text[end]
    if _is_of_word(after) and _is_of_word(text[end - 1]):
        return False
    return after.isascii() or not (unicodedata.category(after)[0] == "M" or _HANGUL_PARTS.match(after))


def is_whole_domain(text: str, start: int, end: int) -> bool:
    """Whether a domain stands here by itself, or with names below it; another one may go on behind a dot."""
    before, after, beyond = text[max(0, start - 1) : start], text[end : end + 1], text[end + 1 : end + 2]
    if _is_of_domain(before) or _is_of_domain(after):
        return False
    return not (after == "." and beyond.isascii() and beyond.isalnum())


def _is_of_domain(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "-")


def could_go_on(text: str) -> bool:
    """Whether a word at the end of a text may be the beginning of a longer one."""
    return bool(text) and (_is_of_word(text[-1]) or text[-1] in "-.")


def _is_of_word(char: str) -> bool:
    """Whether it is a letter, digit or mark of a script that has spaces between its words."""
    if char.isascii():
        return char.isalnum()
    return unicodedata.category(char)[0] in "LNM" and not _UNSPACED.match(char)
