"""Byte-level tokens: how GPT-2's alphabet, and Qwen's with it, spells bytes as printable characters. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["spelled"]


def spelled(pieces: Sequence[str]) -> str | None:
    """The text that byte-level tokens spell; None if they are not of that kind."""
    try:
        return bytes(byte for piece in pieces for byte in map(_BYTES.__getitem__, piece)).decode()
    except (KeyError, UnicodeDecodeError):
        return None


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for every byte, back to the byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}


_BYTES = _byte_alphabet()
