"""Chinese that is written in the letters of pinyin, without tones, wholly or in part. No I/O.

The words are found by a table of strings of one to four characters with their syllables: the most probable sequence.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from .edits import Edit
from .words import sentences

__all__ = ["PinyinTable", "pinyin"]

_HAN = "\u4e00-\u9fff"
_BITS = 9
_LONGEST_SYLLABLE = 6
_LONGEST_WORD = 4
_STEP = 16
"""What a word costs beyond its own rarity: the table counts strings, so a longer one has its own evidence."""
_UNKNOWN = 160
_TOO_SELDOM = 76
"""Average of a syllable, in eighths: what is above is no Chinese."""


@dataclass(frozen=True, slots=True)
class PinyinTable:
    """Words by their sound: `keys` in order (nine bits a syllable), the words of all in a row, and -8 log p of each."""

    syllables: dict[str, int]
    keys: Sequence[int]
    words: str
    starts: Sequence[int]
    seldom: bytes
    sound_of: dict[str, int]

    @classmethod
    def of(cls, syllables: str, keys: array[int], words: str, seldom: bytes) -> PinyinTable:
        """From the parts of the file that `training.tables` writes."""
        starts = array("I")
        at = 0
        sound_of: dict[str, tuple[int, int]] = {}
        for key, rare in zip(keys, seldom, strict=True):
            starts.append(at)
            size = 1 + (key >= 1 << _BITS) + (key >= 1 << 2 * _BITS) + (key >= 1 << 3 * _BITS)
            if size == 1 and rare < sound_of.get(words[at], (0, 256))[1]:
                sound_of[words[at]] = (key, rare)
            at += size
        numbers = {syllable: number + 1 for number, syllable in enumerate(syllables.split())}
        return cls(numbers, keys, words, starts, seldom, {char: key for char, (key, _) in sound_of.items()})

    def of_sound(self, key: int, size: int) -> list[tuple[str, int]]:
        """The words of one sound, each with -8 log p."""
        found = []
        index = bisect_left(self.keys, key)
        while index < len(self.keys) and self.keys[index] == key:
            start = self.starts[index]
            found.append((self.words[start : start + size], self.seldom[index]))
            index += 1
        return found

    def split(self, letters: str) -> list[int] | None:
        """The fewest syllables that make up lower-case letters; None if none do."""
        best: list[list[int] | None] = [[], *[None] * len(letters)]
        for start in range(len(letters)):
            before = best[start]
            if before is None:
                continue
            for end in range(start + 1, min(start + _LONGEST_SYLLABLE, len(letters)) + 1):
                number = self.syllables.get(letters[start:end])
                after = best[end]
                if number is not None and (after is None or len(after) > len(before) + 1):
                    best[end] = [*before, number]
        return best[-1]


Sound = tuple[str | None, int]
"""A character that is known, or None, and its syllable."""

_TOKEN = re.compile(f"[A-Za-z]+|[{_HAN}]|[^A-Za-z{_HAN}]+")
_PARTS = re.compile("[A-Za-z']+|[^A-Za-z']+")
_LETTERS = re.compile("[a-z]{2}")
_CODE = re.compile("[{}<>=;@_/\\\\]|[0-9]{5}")
_WHITE = re.compile(r"\s+")
_ENGLISH_WORDS = "the to a of and is i it my for with in this that on be as at by or we "
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
# Words that are syllables by chance and stand in Chinese text about programs and the like.
_WORDS_BY_CHANCE = (
    "name age select date time type size line code file data note page user table html java long int range base "
    "game home menu mail me can the sang dai sum mode node value pandas python bug app ping banner dna man men "
    "women pipe she he banana panda papa mama china beijing shanghai hong kong wifi "
)
_NOT_PINYIN = frozenset(_WORDS_BY_CHANCE.split())
_SEEN_SHARE, _ENGLISH_SHARE, _MIN_SYLLABLES, _MIN_MIXED = 0.9, 0.1, 5, 2
_MOST_MIXED = 6
_LONGEST_SENTENCE = 1500
_MARKS = str.maketrans("?!,.", "？！，。")
_MIXED = re.compile(f"[{_HAN}]\\s?[a-z]{{2,}}|(?<![A-Za-z])[a-z]{{2,}}\\s?[{_HAN}]")


def pinyin(text: str, table: PinyinTable) -> list[Edit]:
    """Sentences in pinyin, and pinyin among Chinese characters, as the characters they most probably stand for."""
    edits: list[Edit] = []
    for start, end in sentences(text):
        part = text[start:end]
        if not _LETTERS.search(part):
            continue
        plain = part.lower().split()
        if len(part) > _LONGEST_SENTENCE or sum(word in _ENGLISH for word in plain) > _ENGLISH_SHARE * len(plain):
            continue
        if _CODE.search(part):
            continue
        is_mixed = not part.isascii() and _MIXED.search(part)
        new = _mixed(part, table) if is_mixed else _whole(part, table)
        if new is not None and new != part:
            edits.append((start, end, new))
    return edits


def _whole(sentence: str, table: PinyinTable) -> str | None:
    parts = _PARTS.findall(sentence.lower())
    words = [part for part in parts if part[0].isalpha()]
    most_unknown = (1 - _SEEN_SHARE) * len(words)
    splits: dict[str, list[int] | None] = {}
    unknown = 0
    for word in words:
        splits[word] = split = table.split(word.replace("'", "")) if len(word) < 60 else None
        unknown += split is None
        if unknown > most_unknown:
            return None
    out: list[str] = []
    run: list[Sound] = []
    cost = count = 0
    for part in (*parts, ""):
        split = splits.get(part)
        if split:
            run += [(None, number) for number in split]
        elif part.isspace() and run:
            continue
        else:
            chinese, seldom = _solved(run, table)
            cost, count = cost + seldom, count + len(run)
            out += (chinese, _WHITE.sub("", part).translate(_MARKS) if part and not part[0].isalpha() else part)
            run = []
    different = {number for split in splits.values() for number in split or ()}
    if len(different) < _MIN_SYLLABLES or cost > _TOO_SELDOM * count:
        return None
    return "".join(out)


def _mixed(sentence: str, table: PinyinTable) -> str | None:
    tokens = _TOKEN.findall(sentence)
    out: list[str] = []
    run: list[Sound] = []
    guessed = 0
    for index, token in enumerate(tokens):
        sound = table.sound_of.get(token) if len(token) == 1 else None
        if sound is not None:
            run.append((token, sound))
            continue
        split = _beside_han(tokens, index, table)
        if split:
            run += [(None, number) for number in split]
            guessed += len(split)
        elif token.isspace() and run and index + 1 < len(tokens) and _beside_han(tokens, index + 1, table):
            continue
        else:
            out += (_kept(run, table), token)
            run = []
    out.append(_kept(run, table))
    return "".join(out) if guessed >= _MIN_MIXED else None


def _beside_han(tokens: Sequence[str], index: int, table: PinyinTable) -> list[int] | None:
    """The syllables of letters with Chinese characters beside them, over at most one blank and other such letters."""
    token = tokens[index]
    if not (token.isascii() and token.isalpha() and token.islower()) or token in _NOT_PINYIN:
        return None
    for step in (-1, 1):
        at = index + step
        while 0 <= at < len(tokens) and (tokens[at] == " " or (tokens[at].isascii() and tokens[at].isalpha())):
            at += step
        if 0 <= at < len(tokens) and "\u4e00" <= tokens[at][0] <= "\u9fff":
            split = table.split(token) if len(token) < 40 else None
            return split if split and len(split) <= _MOST_MIXED else None
    return None


def _kept(run: Sequence[Sound], table: PinyinTable) -> str:
    if any(char is None for char, _ in run):
        return _solved(run, table)[0]
    return "".join(char or "" for char, _ in run)


def _solved(run: Sequence[Sound], table: PinyinTable) -> tuple[str, int]:
    """The most probable characters, and how seldom they are in sum."""
    best: list[tuple[int, int, str]] = [(0, 0, "")]
    for end in range(1, len(run) + 1):
        char = run[end - 1][0]
        found = (best[end - 1][0] + _UNKNOWN, end - 1, char or "")
        key = 0
        for size in range(1, min(_LONGEST_WORD, end) + 1):
            start = end - size
            key |= run[start][1] << _BITS * (size - 1)
            base = best[start][0] + _STEP
            for word, seldom in table.of_sound(key, size):
                if base + seldom < found[0] and all(
                    known is None or known == letter for (known, _), letter in zip(run[start:end], word, strict=True)
                ):
                    found = (base + seldom, start, word)
        best.append(found)
    parts = []
    at = len(run)
    while at:
        _, at, word = best[at]
        parts.append(word)
    return "".join(reversed(parts)), best[-1][0]
