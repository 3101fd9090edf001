"""Names and values as the server of the cluster memory sees them: neither can be read or made up without the key.

Who can write to that server is not trusted: a value that was not sealed by a gateway with the same key, for this very
name, in this format, and that is not too old counts as none. The name and the format stand in what the seal covers, so
a value can't be put under another name. Every value has a key of its own, made from a random salt, so no nonce is ever
used twice.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Callable

__all__ = ["Seal"]

_VERSION = b"\x01"
_SALT_BYTES = 16
_NONCE = bytes(12)
_EXPIRY = struct.Struct("<d")
_CLOCKS_DIFFER_S = 30.0
"""How far the clocks of two machines may be apart without a value being thought too old."""


class Seal:
    """Seals and opens values. `key` is a secret that all gateways share. Needs the package `cryptography`."""

    def __init__(self, key: bytes, *, clock: Callable[[], float] = time.time) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._key = hashlib.blake2b(key, digest_size=32, person=b"cluster memory").digest()
        self._cipher = AESGCM
        self._invalid = InvalidTag
        self._clock = clock

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose, the same in all gateways."""
        return hashlib.blake2b(purpose.encode(), key=self._key, digest_size=32).digest()

    def name(self, name: bytes) -> bytes:
        """What the server knows a value by."""
        return hashlib.blake2b(name, key=self._key, digest_size=24, person=b"name").hexdigest().encode()

    def sealed(self, name: bytes, value: bytes, *, ttl_s: float) -> bytes:
        """The value as it is kept."""
        salt = os.urandom(_SALT_BYTES)
        content = _EXPIRY.pack(self._clock() + ttl_s) + value
        return _VERSION + salt + self._cipher(self._of(salt)).encrypt(_NONCE, content, _VERSION + name)

    def opened(self, name: bytes, kept: bytes) -> bytes | None:
        """What was sealed under this name; None for anything else."""
        if kept[:1] != _VERSION:
            return None
        salt, content = kept[1 : 1 + _SALT_BYTES], kept[1 + _SALT_BYTES :]
        try:
            found: bytes = self._cipher(self._of(salt)).decrypt(_NONCE, content, _VERSION + name)
        except (self._invalid, ValueError):
            return None
        (expiry,) = _EXPIRY.unpack_from(found)
        return found[_EXPIRY.size :] if expiry + _CLOCKS_DIFFER_S > self._clock() else None

    def _of(self, salt: bytes) -> bytes:
        return hashlib.blake2b(salt, key=self._key, digest_size=32, person=b"value").digest()
