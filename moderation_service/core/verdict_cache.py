"""The same question costs once: a bounded memory of verdicts, by keyed hash. Text is never kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from time import monotonic

from cachetools import TTLCache

from ..ids import random_hex
from .conversation import Conversation
from .never_milder import at_least
from .verdict import Detail, Verdict

__all__ = ["Fingerprint", "VerdictCache", "says_more"]


class Fingerprint:
    """Keyed hashes of conversations. The key is random and never leaves the process family.

    Made before the workers are forked, so that all of them agree. A hash without the key tells nothing about the
    text, not even whether two services saw the same one.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or bytes.fromhex(random_hex(64))

    def of(self, conversation: Conversation) -> bytes:
        """16 bytes for the turns of this conversation: their roles, order, and exact text."""
        digest = hashlib.blake2b(key=self._key, digest_size=16)
        for message in conversation.messages:
            content = message.content.encode()
            # The length in front keeps two turns from reading like one.
            digest.update(b"%s %d " % (message.role.value.encode(), len(content)))
            digest.update(content)
        return digest.digest()


def says_more(earlier: tuple[Detail, Verdict], detail: Detail, verdict: Verdict) -> bool:
    """Whether what is remembered is all that this verdict, which is not milder, says, and more.

    A small model's is not where the larger one was asked: its probabilities may be milder than those of the larger one.
    """
    has_more = earlier[0] is Detail.FULL and detail is Detail.SEVERITY
    is_less_sure = earlier[1].by_small and not verdict.by_small
    return has_more and not is_less_sure and verdict.severity is earlier[1].severity


class VerdictCache:
    """Least recently used verdicts go first, all of them after `ttl_s`. Safe under threads.

    Kept per engine: a fallback's verdict is never put in, see `Moderator`. A verdict with full detail also answers a
    question for the severity alone. One that was read in part does not answer for full detail: the model may say more
    the next time. As long as a verdict is remembered, no later one replaces it by a milder one.
    """

    def __init__(self, *, size: int, ttl_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._entries: TTLCache[bytes, tuple[Detail, Verdict]] = TTLCache(maxsize=size, ttl=ttl_s, timer=clock)
        self._lock = threading.Lock()
        self.size = size

    def get(self, key: bytes, detail: Detail) -> Verdict | None:
        """The remembered verdict, with at least this detail; `key` stands for the text and for the model."""
        with self._lock:
            entry = self._entries.get(key)
        if entry is None or (detail is Detail.FULL and entry[0] is Detail.SEVERITY):
            return None
        return entry[1]

    def put(self, key: bytes, detail: Detail, verdict: Verdict) -> Verdict:
        """Remember this verdict, and return what it is in the light of the one remembered, which may be stricter.

        Does nothing when the cache has size 0.
        """
        if not self.size:
            return verdict
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                verdict = at_least(verdict, entry[1])
                if says_more(entry, detail, verdict):
                    return entry[1]
            if not verdict.may_be_worse:
                self._entries[key] = Detail.SEVERITY if verdict.read_in_part else detail, verdict
        return verdict

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)
