"""Digits and marks in the place of letters: `h0w c4n 1`. No I/O."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice, product

from .edits import Edit
from .likeness import COMMON, seldom_pairs
from .words import Words, sentences

__all__ = ["leet"]

_LETTERS = {
    "4": "a",
    "@": "a",
    "3": "e",
    "1": "i",
    "!": "i",
    "0": "o",
    "5": "s",
    "$": "s",
    "7": "t",
    "+": "t",
    "|": "l",
}
_LETTERS |= {"8": "b", "9": "g", "6": "g", "2": "z", "€": "e", "(": "c"}
_OTHER = {"1": "l", "!": "l", "|": "i", "6": "b"}
_READING = str.maketrans(_LETTERS)
_TOKEN = re.compile(r"(?<!\S)(?=\S*[A-Za-z])(?=\S*[0-9@$!|+€(])\S+")
_PART = re.compile("[A-Za-z0-9@$!|+€(]+")
# A digit between letters, one or two at the front of some, or at their end.
_INSIDE = re.compile(r"[A-Za-z][0-9@$!|+€(]+[A-Za-z]|^[0-9@$|+€(!]{1,2}[A-Za-z]{2}|[A-Za-z][013457@$|+]+$")
# Addresses and code; and codes, ordinals, sizes and versions, which among other such words may be words too.
_NO_WORDS = re.compile(r".*://.*|.+@.+\..+|[\w.]+\(.*|.*[=_\\<>{}].*|[A-Z0-9._/-]+")
_ORDINARY = re.compile(r"[A-Za-z]{1,3}[0-9]+|[0-9]+[A-Za-z]{1,3}")
_ALONE = re.compile(r"(?<![\w$@.,])(?:[A-Za-z]{0,2}[013457@$!|][A-Za-z0-9@$]{0,3})(?![\w$@%]|[.,][0-9])")
_LETTERS_ONLY = re.compile("[a-z]+")
_LONG, _MOST_READINGS = 4, 8
_CLEARLY_LIKELIER = 8


def leet(text: str, words: Words) -> list[Edit]:
    """The words that digits and marks stand in; of a sentence with two of them also numbers that are small words."""
    edits: list[Edit] = []
    tokens = [match.start() for match in _TOKEN.finditer(text)]
    if not tokens:
        return edits
    continues = False
    for start, end in sentences(text):
        first = bisect_left(tokens, start)
        has_one = first < len(tokens) and tokens[first] < end
        found = _of_sentence(text, start, end, words, continues=continues) if has_one else []
        continues = len(found) > 1
        edits += found
    return edits


def _of_sentence(text: str, start: int, end: int, words: Words, *, continues: bool) -> list[Edit]:
    sure: list[Edit] = []
    likely: list[Edit] = []
    for at, part in _parts(text, start, end):
        is_ordinary = _ORDINARY.fullmatch(part) is not None
        if not is_ordinary and not _INSIDE.search(part):
            continue
        read, known = _read(part, words)
        if read is not None and (known or not is_ordinary):
            (sure if known and not is_ordinary else likely).append((at, at + len(part), read))
    if len(sure) + continues < 2:
        return sure if any(_is_long(text[begin:stop]) for begin, stop, _ in sure) else []
    taken = {begin for begin, _, _ in (*sure, *likely)}
    alone = (match for match in _ALONE.finditer(text, start, end) if match.start() not in taken)
    small = ((*match.span(), _small(match.group())) for match in alone)
    found = sorted([*sure, *likely, *((begin, stop, new) for begin, stop, new in small if new)])
    return [edit for edit, after in zip(found, [*found[1:], None], strict=True) if not after or edit[1] <= after[0]]


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """Runs of letters and what may stand for them, in what is neither an address nor code."""
    for match in _TOKEN.finditer(text, start, end):
        token = match.group()
        if _NO_WORDS.fullmatch(token.rstrip("?!.,;:\"')")):
            continue
        for part in _PART.finditer(token):
            at, core = match.start() + part.start(), part.group().rstrip("!(")
            core = core.lstrip("(") if core[:1] == "(" else core
            yield at + len(part.group().rstrip("!(")) - len(core), core


def _is_long(token: str) -> bool:
    """Whether one such word is enough: a longer one with digits among its letters."""
    return len(token) >= _LONG and re.search("[A-Za-z][0-9@$!|]+[A-Za-z]", token) is not None


def _read(token: str, words: Words) -> tuple[str | None, bool]:
    """The word that a token is read as, and whether it is known; of several readings the known or the likelier one."""
    choices = [(_LETTERS.get(char, char) + _OTHER.get(char, "")) for char in token]
    readings = ["".join(chosen) for chosen in islice(product(*choices), _MOST_READINGS)]
    if not _LETTERS_ONLY.fullmatch(readings[0].lower()):
        return None, False
    known = [(score, one) for one in readings if (score := words(one.lower())) is not None]
    if known:
        return max(known)[1], True
    likeliest = min(readings, key=lambda one: seldom_pairs(one.lower()))
    gain = seldom_pairs(readings[0].lower()) - seldom_pairs(likeliest.lower())
    return (likeliest if gain > _CLEARLY_LIKELIER else readings[0]), False


def _small(token: str) -> str | None:
    read = token.translate(_READING)
    return ("I" if read == "i" else read) if read.lower() in COMMON and read != token else None
