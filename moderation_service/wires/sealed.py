"""Sealed data of a model's server, such as `encrypted_content` or the signature of a thought. No I/O.

Some servers put thoughts there that anybody can read: Ollama as they are, SGLang compressed. What can be read is judged
as any text is. Clients send all of it back with the next turn, as words that the model is to take for its own; so it is
handed out with a mark of ours, and only what bears that mark goes back to the server.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib

from ..errors import ChatModelError
from .base64_text import decoded, readable

__all__ = ["Sealer", "read_sealed"]

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_SHORTEST = 16
_MAX_BYTES = 8 * 1024 * 1024
_ANY_HEADER = 47  # zlib's or gzip's
_VERSION = "v1"


def read_sealed(value: str) -> str | None:
    """The text behind sealed data; None where nobody but its server can read it. Raises ChatModelError."""
    if len(value) < _SHORTEST or not _BASE64.fullmatch(value):
        return value
    raw = decoded(value)
    return value if raw is None else readable(raw) or _unpacked(raw)


def _unpacked(raw: bytes) -> str | None:
    reader = zlib.decompressobj(_ANY_HEADER)
    try:
        found = reader.decompress(raw, _MAX_BYTES)
    except zlib.error:
        return None
    if reader.unconsumed_tail:
        raise ChatModelError("The chat model's answer has sealed data that is too long to be judged.")
    return found.decode("utf-8", "replace")


class Sealer:
    """Marks sealed data for one caller, and knows it again. `key` is the same in all workers."""

    def __init__(self, key: bytes, caller: str | None) -> None:
        self._key, self._caller = key, (caller or "").encode()

    def seal(self, value: str) -> str:
        """The data as the client gets it."""
        return f"{_VERSION}.{self._mac(value)}.{value}"

    def open(self, value: object) -> str | None:
        """The data as the server gave it; None for what was not handed out here to this caller."""
        if not isinstance(value, str):
            return None
        version, _, rest = value.partition(".")
        mac, _, data = rest.partition(".")
        is_ours = hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(data).encode())
        return data if version == _VERSION and is_ours else None

    def _mac(self, value: str) -> str:
        text = len(self._caller).to_bytes(2, "big") + self._caller + value.encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:40]
