r"""Text in the encodings of the web and of programs: entities, %xx, \uXXXX, bytes as numbers, base64. No I/O.

What does not become a text stays as it is: most hexadecimal numbers and base64 strings are keys, hashes and files.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Callable
from re import Match

from .edits import Edit, edits_of

__all__ = ["BYTE_ENCODINGS", "LETTER_ENCODINGS", "base64_texts", "entities", "escapes", "numbers", "percent"]

_ENTITIES = re.compile("(?:&#(?:[0-9]{1,7}|[xX][0-9a-fA-F]{1,6});[ ]?){2,}")
_PERCENT = re.compile(r"(?<!\S)[^\s%]*(?:%(?:u[0-9a-fA-F]{4}|[0-9a-fA-F]{2})[^\s%]*){3,}")
_PERCENT_BYTES = re.compile("(?:%[0-9a-fA-F]{2})+")
_PERCENT_U = re.compile("%u([0-9a-fA-F]{4})")
_PERCENT_CODE = re.compile("%(?:u[0-9a-fA-F]{4}|[0-9a-fA-F]{2})")
# From here on a pattern begins with a set of characters and looks at what stands before it afterwards: the search leaps
# from one of them to the next, several times as quick as looking behind at every place.
_ESCAPED_REST = r"(?:u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2})"
_U_REST, _AFTER_ESCAPED = r"\+[0-9a-fA-F]{4,6}", r"[ ]?(?:[^\s\\uU]|[uU](?!\+))?"
_ESCAPES = re.compile(
    rf"[\\uU](?:(?<=\\){_ESCAPED_REST}|(?<=[uU]){_U_REST}){_AFTER_ESCAPED}"
    rf"(?:(?:\\{_ESCAPED_REST}|[uU]{_U_REST}){_AFTER_ESCAPED}){{2,}}"
)
_ESCAPE = re.compile(r"(?:\\u\{|\\u|\\U|\\x|[uU]\+)([0-9a-fA-F]{1,8})\}?")
_BETWEEN_CODES = re.compile(r"(?<=[0-9a-fA-F}]) (?=[uU\\])")
# Eight random bytes, of which logs are full, are letters once in some ten thousand times; ten hardly ever.
_HEX = re.compile(
    r"[0-9a-fA-F](?<![0-9A-Za-z][0-9a-fA-F])(?:(?<=0)x(?:[0-9a-fA-F]{2}){10,}|[0-9a-fA-F](?:[0-9a-fA-F]{2}){9,}|"
    r"(?:(?<=0)x[0-9a-fA-F]{2}|[0-9a-fA-F])[ :,-]{1,2}"
    r"(?:(?:0x)?[0-9a-fA-F]{2}[ :,-]{1,2}){6,}(?:0x)?[0-9a-fA-F]{2})"
    r"(?![0-9A-Za-z])"
)
_BITS = re.compile("[01](?<![0-9][01])[01]{7}[ ]?(?:[01]{8}[ ]?){4,}(?![0-9])")
_DECIMAL = re.compile("[0-9](?<![0-9.][0-9])[0-9]{1,2}[ ,;]{1,2}(?:[0-9]{2,3}[ ,;]{1,2}){6,}[0-9]{2,3}(?![0-9.])")
_BASE64 = re.compile(
    "[A-Za-z0-9+/_-](?<![A-Za-z0-9+/=_-][A-Za-z0-9+/_-])"
    "(?:(?<=[A-Za-z0-9+/])[A-Za-z0-9+/]{59,79}\r?\n(?:[A-Za-z0-9+/]{60,80}\r?\n)*[A-Za-z0-9+/_-]{12,}|"
    "[A-Za-z0-9+/_-]{11,})={0,2}(?![A-Za-z0-9+/=_-])"
)
_BASE32 = re.compile("[A-Z2-7](?<![A-Za-z0-9=][A-Z2-7])[A-Z2-7]{15,}={0,6}(?![A-Za-z0-9=])")
_DIGIT = re.compile("[0-9]")
_NOT_HEX = re.compile("0x|[^0-9a-fA-F]")
_ENCODED = re.compile("[A-Za-z0-9+/=_-]{16,}")
_MIN_CHARS = 6
# A shorter word is hardly base64 that was turned as well.
_MIN_TURNED = 24
_MAX_CODE = 0x10FFFF
_ADDRESS = "://"
_FOR_ADDRESSES = str.maketrans("-_", "+/")

Decoders = tuple[tuple[str, Callable[[str], list[Edit]]], ...]


def entities(text: str) -> list[Edit]:
    """`&#98;&#x6f;` and so on."""
    if "&#" not in text:
        return []
    return edits_of(_ENTITIES, text, lambda match: html.unescape(match.group().replace("; ", ";")))


def percent(text: str) -> list[Edit]:
    """`%62%6f` and so on, in what is no address and has many of them."""

    def change(match: Match[str]) -> str | None:
        found = match.group()
        codes = sum(map(len, _PERCENT_CODE.findall(found)))
        if codes < 0.2 * len(found) or _ADDRESS in found:
            return None
        found = _PERCENT_U.sub(lambda one: chr(int(one.group(1), 16)), found)
        return _whole(_PERCENT_BYTES.sub(_from_percent, found.replace("+", " ")))

    return edits_of(_PERCENT, text, change) if text.count("%") >= 3 else []


def escapes(text: str) -> list[Edit]:
    r"""`\u0062\x6f`, `U+006D` and so on; pairs of surrogates become one character."""

    def change(match: Match[str]) -> str | None:
        found = match.group()
        if re.fullmatch(r"(?:\\x[0-9a-fA-F]{2})+", found):
            return _from_bytes(bytes.fromhex(found.replace("\\x", "")))
        joined = _BETWEEN_CODES.sub("", found)
        return _whole(_ESCAPE.sub(lambda one: chr(min(int(one.group(1), 16), _MAX_CODE)), joined))

    return edits_of(_ESCAPES, text, change) if "\\" in text or "+" in text else []


def numbers(text: str) -> list[Edit]:
    """Bytes as hexadecimal, binary or decimal numbers, if they are a text."""
    if not _DIGIT.search(text):
        return []
    found = edits_of(_BITS, text, lambda match: _from_bits(match.group()))
    if not found:
        found = edits_of(_HEX, text, lambda match: _from_bytes(_unhexed(match.group())))
    return found or edits_of(_DECIMAL, text, lambda match: _from_codes(re.findall("[0-9]+", match.group())))


def base64_texts(text: str) -> list[Edit]:
    """base64, also its form for addresses, and base32, if they are a text."""
    found = edits_of(_BASE64, text, lambda match: _from_base64(match.group()))
    return found or edits_of(_BASE32, text, lambda match: _from_base32(match.group()))


LETTER_ENCODINGS: Decoders = (("entities", entities), ("percent", percent), ("escapes", escapes))
BYTE_ENCODINGS: Decoders = (("numbers", numbers), ("base64", base64_texts))
"""Encodings after which nothing of the text can be read; the others may leave some of its letters."""


def _from_percent(match: Match[str]) -> str:
    return bytes.fromhex(match.group().replace("%", "")).decode("utf-8", "replace")


def _unhexed(digits: str) -> bytes:
    digits = _NOT_HEX.sub("", digits)
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _from_bits(bits: str) -> str | None:
    bits = bits.replace(" ", "")
    return _from_bytes(bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)))


def _from_codes(codes: list[str]) -> str | None:
    return _from_bytes(bytes(map(int, codes))) if all(int(code) < 256 for code in codes) else None


def _from_base64(word: str) -> str | None:
    """What base64 stands for, also if its letters were shifted by 13 or written backwards afterwards."""
    body = "".join(word.split()).rstrip("=")
    if len(body) % 4 == 1:
        return None
    found = _of_base64(body)
    if found is None and len(body) >= _MIN_TURNED:
        found = _of_base64(codecs.encode(body, "rot13")) or _of_base64(body[::-1])
    return found


def _of_base64(body: str) -> str | None:
    try:
        return _from_bytes(base64.b64decode(body.translate(_FOR_ADDRESSES) + "=" * (-len(body) % 4), validate=True))
    except binascii.Error:
        return None


def _from_base32(word: str) -> str | None:
    body = word.rstrip("=")
    try:
        return _from_bytes(base64.b32decode(body + "=" * (-len(body) % 8)))
    except binascii.Error:
        return None


def _from_bytes(found: bytes) -> str | None:
    try:
        text = found.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if _is_text(text) else None


def _is_text(text: str) -> bool:
    """Letters and marks as people write them and hardly anything else; or another encoding."""
    if _ENCODED.fullmatch(text):
        return True
    if len(text) < _MIN_CHARS and text.isascii():
        return False
    letters = sum(char.isalpha() or char in " ,.?!'\n。，？！" for char in text)
    shown = sum(char.isprintable() or char in "\n\t\r" for char in text)
    return bool(text) and letters > 0.8 * len(text) and shown > 0.97 * len(text)


def _whole(text: str) -> str:
    """Without halves of surrogate pairs, which no text may have."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
