"""The text that a disguised one stands for. No I/O.

What is decoded takes the place of its form: the form itself says "odd", not "harmful", whatever is in it. Nothing else
is taken away, so plain words beside encoded ones are still there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .edits import Edit, Place, Step, edited
from .encodings import BYTE_ENCODINGS, LETTER_ENCODINGS
from .leet import leet
from .letters import accents, capitals, gaps_of_han, joined, look_alikes, spaced, spelled, strokes, traditional
from .pinyin import PinyinTable, pinyin
from .turned import turned, turned_han
from .words import Words

__all__ = ["HEAD_CHARS", "Decoders", "Reading", "View"]

Fold = Callable[[str], str]

_MOST_ROUNDS = 3
HEAD_CHARS = 32_768
"""What is told by words and letters is undone in so much of a text; encodings in all of it."""
_LONG_WORD = 12
# What only says that something is encoded and to be answered: alone it is no request.
_INVITATION_WORDS = (
    "decode decoded decoding decrypt decipher this the that these following below above text string strings message "
    "code coded and answer reply respond to it follow execute do what says say base64 base base32 64 b64 hex "
    "hexadecimal rot13 rot 13 caesar cipher ciphertext reverse reversed backwards backward url percent encoded "
    "encoding unicode binary ascii please then in with from instruction instructions read translate translated me "
    "my question request is a an of you your can could i content for english result task here s give only "
)
_INVITATION = frozenset(_INVITATION_WORDS.split())
_INVITATION_HAN = frozenset(
    "请把将你解码密译翻并且然后回答复以下面这段个条的文本字符串内容问题编先再按照执行其中指令是"
    "十六进制倒着读反过来给我用和"
)
_FRAME_WORD = re.compile("[A-Za-z0-9]+")
_HAN = re.compile("[\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text to judge in the form's place, and how to find its places in the text as it was given."""

    text: str
    steps: tuple[Step, ...] = ()

    def origin(self, start: int, end: int) -> Place:
        """Where in the given text a stretch of this one comes from."""
        place = (start, end)
        for step in reversed(self.steps):
            place = step.back(place)
        return place


@dataclass(frozen=True, slots=True)
class View:
    """A decoded text: its readings, of which the worst counts, and the names of what was undone, in order."""

    readings: tuple[Reading, ...]
    decoders: tuple[str, ...]


class _Work:
    """A text on its way: what was done to it, and which stretches came out of an encoding."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps: list[Step] = []
        self.names: list[str] = []
        self.inner: list[Place] = []

    @property
    def head(self) -> str:
        """The beginning, in which also the slower decoders look."""
        return self.text[:HEAD_CHARS]

    def apply(self, name: str, edits: Sequence[Edit], *, inner: bool = False) -> bool:
        if not edits:
            return False
        self.text, step = edited(self.text, edits)
        self.steps.append(step)
        self.inner = [step.forth(place) for place in self.inner]
        if inner:
            self.inner += [place for place in step.after if not any(_within(place, one) for one in self.inner)]
        if name not in self.names:
            self.names.append(name)
        return True

    def exchange(self, name: str, text: str) -> None:
        """Take another text, which has a character for each of this one."""
        if text != self.text:
            self.text = text
            if name not in self.names:
                self.names.append(name)


class Decoders:
    """Undoes disguise. `words` knows words and how probable they are, `fold` gives a decoded piece its normal form."""

    def __init__(self, *, words: Words, table: PinyinTable | None, fold: Fold = str) -> None:
        self._words = words
        self._table = table
        self._fold = fold

    def view(self, text: str) -> View | None:
        """What a text in its normal form stands for; None where nothing is disguised."""
        work = _Work(text)
        for _ in range(_MOST_ROUNDS):
            if not self._round(work):
                break
        backwards = turned_han(work.text) if not work.inner else []
        if not work.names and not backwards:
            return None
        readings = [_reading(work)]
        if backwards:
            # The mark alone proves little, so the text as it stands counts too.
            readings.append(_further(work, backwards))
            work.names.append("reversed")
        return View(tuple(readings), tuple(work.names))

    def _round(self, work: _Work) -> bool:
        """Undo each kind once; whether anything was. What comes out may be disguised again."""
        before = len(work.steps)
        if not work.text.isascii():
            work.apply("marks", strokes(work.text) or accents(work.head))
            work.apply("look_alikes", look_alikes(work.head))
            work.exchange("traditional", traditional(work.text))
            work.apply("gaps", gaps_of_han(work.head))
        encoded = len(work.steps)
        for name, decode in LETTER_ENCODINGS:
            work.apply(name, self._folded(decode(work.text)))
        again = len(work.steps) > encoded
        longest = max(map(len, work.text.split()), default=0)
        for name, decode in BYTE_ENCODINGS:
            again |= work.apply(name, self._folded(decode(work.text)), inner=True)
        work.apply("spaced", spaced(work.head, self._words))
        work.apply("spelled", spelled(work.head))
        if longest >= _LONG_WORD:
            work.apply("joined", joined(work.head, self._words))
        work.apply("capitals", capitals(work.head))
        work.apply("leet", leet(work.head, self._words))
        for edit, name in reversed(turned(work.head, self._words)):
            again |= work.apply(name, [edit], inner=True)
        if self._table is not None and len(work.steps) == before:
            work.apply("pinyin", pinyin(work.head, self._table))
        return again

    def _folded(self, edits: Sequence[Edit]) -> list[Edit]:
        return [(start, end, self._fold(new)) for start, end, new in edits]


def _within(place: Place, other: Place) -> bool:
    return other[0] <= place[0] and place[1] <= other[1]


def _reading(work: _Work) -> Reading:
    """All of it, decoded pieces as lines of their own; these alone if the rest only invites to decode them."""
    if not work.inner:
        return Reading(work.text, tuple(work.steps))
    inner = sorted(work.inner)
    frame = [(0, inner[0][0]), *((one[1], other[0]) for one, other in pairwise(inner))]
    frame.append((inner[-1][1], len(work.text)))
    around = " ".join(work.text[start:end] for start, end in frame)
    if not _is_invitation(around):
        return _further(work, [(start, start, "\n") for place in inner for start in place])
    return _further(work, [(start, end, "\n" if start and end < len(work.text) else "") for start, end in frame])


def _further(work: _Work, edits: Sequence[Edit]) -> Reading:
    text, step = edited(work.text, edits)
    return Reading(text, (*work.steps, step))


def _is_invitation(frame: str) -> bool:
    return (
        all(word.lower() in _INVITATION for word in _FRAME_WORD.findall(frame))
        and all(char in _INVITATION_HAN for char in _HAN.findall(frame))
        and all(char.isascii() or _HAN.match(char) or not char.isalpha() for char in frame)
    )
