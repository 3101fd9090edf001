"""Text as the lite engine sees it: one normal form, its language, and the spans that are scored.

Everything here is linear in the length of the input, whatever the input is: `clean` bounds both the growth of
compatibility characters and the cost of reordering combining marks, `windows` covers every character at least once.
"""

import re
import unicodedata

from ...core.normal_form import place_before
from .languages import FOREIGN, SAMPLE_CHARS, identified

__all__ = [
    "HAN",
    "SEGMENT_CHARS",
    "SEGMENT_MIN_TEXT",
    "WINDOW_CHARS",
    "WINDOW_OVERLAP",
    "clean",
    "edge_sentences",
    "language",
    "place_before_cleaning",
    "windows",
]

WINDOW_CHARS = 600
"""Length of a window: what the nets saw of a text in training."""
WINDOW_OVERLAP = 100
"""Characters two windows share, so that a request cut by one border is whole in a neighbour."""
SEGMENT_MIN_TEXT = 260
"""A text longer than this also has its first and last sentences scored on their own."""
SEGMENT_CHARS = 400
"""Longer edge sentences are scored by their outer part; the windows still cover all of them."""

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN_CHARACTER = re.compile(f"[{HAN}]")
# Characters that show nothing and are used to break words apart: soft hyphen, joiners, zero-width spaces, direction
# marks, variation selectors, invisible operators.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0001\U000e007f\U000e0100-\U000e01ef]"
)
# Tag characters mirror ASCII and are invisible, but language models read them: judge what they spell.
_TAGS = re.compile("[\U000e0020-\U000e007e]")
_TAG_OFFSET = 0xE0000
# NFKC makes up to eighteen characters of one. The 72 characters (Unicode 15) that become more than three are kept out,
# so that a text never grows past its own length in UTF-8 bytes (times 1.5 for a few two-byte fractions).
_EXPANDERS = re.compile(
    "[\u2057\u2152\u2167\u2177\u247d-\u2487\u2a0c\u3200-\u32ff\u3300-\u33ff\ufdf0-\ufdfc\U0001f100-\U0001f2ff]"
)
_EXPANSION_LIMIT = 3
_STAND_IN = "\ufffd"
# CPython sorts a run of combining marks by insertion, quadratic in the run: normalising in blocks bounds that.
_NORMALISE_BLOCK = 512
_BLOCK_SLACK = 32
_SENTENCE_END = re.compile(r"(?<=[.!?。!?])|\n")
_SENTENCE_MIN_CHARS = 8
_CUT_SEARCH = 40


def clean(text: str) -> str:
    """Return the form every score is computed on: invisible characters removed, NFKC, stripped.

    Full-width letters, ligatures and other compatibility forms fold to plain ones; tag characters become the ASCII they
    spell. Look-alike letters of other scripts are not folded.
    """
    return _folded(text).strip()


def place_before_cleaning(text: str, at: int) -> int:
    """Where in `text` the character number `at` of the cleaned text comes from; of several, the beginning."""
    folded = _folded(text)
    at += len(folded) - len(folded.lstrip())
    return at if folded == text else place_before(text, at, _folded)


def language(cleaned: str) -> str:
    """Return "zh" for a text with more than two Han characters that are more than a tenth of it, else "en".

    Or one of `FOREIGN`, if the text is in that. The answer chooses the thresholds, and whether n-grams count. Text in
    any other language counts as "en"; nothing was measured there.
    """
    code = identified(cleaned[:SAMPLE_CHARS])
    if code in FOREIGN:
        return code
    han = len(_HAN_CHARACTER.findall(cleaned))
    return "zh" if han > 2 and han > 0.1 * len(cleaned) else "en"


def windows(cleaned: str, size: int = WINDOW_CHARS, overlap: int = WINDOW_OVERLAP) -> list[tuple[int, str]]:
    """Cut a text into windows of at most `size` characters that together hold all of it; return starts and texts.

    Borders move back to a space when one is near. A text of at most `size` characters is its own only window.
    """
    found = []
    start = 0
    while len(cleaned) - start > size:
        end = start + size
        space = cleaned.rfind(" ", end - _CUT_SEARCH, end)
        if space > start:
            end = space
        found.append((start, cleaned[start:end]))
        start = end - overlap
    found.append((start, cleaned[start:]))
    return found


def edge_sentences(cleaned: str) -> list[str]:
    """Return the first two sentences, the last two and the last one of a text over 260 characters, else nothing.

    Attacks wrapped in a harmless passage usually keep their request at one of its ends.
    """
    if len(cleaned) <= SEGMENT_MIN_TEXT:
        return []
    pieces = [piece.strip() for piece in _SENTENCE_END.split(cleaned)]
    sentences = [piece for piece in pieces if len(piece) > _SENTENCE_MIN_CHARS]
    if len(sentences) < 3:
        return []
    first, last = " ".join(sentences[:2]), " ".join(sentences[-2:])
    return [first[:SEGMENT_CHARS], last[-SEGMENT_CHARS:], sentences[-1][-SEGMENT_CHARS:]]


def _folded(text: str) -> str:
    if text.isascii():
        return text
    text = _INVISIBLE.sub("", text)
    text = _TAGS.sub(lambda match: chr(ord(match.group()) - _TAG_OFFSET), text)
    text = _EXPANDERS.sub(_bounded, text)
    return "".join(unicodedata.normalize("NFKC", block) for block in _blocks(text))


def _bounded(match: re.Match[str]) -> str:
    character = match.group()
    return _STAND_IN if len(unicodedata.normalize("NFKC", character)) > _EXPANSION_LIMIT else character


def _blocks(text: str) -> list[str]:
    """Cut before a character that starts a new cluster, so that a letter and its accent stay together."""
    if len(text) <= _NORMALISE_BLOCK:
        return [text]
    blocks = []
    start = 0
    while start < len(text):
        end = start + _NORMALISE_BLOCK
        limit = end + _BLOCK_SLACK
        while end < min(limit, len(text)) and unicodedata.combining(text[end]):
            end += 1
        blocks.append(text[start:end])
        start = end
    return blocks
