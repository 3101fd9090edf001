"""A text that grows at its end, and the tokens of it that can't change any more. No I/O.

Tokens of the end of a text change when more text comes: "hel" and "lo" are other tokens than "hello". Judging those
tokens, or showing the text under them, has to wait. What waits is as little as can be proved, whatever the script:

1. *Normal form.* The last character may still combine with what follows ("e" and an accent become one character), so
   it waits, with the marks behind it.
2. *Words.* A word ends where the pattern stops matching, so the word at the end waits; and as spaces may become part
   of the next word, so does all space at the end.
3. *Inside the word at the end*, which in Chinese can be a whole clause: byte-pair encoding merges by rank alone, so a
   boundary that no merge crosses cuts the word in two that know nothing of each other. Whatever follows, the last
   boundary up to here is at a place `p` where the rest can be the beginning of a token, and the tokens before it are
   those of the word up to `p`. Tokens that all such `p` have in common are final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.normal_form import begins_cluster
from .tokenizer import Tokenizer, Word

__all__ = ["GrowingText", "Token"]

# The proof costs a tokenisation for each byte of the longest token. For words that nobody writes, a distance will do:
# half of this from the end. All bytes are in some token either way.
_LONG_WORD_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Token:
    """A final token. `begin` and `end` count characters of the text as it was given.

    A character whose bytes are in several tokens belongs to the last of them: `end` of the others is before it.
    """

    id: int
    begin: int
    end: int


class GrowingText:
    """Takes a text in pieces, cut anywhere, and gives its tokens as they become final."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # The characters whose normal form is open, and where they begin.
        self._unsettled = ""
        self._settled_at = 0
        # Normalised text from the beginning of the first word that is not final, and where each character comes from.
        self._normal = ""
        self._places: list[int] = []
        # Of that word's tokens, these many bytes were given out already; and the end of the last token given out.
        self._given_bytes = 0
        self._end = 0
        self._finished = False

    def append(self, text: str) -> list[Token]:
        """More text; the tokens that are final now and were not before."""
        if self._finished and text:
            raise ValueError("the text is finished")
        self._unsettled += text
        self._settle(_settled(self._unsettled))
        return self._advance(is_final=False)

    def finish(self) -> list[Token]:
        """Nothing more will come: the remaining tokens."""
        self._finished = True
        return self.flush()

    def flush(self) -> list[Token]:
        """The remaining tokens, as if nothing more would come; what comes all the same begins with a new token."""
        self._settle(len(self._unsettled))
        return self._advance(is_final=True)

    def _settle(self, length: int) -> None:
        normal, places = _normalised(self._unsettled[:length], self._tokenizer)
        self._normal += normal
        self._places += [self._settled_at + place for place in places]
        self._unsettled = self._unsettled[length:]
        self._settled_at += length

    def _advance(self, *, is_final: bool) -> list[Token]:
        normal, places = self._normal, [*self._places, self._settled_at]
        words = self._tokenizer.words(normal)
        closed = len(words) if is_final else _count_closed(words, normal)
        found: list[Token] = []
        for word in words[:closed]:
            self._give(word, places, found, is_closed=True)
            self._given_bytes = 0
        begins = len(normal)
        if closed < len(words):
            begins = words[closed][1]
            # Space at the end may still become part of another word; a word of letters or of signs only gets longer.
            if closed + 1 == len(words) and not normal[-1].isspace():
                self._give(words[closed], places, found, is_closed=False)
        self._normal = normal[begins:]
        self._places = self._places[begins:]
        return found

    def _give(self, word: Word, places: Sequence[int], found: list[Token], *, is_closed: bool) -> None:
        """Add the tokens of a word that are final and were not given out yet."""
        spelling, begin, end = word
        rest = spelling[self._given_bytes :]
        ids, ends = self._tokenizer.pieces(rest)
        if not is_closed:
            count = _count_final(rest, ids, ends, self._tokenizer)
            ids, ends = ids[:count], ends[:count]
        if not ids:
            return
        characters = _Characters(self._normal[begin:end])
        for token, bytes_to_end in zip(ids, ends, strict=True):
            token_end = places[begin + characters.count(self._given_bytes + bytes_to_end)]
            found.append(Token(token, self._end, token_end))
            self._end = token_end
        self._given_bytes += ends[-1]


def _settled(text: str) -> int:
    """How much of the text no longer changes its normal form: up to its last character that begins a new one."""
    at = len(text) - 1
    while at > 0 and not begins_cluster(text[at]):
        at -= 1
    return max(at, 0)


def _normalised(text: str, tokenizer: Tokenizer) -> tuple[str, Sequence[int]]:
    """The text in normal form, and for each of its characters the place in `text` where it comes from."""
    if text.isascii():
        return text, range(len(text))
    if tokenizer.normalised(text) == text:
        return text, range(len(text))
    normal: list[str] = []
    places: list[int] = []
    begins = [at for at, char in enumerate(text) if at == 0 or begins_cluster(char)]
    for begin, end in zip(begins, [*begins[1:], len(text)], strict=True):
        part = tokenizer.normalised(text[begin:end])
        normal.append(part)
        places += [begin] * len(part)
    return "".join(normal), places


def _count_closed(words: Sequence[Word], text: str) -> int:
    """How many words are the same whatever follows the text: those that end before the space at its end, or its end."""
    visible = len(text.rstrip())
    last = min(visible, len(text) - 1)
    return sum(1 for _, _, end in words if end <= last)


def _count_final(word: str, ids: Sequence[int], ends: Sequence[int], tokenizer: Tokenizer) -> int:
    """How many tokens of an unfinished word are the same however it goes on."""
    count = len(ids)
    if len(word) > _LONG_WORD_BYTES:
        return sum(1 for end in ends if end <= len(word) - _LONG_WORD_BYTES // 2)
    for length in range(len(word) - 1, -1, -1):
        if count == 0:
            break
        if tokenizer.may_go_on(word[length:]):
            shorter = tokenizer.pieces(word[:length])[0]
            same = next((at for at, (a, b) in enumerate(zip(ids, shorter, strict=False)) if a != b), len(shorter))
            count = min(count, same)
    return count


class _Characters:
    """How many whole characters the first so many bytes of a word are."""

    def __init__(self, text: str) -> None:
        self._ends: list[int] | None = None
        if not text.isascii():
            self._ends = []
            for number, char in enumerate(text):
                self._ends += [number] * (len(char.encode()) - 1) + [number + 1]

    def count(self, size: int) -> int:
        """For ASCII, characters are bytes."""
        if self._ends is None or size == 0:
            return size
        return self._ends[size - 1]
