"""How well the engine knows the language of a text: that of the part that it knows least.

A text is cut into parts of some 240 letters, whole sentences and lines, and the language of each is identified. What is
not known counts from about as much: a name, a quotation or a line of a song leave a text covered, a paragraph does not.
"""

import math
import re
from collections.abc import Iterator, Mapping
from itertools import islice

from ...core.verdict import Coverage
from .languages import identified

__all__ = ["coverage"]

_PART_LETTERS, _PART_CHARS = 240, 600
# What is not known counts from so many letters, or from this share of a shorter text.
_REAL_LETTERS, _REAL_SHARE = 200, 0.25
# Of a longer text than these together are, so many shorter parts are looked at, at even distances.
_MOST_PARTS, _SAMPLE_CHARS = 64, 200
# A character of these scripts says about as much as two letters.
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_BORDER = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])|\n+")
_LATIN_LETTER = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_ENGLISH_WORD = re.compile(
    r"(?:the|to|of|in|and|is|you|how|for|my|me|what|do|that|with|it|can|be|are|this|without|from|not|your|have|an|if|or|"
    r"as|at|by|was|we|he|she|they|there|will|would|should|which|who|when|where|why|please|his|her|its|our|their|but|all|"
    r"has|had|were|been|than|then|them|one|some|any|more|no|so|up|out|about|into|after|over|only|new|other|used?|may|must|"
    r"each|such|these|those|gets?|sets?|see|also|very"
    # Endings of English that most other languages have not.
    r"|.+(?:ing|tion|ly|ness|ment|able|ful|ship|ght|ould)s?)"
)
# Prose: most of what stands between spaces is a word, and there are enough of them. Code, tables and lists say nothing.
_PROSE_WORDS, _PROSE_SHARE, _ENGLISH_SHARE = 12, 0.8, 0.05


def coverage(cleaned: str, known: Mapping[str, Coverage]) -> Coverage:
    """How well the languages of a cleaned text are known, of which `known` says each; one that it lacks is unknown.

    Numbers, code and single words are in no language: a text of nothing else is covered in full.
    """
    if len(cleaned) <= _PART_LETTERS:
        language = _language(cleaned, is_alone=True)
        return known.get(language, Coverage.NONE) if language else Coverage.FULL
    letters: dict[Coverage, float] = dict.fromkeys(Coverage, 0.0)
    step, parts = _parts(cleaned)
    for part in parts:
        language = _language(part)
        if language:
            letters[known.get(language, Coverage.NONE)] += step * _letters(part)
    enough = min(_REAL_LETTERS, _REAL_SHARE * sum(letters.values()))
    if letters[Coverage.NONE] and letters[Coverage.NONE] >= enough:
        return Coverage.NONE
    # What is not known at all is not known well either: both together can be enough.
    poorly = letters[Coverage.NONE] + letters[Coverage.PARTIAL]
    return Coverage.PARTIAL if poorly and poorly >= enough else Coverage.FULL


def _parts(cleaned: str) -> tuple[float, Iterator[str]]:
    """The parts to look at, and for how many each of them stands."""
    step = len(cleaned) / (_MOST_PARTS * _SAMPLE_CHARS)
    if step <= 1:
        return 1.0, _sentences(cleaned)
    starts = (int(number * step * _SAMPLE_CHARS) for number in range(_MOST_PARTS))
    return step, (cleaned[start : start + _SAMPLE_CHARS] for start in starts)


def _sentences(cleaned: str) -> Iterator[str]:
    start = 0
    for border in _BORDER.finditer(cleaned):
        end = border.end()
        if end - start >= _PART_CHARS or _letters(cleaned[start:end]) >= _PART_LETTERS:
            yield from _cut(cleaned[start:end])
            start = end
    yield from _cut(cleaned[start:])


def _cut(text: str) -> Iterator[str]:
    """Pieces of at most so many characters, so that no language hides behind the beginning of a long line."""
    for start in range(0, len(text), _PART_CHARS):
        yield text[start : start + _PART_CHARS]


def _letters(text: str) -> int:
    return len(text) if text.isascii() else len(text) + len(_WIDE.findall(text))


def _language(part: str, *, is_alone: bool = False) -> str:
    """Its code; "" where it says nothing, "xx" for one that is none of those identified.

    Of a part in Latin letters that is not prose, words tell nothing of the language; of a text that is all of it, they
    are the best there is.
    """
    language = identified(part)
    if not language or 2 * len(_LATIN_LETTER.findall(part)) < sum(map(str.isalpha, part)):
        return language
    words = _words_of_prose(part)
    if not words:
        return language if is_alone or language == "en" else ""
    if language == "en":
        enough = math.ceil(_ENGLISH_SHARE * len(words))
        english = (word for word in words if _ENGLISH_WORD.fullmatch(word))
        return language if len(list(islice(english, enough))) == enough else "xx"
    return language


def _words_of_prose(part: str) -> list[str]:
    """The words of a part that is prose, those in lower case; none of another one."""
    tokens = part.split()
    words = [token.strip(".,;:!?\"'()[]") for token in tokens]
    words = [word for word in words if word.isalpha()]
    listed = sum(token.endswith(",") for token in tokens)
    if len(words) < _PROSE_WORDS or len(words) < _PROSE_SHARE * len(tokens) or 2 * listed > len(tokens):
        return []
    return [word for word in words if word.islower()]
