"""The same question costs once: a bounded memory of verdicts, by keyed hash. Text is never kept."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from time import monotonic

from cachetools import TTLCache

from .conversation import Conversation
from .verdict import Detail, Verdict

__all__ = ["Fingerprint", "VerdictCache"]


class Fingerprint:
    """Keyed hashes of conversations. The key is random and never leaves the process family.

    Made before the workers are forked, so that all of them agree. A hash without the key tells nothing about the
    text, not even whether two services saw the same one.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or os.urandom(32)

    def of(self, conversation: Conversation) -> bytes:
        """16 bytes for the turns of this conversation: their roles, order, and exact text."""
        digest = hashlib.blake2b(key=self._key, digest_size=16)
        for message in conversation.messages:
            content = message.content.encode()
            # The length in front keeps two turns from reading like one.
            digest.update(b"%s %d " % (message.role.value.encode(), len(content)))
            digest.update(content)
        return digest.digest()


class VerdictCache:
    """Least recently used verdicts go first, all of them after `ttl_s`. Safe under threads.

    Kept per engine: a fallback's verdict is never put in, see `Moderator`. A verdict with full detail also answers a
    question for the severity alone.
    """

    def __init__(self, *, size: int, ttl_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._entries: TTLCache[tuple[bytes, Detail], Verdict] = TTLCache(maxsize=size, ttl=ttl_s, timer=clock)
        self._lock = threading.Lock()
        self.size = size

    def get(self, key: bytes, detail: Detail) -> Verdict | None:
        """The remembered verdict, with at least this detail; `key` stands for the text and for the model."""
        with self._lock:
            verdict = self._entries.get((key, Detail.FULL))
            if verdict is None and detail is Detail.SEVERITY:
                verdict = self._entries.get((key, Detail.SEVERITY))
        return verdict

    def put(self, key: bytes, detail: Detail, verdict: Verdict) -> None:
        """Remember this verdict; does nothing when the cache has size 0."""
        if self.size:
            with self._lock:
                self._entries[key, detail] = verdict

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)
