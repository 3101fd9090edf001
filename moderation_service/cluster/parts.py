"""What of a service is shared with other gateways, or is this one's own where no cluster memory is set."""

from __future__ import annotations

from dataclasses import dataclass

from ..config.settings import Settings
from ..core.verdict_cache import VerdictCache
from ..errors import ConfigurationError
from ..streaming.shared_store import SharedStore
from .memory import ClusterEvents, ClusterMemory
from .store import ClusterStore
from .verdicts import ClusterVerdictCache

__all__ = ["ClusterParts"]

_MIN_KEY_CHARS = 16


@dataclass(frozen=True, slots=True)
class ClusterParts:
    """Makes the memories of a service. Safe to use before a fork."""

    memory: ClusterMemory | None

    @classmethod
    def of(cls, settings: Settings, *, version: str, events: ClusterEvents) -> ClusterParts:
        """As the settings say; gateways of another version find nothing of ours. Raises ConfigurationError."""
        url, key = settings.cluster_memory, settings.cluster_key
        if url is None:
            return cls(None)
        if key is None or len(key.value) < _MIN_KEY_CHARS:
            raise ConfigurationError(
                f"cluster_key: cluster_memory needs a secret of {_MIN_KEY_CHARS} characters or more, the same in all "
                "gateways."
            )
        return cls(ClusterMemory(url, key, prefix=settings.cluster_prefix, version=version, events=events))

    def members(self) -> int:
        """How many processes share the model servers, as far as is known."""
        return 1 if self.memory is None else self.memory.members

    def key(self, purpose: str) -> bytes | None:
        """A key that all gateways have; None where there is no cluster."""
        return None if self.memory is None else self.memory.derived(purpose)

    def store(self, kind: str, *, size_bytes: int, ttl_s: float) -> SharedStore:
        """A memory for short values by name."""
        if self.memory is None:
            return SharedStore(size_bytes=size_bytes, ttl_s=ttl_s)
        return ClusterStore(self.memory, kind=kind, size_bytes=size_bytes, ttl_s=ttl_s)

    def verdicts(self, *, size: int, ttl_s: float) -> VerdictCache:
        """A memory for verdicts."""
        if self.memory is None:
            return VerdictCache(size=size, ttl_s=ttl_s)
        return ClusterVerdictCache(self.memory, size=size, ttl_s=ttl_s)
