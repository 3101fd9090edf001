"""Places in a text and in its normal form (NFC), which tokenizers judge. No I/O."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

__all__ = ["JOINING", "begins_cluster", "place_before", "place_before_nfc", "well_formed"]

# Second halves of compositions that Unicode does not call marks: Hangul vowels and finals, and Kirat Rai's vowel sign.
JOINING = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF), (0x16D63, 0x16D6A))
_MARKS = frozenset({"Mn", "Mc", "Me"})
# How finely a place is looked for: megabytes are normalised in a few calls, and only one block letter by letter.
_BLOCKS = (65536, 256, 1)


def begins_cluster(char: str) -> bool:
    """Whether what stands before this character is normalised without regard to it."""
    if char < "\u0300":
        return True
    code = ord(char)
    if any(low <= code <= high for low, high in JOINING):
        return False
    return unicodedata.combining(char) == 0 and unicodedata.category(char) not in _MARKS


def place_before_nfc(text: str, at: int) -> int:
    """Where in `text` the character number `at` of its normal form comes from.

    Of several characters that became one, or one that became several, the beginning.
    """
    if unicodedata.is_normalized("NFC", text):
        return min(at, len(text))
    return place_before(text, at, lambda part: unicodedata.normalize("NFC", part))


def place_before(text: str, at: int, change: Callable[[str], str]) -> int:
    """Where in `text` the character number `at` of the changed text comes from.

    `change` works on characters, and on the marks behind them, each for itself.
    """
    begin, end, left = 0, len(text), at
    for size in _BLOCKS:
        while begin < end:
            stop = begin + size
            while stop < end and not _is_apart(text[stop]):
                stop += 1
            stop = min(stop, end)
            length = len(change(text[begin:stop]))
            if length > left:
                end = stop
                break
            left -= length
            begin = stop
    return begin


def _is_apart(char: str) -> bool:
    """Whether it begins a cluster in the compatibility forms too, where half-width letters and marks join."""
    return begins_cluster(char) and not "\uff9e" <= char <= "\uffdc"


def well_formed(text: str) -> str:
    """The text, with a mark in place of half a character, which JSON can spell."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
