"""Text behind base64. No I/O."""

from __future__ import annotations

import base64

__all__ = ["decoded", "readable"]


def decoded(data: str) -> bytes | None:
    """The bytes behind base64 of either alphabet, with blanks in it, with or without its end; None for other text."""
    packed = "".join(data.split()).rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    except ValueError:
        return None


def readable(raw: bytes) -> str | None:
    """The text that bytes are; None for what nobody would read."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char.isspace() for char in text) else None
