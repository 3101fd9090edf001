"""An answer that grows: what of it is judged when, together with what, and what of it may be shown. No I/O.

Text is *held* until it has been judged. It is judged in *pieces* that end where a sentence or a line does, in any
script, or at a size when no end comes. With a piece goes the text before it, so that what is harmful only as a whole
is seen although a boundary runs through it.

The cost is linear in the answer. A piece has a least size, however many sentences are in it, and the text before it
that goes along is bounded. Only when the answer has doubled, and once more at its end, all of it goes along: 1000,
2000, 4000, ... adds up to twice the answer, and what is spread over more than the usual context is seen as well.

`GrowingAnswer` asks nobody itself. Who has text adds it, takes the next piece, has it judged wherever and for however
long it takes, and settles it:

    answer.add("Flour, water, salt. ")
    while (piece := answer.next_piece()) is not None:
        shown += answer.settle(piece, judge(piece))

`advance` is that loop. A caller who is sent the whole text each time keeps `answer.progress` and goes on with
`GrowingAnswer.resumed`.

Sizes are bytes of UTF-8: a token is about four of them in every script, while a character is a letter in one script
and a word in another. Offsets are characters.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

from ..core.verdict import Decision
from ..errors import EngineAnswerInvalid

__all__ = ["BOUNDARY", "WORD_CHARS", "GrowingAnswer", "Judge", "Pacing", "Piece", "Progress", "Ruling", "advance"]

# Unicode's Sentence_Terminal characters (PropList.txt) but for those that stand inside of words and numbers too.
_TERMINALS = (
    "\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u0f0d-\u0f12\u104a\u104b\u1362"
    "\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b5a\u1b5b\u1b5e\u1b5f\u1c3b"
    "\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047-\u2049\u2e2e\u2e3c\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce"
    "\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)
# Commas, semicolons and colons of scripts in which no space need follow them: no word runs through one.
_PAUSES = (
    "\u055d\u060c\u061b\u07f8\u1361\u1363-\u1366\u1802\u1804\u1808\u3001\ua60d\ua6f4-\ua6f6\ufe10\ufe11\ufe13\ufe14"
    "\ufe50\ufe51\ufe54\ufe55\uff0c\uff1a\uff1b\uff64"
)
# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer. A space there ends a phrase.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
BOUNDARY = re.compile(
    r"[\n\r\x0b\x0c\x85\u2028\u2029]"
    rf"|[{_TERMINALS}{_PAUSES}]"
    r"""|[.!?\u2026:;][.!?\u2026"'\u2019\u201d\u00bb)\]}*_`]{0,8}\s"""
    rf"|(?<=[{_UNSPACED}])\s"
)
"""Where a sentence, a phrase or a line ends, so that no word is cut there."""
WORD_CHARS = 16
"""Text without any boundary or space is judged in full, and shown but for so many characters: a word may be in them
whose end is still to come. Words of scripts without spaces are hardly longer."""
_SPACE = re.compile(r"\s")
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How much is held back, and how much goes along. All sizes in bytes of UTF-8.

    Too small: many checks, each of which sees little. Too large: the reader waits.
    """

    first_bytes: int = 32
    """The first piece is judged at a boundary from this size on; smaller than the others, so that text shows soon."""
    piece_bytes: int = 128
    """Every later piece is at least of this size, but for the last one and those that are hurried."""
    hold_bytes: int = 320
    """No boundary within so much text: it is judged all the same, and shown up to its last word."""
    largest_bytes: int = 4096
    """Most new text in one piece, when much has come while another piece was being judged."""
    context_bytes: int = 512
    """Text before a piece that is judged along with it."""
    whole_bytes: int = 16_384
    """Most text before a piece that goes along when the answer has doubled, and at its end."""
    at_boundaries: bool = True
    """False: every `piece_bytes`, wherever that is, for a judge who needs no sentences."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What to judge: `new`, which stands at offset `start` of the answer, and `before`, the text that goes along.

    The last `kept` characters of `new` are judged but not shown yet, as a word may go on behind them.
    `answer` is a number that all pieces of the same answer have, for a judge who follows several. With `is_flushed`
    something else waits for this text: a judge who would like to see more first does without, if that can be done.
    """

    before: str
    new: str
    start: int
    is_last: bool
    answer: int = 0
    is_flushed: bool = False
    kept: int = 0
    tool: str | None = None
    """The tool that this is told to, if it has rules of its own; None otherwise."""

    @property
    def text(self) -> str:
        """Both together, as an answer that is judged whole."""
        return self.before + self.new

    @property
    def end(self) -> int:
        """The offset behind `new`."""
        return self.start + len(self.new)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a judge says of a piece.

    `cleared` is the offset in the answer up to which text may be shown: the piece's end, or less from a judge who
    wants to see more first. `is_blocked`: what follows may never be shown. `decision` is what it rests on.
    """

    cleared: int
    is_blocked: bool = False
    decision: Decision | None = None

    @classmethod
    def of(cls, piece: Piece, decision: Decision) -> Ruling:
        """The ruling of a judge who decides a piece as a whole."""
        return cls(piece.end if decision.allowed else piece.start, not decision.allowed, decision)


Judge = Callable[[Piece], Ruling]
"""Judges pieces of one answer, in their order. Raises ModerationError when it can't: nothing is shown then."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an answer has come: enough to go on when the whole text is sent again. Holds no text."""

    cleared: int = 0
    """Characters that may be shown."""
    digest: str = ""
    """Keyed hash of these characters."""
    whole_at: int = 0
    """Size of the answer, in bytes, at which all of it goes along with a piece again."""
    cleared_bytes: int = 0
    """`cleared` in bytes."""
    is_blocked: bool = False

    def to_json(self) -> dict[str, object]:
        """As a JSON object, for a store that several processes share."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Progress:
        """The reverse of `to_json`. Raises ValueError for anything else."""
        fields = {name: document.get(name) for name in cls.__slots__}
        sizes = [fields[name] for name in ("cleared", "whole_at", "cleared_bytes")]
        if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in sizes):
            raise ValueError("not the progress of an answer")
        if not isinstance(fields["digest"], str) or not isinstance(fields["is_blocked"], bool):
            raise ValueError("not the progress of an answer")
        return cls(**fields)  # type: ignore[arg-type]


class GrowingAnswer:
    """One answer. Not for several threads at once.

    `before` is text that the answer continues, such as the beginning that a caller put into the model's mouth: it
    goes along as context and is no part of the answer.
    """

    def __init__(self, pacing: Pacing | None = None, *, before: str = "", tool: str | None = None) -> None:
        self._number = next(_numbers)
        self._pacing = pacing or Pacing()
        self._pending = ""
        self._surrogate = ""
        self._before, self._tool = before, tool
        self._cleared = 0
        self._cleared_bytes = 0
        self._whole_at = 2 * self._pacing.context_bytes
        self._ended = False
        self._flush_to = 0
        self._hurried = False
        self._blocked = False
        self._out: Piece | None = None
        self._judged_pending = -1
        self._forget()

    @classmethod
    def resumed(
        cls, progress: Progress, text: str, *, key: bytes, pacing: Pacing | None = None, before: str = ""
    ) -> GrowingAnswer | None:
        """The answer whose whole text so far is `text`, or None if that is not a continuation of the same answer.

        What was cleared is not judged again. `key` is the one that `progress` was made with.
        """
        shown = _well_formed(text)[: progress.cleared]
        if len(shown) < progress.cleared or not hmac.compare_digest(_digest(shown, key), progress.digest):
            return None
        answer = cls(pacing, before=before)
        answer._before += shown
        answer._cleared, answer._cleared_bytes = progress.cleared, progress.cleared_bytes
        answer._whole_at = progress.whole_at
        answer._blocked = progress.is_blocked
        answer._forget()
        rest = text[progress.cleared :] if text.startswith(shown) else _well_formed(text)[progress.cleared :]
        answer.add(rest)
        return answer

    @property
    def is_blocked(self) -> bool:
        """Whether a piece was blocked; nothing more will be released."""
        return self._blocked

    @property
    def cleared(self) -> int:
        """How many characters were released."""
        return self._cleared

    @property
    def held(self) -> int:
        """How many characters wait to be judged or to be released."""
        return len(self._pending) + len(self._surrogate)

    @property
    def is_settled(self) -> bool:
        """Whether the answer has ended and nothing of it is open."""
        return self._blocked or (self._ended and not self.held)

    def progress(self, text: str, *, key: bytes) -> Progress:
        """What is needed to go on later; `text` is the answer so far, which begins with what was cleared."""
        digest = _digest(_well_formed(text)[: self._cleared], key)
        return Progress(self._cleared, digest, self._whole_at, self._cleared_bytes, self._blocked)

    def add(self, text: str) -> None:
        """Text that came. Behind a piece that was blocked it is forgotten: nobody will see it."""
        if self._blocked:
            return
        text = self._surrogate + text
        # One half of a surrogate pair may come with one chunk and the other half with the next.
        self._surrogate = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        self._pending += _well_formed(text[: len(text) - len(self._surrogate)])

    def end(self) -> None:
        """No more text will come."""
        self._pending += _well_formed(self._surrogate)
        self._surrogate = ""
        self._ended = True
        self._judged_pending = -1

    def flush(self) -> None:
        """Have what is held judged now, whatever its size, because something else waits for it.

        The caller sees to it that this does not happen for every few characters.
        """
        self._flush_to = self._cleared + len(self._pending)
        self._judged_pending = -1

    def hurry(self) -> None:
        """Take the next piece at a boundary from the first piece's size on, because text comes slowly.

        The cost stays linear, with more context for each bit of text.
        """
        self._hurried = True

    @property
    def is_ready(self) -> bool:
        """Whether there is a piece to judge now."""
        is_open = self._out is None and not self._blocked and len(self._pending) != self._judged_pending
        return is_open and self._cut()[0] > 0

    def next_piece(self) -> Piece | None:
        """What to judge now; None while more text should come first, or while a piece is out."""
        if not self.is_ready:
            return None
        length, kept = self._cut()
        new = self._pending[:length]
        is_last = self._ended and length == len(self._pending)
        size = self._cleared_bytes + _size(new)
        room = self._pacing.context_bytes
        if is_last or size >= self._whole_at:
            room = max(room, self._pacing.whole_bytes)
            self._whole_at = 2 * size
        self._hurried = False
        is_flushed = self._flush_to == self._cleared + length
        before = _tail(self._before, room)
        self._out = Piece(before, new, self._cleared, is_last, self._number, is_flushed, kept, self._tool)
        return self._out

    def settle(self, piece: Piece, ruling: Ruling) -> str:
        """The text that may now be shown. Raises EngineAnswerInvalid for a ruling that is none."""
        if piece is not self._out:
            raise ValueError("this piece is not the one that is out")
        self._out = None
        if not piece.start <= ruling.cleared <= piece.end:
            raise EngineAnswerInvalid("The judge cleared text that it was not shown.")
        released = piece.new[: min(ruling.cleared, piece.end - piece.kept) - piece.start]
        self._pending = self._pending[len(released) :]
        self._cleared += len(released)
        self._cleared_bytes += _size(released)
        self._before += released
        self._forget()
        if ruling.is_blocked:
            self._blocked = True
            self._pending = ""
        elif piece.is_last and self._pending:
            raise EngineAnswerInvalid("The judge left the end of an answer undecided.")
        # What the judge did not clear it sees again when there is more, not before; or when it has become the end.
        uncleared = len(piece.new) - len(released)
        has_become_the_end = self._ended and uncleared == len(self._pending)
        self._judged_pending = -1 if has_become_the_end else uncleared
        return released

    def _cut(self) -> tuple[int, int]:
        """How many of the pending characters make the next piece, 0 to wait; and how many of them are kept."""
        pacing, pending = self._pacing, self._pending
        size = _size(pending)
        least = pacing.piece_bytes if self._cleared and not self._hurried else pacing.first_bytes
        in_full = self._ended or self._cleared < self._flush_to
        if not pending or (size < least and not in_full):
            return 0, 0
        if size <= pacing.largest_bytes and (in_full or not pacing.at_boundaries):
            return len(pending), 0
        # A judge who held text back sees it again with more behind it, or he could never clear it.
        seen = max(self._judged_pending, 0)
        if seen and not in_full and pacing.at_boundaries and _size(pending[seen:]) < pacing.first_bytes:
            return 0, 0
        highest = seen + (len(_head(pending[seen:], pacing.largest_bytes)) or 1)
        if not pacing.at_boundaries:
            return highest, 0
        lowest = min(max(len(_head(pending, least - 1)), seen) + 1, highest)
        ends = [match.end() for match in BOUNDARY.finditer(pending, 0, highest) if match.end() >= lowest]
        if ends:
            return ends[-1], 0
        if size < pacing.hold_bytes and not in_full:
            return 0, 0
        spaces = [match.end() for match in _SPACE.finditer(pending, lowest, highest)]
        if spaces:
            return spaces[-1], 0
        return highest, 0 if in_full and highest == len(pending) else min(WORD_CHARS, highest // 2)

    def _forget(self) -> None:
        """Keep of the text before no more than can go along."""
        self._before = _tail(self._before, max(self._pacing.context_bytes, self._pacing.whole_bytes))


def advance(answer: GrowingAnswer, judge: Judge) -> str:
    """Judge what can be judged now; returns the text that may be shown. Raises what the judge raises."""
    shown = ""
    while (piece := answer.next_piece()) is not None:
        shown += answer.settle(piece, judge(piece))
    return shown


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _head(text: str, size: int) -> str:
    """As many characters from the beginning as fit."""
    return text[:size] if text.isascii() else text[:size].encode()[:size].decode(errors="ignore")


def _tail(text: str, size: int) -> str:
    """As many characters from the end as fit."""
    if size <= 0:
        return ""
    return text[-size:] if text.isascii() else text[-size:].encode()[-size:].decode(errors="ignore")


def _well_formed(text: str) -> str:
    """The text with every lone half of a surrogate pair replaced: it is no character, and UTF-8 has no word for it."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _digest(text: str, key: bytes) -> str:
    return hashlib.blake2b(text.encode(), key=key[:64], digest_size=16).hexdigest()
