"""Words that are turned: ROT13 and other shifts of the alphabet, and text that is written backwards. No I/O.

A text is divided into stretches that are more like English one way or the other, so that plain words beside turned
ones stay plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from re import Match

from .edits import Edit
from .likeness import COMMON, ENGLISH_SELDOM, UNLIKE_SELDOM, seldom, seldom_pairs
from .words import Words

__all__ = ["turned", "turned_han"]

Turn = Callable[[str], str]
_LOWER = "abcdefghijklmnopqrstuvwxyz"


def _shift(by: int) -> Turn:
    moved = _LOWER[by:] + _LOWER[:by]
    table = str.maketrans(_LOWER + _LOWER.upper(), moved + moved.upper())
    return lambda text: text.translate(table)


def _backwards(text: str) -> str:
    return text[::-1]


_ROT13 = _shift(13)
_MIRROR = str.maketrans(_LOWER + _LOWER.upper(), _LOWER[::-1] + _LOWER.upper()[::-1])
_SHIFTS: tuple[Turn, ...] = (*(_shift(by) for by in range(1, 26)), lambda text: text.translate(_MIRROR))
Turns = Sequence[tuple[Turn, str]]
"""Ways that words may be turned, with their names; the first is none."""
_USUAL: Turns = ((str, ""), (_ROT13, "rot13"), (_backwards, "reversed"))

# Common words, turned, that are no words themselves.
_WORDS_BY_CHANCE = frozenset(("saw", "won", "ton", "era", "dna", "tub", "nap", "ant", "gel"))
# Of English words about a third are common ones.
_FEW_COMMON = 12
_COMMON_TURNED = (
    frozenset(turn(word) for word in COMMON if len(word) > 2 for turn in (_ROT13, _backwards))
    - COMMON
    - _WORDS_BY_CHANCE
)
_ANNOUNCED = frozenset(("rot13", "rot", "caesar", "cipher", "reversed", "backwards", "backward", "decode", "decrypt"))
_SIGNS = _COMMON_TURNED | _ANNOUNCED | {f"{word}:" for word in _ANNOUNCED}
_WORD = re.compile(r"\S+")
_LETTERS = re.compile("[a-z]+")
_LATIN = re.compile("[A-Za-z]")
_WORD_GAIN = 16
_SWITCH = 24
"""What a change from one way to another costs, in the table's units: as much as two or three unlikely pairs."""
_MIN_PAIRS, _MIN_GAIN, _MIN_SHIFT_GAIN = 9, 1.4, 2.0
_KNOWN_SHARE = 0.4
_MIN_LETTERS, _LATIN_SHARE = 14, 0.5
_MOST_WORDS, _HEAD_CHARS = 4000, 2000


def turned(text: str, words: Words) -> list[tuple[Edit, str]]:
    """The stretches that are turned, with the name of what turned them."""
    plain = frozenset(text.lower().split())
    found: list[tuple[Edit, str]] = []
    if not plain.isdisjoint(_SIGNS):
        for start, end in _lines(text):
            line = frozenset(text[start:end].lower().split())
            if not line.isdisjoint(_SIGNS) or len(line & COMMON) * _FEW_COMMON < len(line):
                found += _stretches(text, start, end, words)
    if not found and len(plain) < _MOST_WORDS and len(plain & COMMON) < 2 and _is_unlike(text):
        found = _stretches(text, 0, len(text), words) or _shifted(text, words)
    return found


def _lines(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for line in text.splitlines(keepends=True):
        yield start, start + len(line)
        start += len(line)


def _is_unlike(text: str) -> bool:
    head = text[:_HEAD_CHARS]
    letters = len(_LATIN.findall(head))
    return letters >= _MIN_LETTERS and letters > _LATIN_SHARE * len(head) and seldom(head) > UNLIKE_SELDOM


def _stretches(text: str, start: int, end: int, known: Words, turns: Turns = _USUAL) -> list[tuple[Edit, str]]:
    words = list(_WORD.finditer(text, start, end))
    if not words:
        return []
    costs = [[_cost(match.group(), turn, known) for turn, _ in turns] for match in words]
    ways = _best_ways(costs)
    found: list[tuple[Edit, str]] = []
    first = 0
    for index in range(1, len(ways) + 1):
        if index == len(ways) or ways[index] != ways[first]:
            way = ways[first]
            turn, name = turns[way]
            if way and _is_gain(words[first:index], costs[first:index], way, turn, known):
                found.append((_turned_back(text, words[first:index], turn), name))
            first = index
    return found


def _cost(word: str, turn: Turn, known: Words) -> int:
    total = 0
    for part in _LETTERS.findall(turn(word.lower())):
        is_word = part in COMMON or (len(part) > 2 and known(part) is not None)
        total += seldom_pairs(part) - (_WORD_GAIN if is_word else 0)
    return total


def _best_ways(costs: Sequence[Sequence[int]]) -> list[int]:
    """Which way each word is, so that the sum of costs and changes is least."""
    sums = [cost + (_SWITCH if way else 0) for way, cost in enumerate(costs[0])]
    came: list[list[int]] = []
    for row in costs[1:]:
        best = min(range(len(sums)), key=sums.__getitem__)
        before = [way if sums[way] <= sums[best] + _SWITCH else best for way in range(len(sums))]
        sums = [sums[before[way]] + (0 if before[way] == way else _SWITCH) + row[way] for way in range(len(sums))]
        came.append(before)
    way = min(range(len(sums)), key=sums.__getitem__)
    ways = [way]
    for before in reversed(came):
        way = before[way]
        ways.append(way)
    return ways[::-1]


def _is_gain(words: Sequence[Match[str]], costs: Sequence[Sequence[int]], way: int, turn: Turn, known: Words) -> bool:
    text = " ".join(match.group() for match in words)
    pairs = sum(len(part) + 1 for part in _LETTERS.findall(text.lower()))
    gain = sum(cost[0] - cost[way] for cost in costs)
    if pairs < _MIN_PAIRS or gain <= _MIN_GAIN * pairs or seldom(turn(text)) >= ENGLISH_SELDOM + 1:
        return False
    return _are_words(turn(text), known)


def _are_words(text: str, known: Words) -> bool:
    """Names, codes and words of other languages may look like English by chance, but few become words."""
    parts = {part for part in _LETTERS.findall(text.lower()) if len(part) > 2}
    return sum(known(part) is not None for part in parts) > max(_KNOWN_SHARE * len(parts), 1)


def _turned_back(text: str, words: Sequence[Match[str]], turn: Turn) -> Edit:
    start, end = words[0].start(), words[-1].end()
    if turn is _backwards and words[0].group()[-1:].isupper() and not words[-1].group()[-1:].isupper():
        # Each word by itself: the capital of the sentence stands at the end of its first word.
        return start, end, " ".join(match.group()[::-1] for match in words)
    return start, end, turn(text[start:end])


def _shifted(text: str, known: Words) -> list[tuple[Edit, str]]:
    """What is written in another shift of the alphabet than ROT13, or with the alphabet mirrored."""
    before = seldom(text)
    best = min(_SHIFTS, key=lambda turn: seldom(turn(text)))
    after = seldom(best(text))
    if after < ENGLISH_SELDOM and after < before - _MIN_SHIFT_GAIN and _are_words(best(text[:_HEAD_CHARS]), known):
        return _stretches(text, 0, len(text), known, ((str, ""), (best, "shifted")))
    return []


_HAN_BACKWARDS = re.compile("^[?？!！。][\\s\\S]*[\u4e00-\u9fff]$")


def turned_han(text: str) -> list[Edit]:
    """Chinese sentences that begin with the mark that ends one."""
    return [
        (start, end, text[start:end][::-1])
        for start, end in _lines(text)
        if _HAN_BACKWARDS.match(text[start:end].strip())
    ]
