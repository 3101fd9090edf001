"""Letters that are dressed up, taken for others or torn apart: what is read all the same. No I/O.

Each function returns the edits that undo one kind of disguise, and leaves a text alone in which nothing is disguised.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from itertools import pairwise
from re import Match

from .characters import LOOK_ALIKES, SIMPLIFIED
from .edits import Edit, edits_of
from .likeness import COMMON
from .words import Words, sentences, split_words

__all__ = [
    "accents", "capitals", "gaps_of_han", "joined", "look_alikes", "spaced", "spelled", "strokes", "traditional",
]  # fmt: skip

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f'])*")
_ASCII_LETTER = re.compile("[A-Za-z]")
_ASTRAL = "\U00010000"

# Strokes and lines through, under and over a letter: no orthography has them.
_STROKES = "\u0305\u0332-\u0338\u033f\u0360-\u0362\u20d0-\u20f0"
_STRUCK = re.compile(f"[{_STROKES}]+")
_TOKEN = re.compile(r"\S+")
_ACCENTED = re.compile("[\u00c0-\u024f\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u1e00-\u1eff]")
_MIN_DRESSED, _DRESSED_SHARE = 4, 0.6


def strokes(text: str) -> list[Edit]:
    """Letters under strokes."""
    found = _STRUCK.finditer(text)
    edits = [(match.start(), match.end(), "") for match in found]
    return edits if len(edits) > 1 else []


def accents(text: str) -> list[Edit]:
    """Words with an accent on nearly each letter, as no language writes them."""
    return edits_of(_TOKEN, text, _undressed) if _ACCENTED.search(text) else []


def _undressed(match: Match[str]) -> str | None:
    if match.group().isascii():
        return None
    parts = unicodedata.normalize("NFD", match.group())
    bare = "".join(char for char in parts if not unicodedata.combining(char))
    letters = len(_ASCII_LETTER.findall(bare))
    dressed = sum(
        _ASCII_LETTER.match(char) is not None and unicodedata.combining(after) > 0 for char, after in pairwise(parts)
    )
    return bare if letters >= _MIN_DRESSED and dressed > _DRESSED_SHARE * letters else None


_PHONETIC = re.compile("[\u0250-\u02af\u1d00-\u1dbf\ua720-\ua7ff\u01eb]")
_OTHER_SCRIPT = re.compile("[\u0370-\u052f\u0530-\u058f\u13a0-\u13ff\u2c80-\u2cff\ua4d0-\ua4ff]")
_SYMBOLS = re.compile(
    "[\U0001f150-\U0001f169\U0001f170-\U0001f189]+|[\U0001f1e6-\U0001f1ff](?:[ ]?[\U0001f1e6-\U0001f1ff]){2,}"
)
_ALIKE = frozenset(LOOK_ALIKES)
# The same and more, for a look at many characters at once: single ones beyond the first 65 536 would make it slow.
_PERHAPS_ALIKE = re.compile(f"[{''.join(char for char in LOOK_ALIKES if char < _ASTRAL)}{_ASTRAL}-\U0010ffff]")
# Without any of these no word mixes alphabets, and nothing is read as something else.
_MIXING = re.compile(
    "[A-Za-z0-9'][\u0370-\u058f\u13a0-\u13ff\u2c80-\u2cff\ua4d0-\ua4ff]"
    "|[\u0370-\u058f\u13a0-\u13ff\u2c80-\u2cff\ua4d0-\ua4ff][A-Za-z0-9']"
    "|[\u0250-\u02af\u1d00-\u1dbf\ua720-\ua7ff\u01eb\U0001f150-\U0001f189\U0001f1e6-\U0001f1ff]"
)
_SYMBOL_WORD_GAP = re.compile(" {2,}")


def look_alikes(text: str) -> list[Edit]:
    """Letters of other alphabets among Latin ones, small capitals, and letters in circles and squares.

    Words in another alphabet stay what they are; of a text that mixes them in its words, also those words are read as
    Latin that could be and stand beside Latin ones.
    """
    if not _PERHAPS_ALIKE.search(text) or not _MIXING.search(text) or _ALIKE.isdisjoint(text):
        return []
    found = [(match, _kind(match.group())) for match in _WORD.finditer(text)]
    mixed = sum(kind == "mixed" for _, kind in found)
    phonetic = sum(len(_PHONETIC.findall(match.group())) for match, kind in found if kind == "phonetic")
    edits: list[Edit] = []
    for index, (match, kind) in enumerate(found):
        beside = {other for _, other in (*found[max(0, index - 1) : index], *found[index + 1 : index + 2])}
        if (
            kind == "mixed"
            or (kind == "phonetic" and phonetic > 3)
            or (kind == "alike" and mixed > 1 and not beside & {"other"} and beside & {"latin", "mixed"})
        ):
            new = "".join(LOOK_ALIKES.get(char, char) for char in match.group())
            edits.append((*match.span(), _with_capitals(new, index) if kind == "phonetic" else new))
    edits += edits_of(_SYMBOLS, text, _from_symbols)
    return sorted(edits)


def _with_capitals(word: str, index: int) -> str:
    """Small capitals have none: the first word and "I" get theirs back."""
    return word.capitalize() if index == 0 or word == "i" else word


def _kind(word: str) -> str:
    """What a word is made of: Latin letters, letters of another alphabet that all look like them, both, or others."""
    if word.isascii():
        return "latin" if _ASCII_LETTER.search(word) else "number"
    if not all(char.isascii() or char in LOOK_ALIKES for char in word):
        return "other"
    if _OTHER_SCRIPT.search(word):
        return "mixed" if _ASCII_LETTER.search(word) else "alike"
    return "phonetic" if _PHONETIC.search(word) else "other"


def _from_symbols(match: Match[str]) -> str | None:
    # Two regional indicators side by side are a flag; letters for reading stand apart.
    if match.group()[0] >= "\U0001f1e6" and " " not in match.group():
        return None
    found = "".join(LOOK_ALIKES.get(char, char) for char in match.group())
    return " ".join(part.replace(" ", "") for part in _SYMBOL_WORD_GAP.split(found))


_KANA = re.compile("[\u3040-\u30ff]")
_SHORT_HAN = 12
_TRADITIONAL_CHARACTERS = frozenset(SIMPLIFIED)
_TO_SIMPLIFIED = str.maketrans(SIMPLIFIED)
_GAP_MARK = r"[ ·.*_\-|/,~•+#^=]"
# Up to three of them between two Chinese characters. The mark comes first: there are fewer of these than of characters.
_GAPS = re.compile(f"{_GAP_MARK}(?<=[{_HAN}]{_GAP_MARK}){_GAP_MARK}{{,2}}(?=[{_HAN}])")
_HAN_CHARACTER = re.compile(f"[{_HAN}]")
_HAN_RUN = re.compile(f"[{_HAN}]+")
_MIN_GAPS, _GAPS_SHARE, _COMMAS_SHARE = 3, 0.4, 0.7


def traditional(text: str) -> str:
    """The text with simplified characters for traditional ones, each in its place; Japanese stays what it is."""
    if _TRADITIONAL_CHARACTERS.isdisjoint(text) or _KANA.search(text):
        return text
    found = _TRADITIONAL_CHARACTERS.intersection(text)
    # Names written in simplified characters keep a traditional one, such as that of the emperor Qianlong.
    alone = len(found) == 1 and text.count(next(iter(found))) == 1
    return text if alone and len(_HAN_CHARACTER.findall(text)) > _SHORT_HAN else text.translate(_TO_SIMPLIFIED)


def gaps_of_han(text: str) -> list[Edit]:
    """Blanks, dots or stars between Chinese characters."""
    if text.isascii() or not _HAN_CHARACTER.search(text):
        return []
    found = [match.span() for match in _GAPS.finditer(text)]
    if len(found) < _MIN_GAPS:
        return []
    edits: list[Edit] = []
    first = 0
    for start, end in sentences(text):
        # A gap is between two characters of one sentence.
        first = bisect_left(found, (start, 0), first)
        behind = bisect_left(found, (end, 0), first)
        gaps = [(*place, "") for place in found[first:behind] if place[1] < end]
        if len(gaps) < _MIN_GAPS:
            continue
        # Words of two characters with commas between them are a list.
        share = _COMMAS_SHARE if "," in text[gaps[0][0] : gaps[0][1]] else _GAPS_SHARE
        if len(gaps) > share * sum(map(len, _HAN_RUN.findall(text, start, end))):
            edits += gaps
    return edits


_LETTER = rf"[^\W\d_{_HAN}\u3040-\u30ff\uac00-\ud7af]"
_SPACED = re.compile(rf"(?<!\S)(?:[^\W_{_HAN}][?.!,']?[ \t]{{1,6}}){{4,}}[^\W_{_HAN}](?:[ ]?[?.!,]+)?(?!\S)")
_WORD_GAP = re.compile(r"\s{2,}")
_BLANKS = re.compile(r"\s+")
_SPELLED = re.compile(rf"(?<!\w){_LETTER}([^\w\s、，;'\"=()<>:]{{1,3}}){_LETTER}(?:\1{_LETTER})*(?!\w)")
_LISTING = frozenset((",", "/", "+"))
_SPELLED_SHARE = 0.3
_LETTERS_ONLY = re.compile("[a-z]+")


def spaced(text: str, words: Words) -> list[Edit]:
    """Letters with blanks between them; two blanks and more part words."""

    def change(match: Match[str]) -> str | None:
        parts = [_BLANKS.sub("", part) for part in _WORD_GAP.split(match.group())]
        if sum(map(str.isalpha, "".join(parts))) < 0.6 * len("".join(parts)):
            return None
        return " ".join(_split(part, words) for part in parts)

    return edits_of(_SPACED, text, change)


def _split(glued: str, words: Words) -> str:
    core = glued.rstrip("?!.,").lower()
    if len(core) < 8 or not _LETTERS_ONLY.fullmatch(core):
        return glued
    return (split_words(core, words) or core) + glued[len(core) :]


def spelled(text: str) -> list[Edit]:
    """Words letter by letter, with one mark between all of a word: `b.o.m.b`, `b-o-m-b`. Letters only."""

    def change(match: Match[str]) -> str | None:
        word, mark = match.group(), match.group(1)
        # A, B and C are names of things.
        return None if mark in _LISTING and word.isupper() else word.replace(mark, "")

    found = edits_of(_SPELLED, text, change)
    long = sum(len(new) > 2 for _, _, new in found)
    if not long:
        return []
    enough = len(found) >= 3 or any(len(new) > 4 for _, _, new in found)
    return found if enough or len(found) > _SPELLED_SHARE * len(text.split()) else []


_JOINED = re.compile(r"(?<!\S)(?=\S{12})[^\w\s]?\w+?([_+.\-/|~*=#]{1,2})(?:(?!\1)\S)+(?:\1(?:(?!\1)\S)+){2,}(?!\S)")
_CAMEL = re.compile(r"(?<![A-Za-z0-9'])(?=[A-Za-z']{12})[A-Z]?[a-z']*(?:[A-Z][a-z']*){3,}[?.!,]?(?!\S)")
_CAMEL_BORDER = re.compile("(?<=[a-z'])(?=[A-Z])|(?<=[AI])(?=[A-Z])")
_GLUED = re.compile("(?<![A-Za-z0-9_/.@-])[A-Za-z]{16,}(?![A-Za-z0-9_/@-])")
_NOT_WORDS = re.compile(r"://|@|^www\.|[()\[\]{}=<>:;]")


def joined(text: str, words: Words) -> list[Edit]:
    """Words joined by a mark, by capitals, or by nothing; names of a program and addresses stay what they are."""

    def parted(match: Match[str]) -> str | None:
        token, mark = match.group(), match.group(1)
        parts = token.strip("?.!,\"'").split(mark)
        common = sum(part.lower().strip("?.!,") in COMMON for part in parts)
        if _NOT_WORDS.search(token) or common < 2 or common * 8 < len(parts):
            return None
        return token.replace(mark, " ")

    def humps(match: Match[str]) -> str | None:
        parts = _CAMEL_BORDER.split(match.group())
        common = {part.lower() for part in parts} & COMMON
        return " ".join(parts) if len(common) > 1 and not match.group().isupper() else None

    def glued(match: Match[str]) -> str | None:
        return split_words(match.group().lower(), words)

    for pattern, change in ((_JOINED, parted), (_CAMEL, humps), (_GLUED, glued)):
        edits = edits_of(pattern, text, change)
        if edits:
            return edits
    return []


_MIN_CAPITALS, _CAPITALS_SHARE = 12, 0.85
_CAPITALS = re.compile("[A-Z0-9]{2}[^a-z]{8}")
_LETTERS_OF_CAPITALS = re.compile("[A-Z]")
_UPPER, _LOWER = re.compile("[A-Z0-9@$]"), re.compile("[a-z]")


def capitals(text: str) -> list[Edit]:
    """Sentences in capitals."""
    if not _CAPITALS.search(text):
        return []
    edits: list[Edit] = []
    for start, end in sentences(text):
        part = text[start:end]
        if not _CAPITALS.search(part):
            continue
        upper, lower = len(_UPPER.findall(part)), len(_LOWER.findall(part))
        enough = upper + lower >= _MIN_CAPITALS and upper > _CAPITALS_SHARE * (upper + lower)
        if enough and " " in part.strip() and len(_LETTERS_OF_CAPITALS.findall(part)) * 3 > upper and part.isascii():
            edits.append((start, end, part.capitalize()))
    return edits
