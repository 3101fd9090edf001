"""Keyed hashes of texts and of end users: what is equal can be found again, what it was can't. No I/O."""

from __future__ import annotations

import hashlib

__all__ = ["KeyedHashes"]

_BYTES = 16


class KeyedHashes:
    """Hashes of 16 bytes. Who lacks the key can't even try whether a text is the one they have in mind."""

    def __init__(self, key: bytes) -> None:
        # BLAKE2b takes 64 bytes at most.
        own = hashlib.sha256(key).digest()
        # Begun once for each purpose: to take in the key is half of the work.
        self._text, self._user, self._session = (
            hashlib.blake2b(key=own, person=purpose, digest_size=_BYTES) for purpose in (b"text", b"user", b"session")
        )

    def text(self, text: str) -> bytes:
        """Of a judged text, without the white space around it: people copy some along."""
        return _digest(self._text, text.strip())

    def user(self, app: str, user: str) -> bytes:
        """Of the id that an app has for an end user; equal ids of two apps are two people."""
        return _digest(self._user, f"{len(app)} {app}{user}")

    def session(self, secret: str) -> bytes:
        """Of a session's secret: the mark of those that were begun here."""
        return _digest(self._session, secret)


def _digest(begun: hashlib.blake2b, text: str) -> bytes:
    made = begun.copy()
    made.update(text.encode("utf-8", "surrogatepass"))
    return made.digest()
