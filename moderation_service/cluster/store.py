"""The workers' own memory, and that of all gateways behind it."""

from __future__ import annotations

from ..streaming.shared_store import SharedStore
from .memory import ClusterMemory

__all__ = ["ClusterStore"]


class ClusterStore(SharedStore):
    """A `SharedStore` whose values the other gateways find too.

    The cluster's value goes before the own one, which may be an earlier one: another gateway may have gone on with the
    same call. The own one is for when the cluster memory is away.
    """

    def __init__(self, memory: ClusterMemory, *, kind: str, size_bytes: int, ttl_s: float) -> None:
        super().__init__(size_bytes=size_bytes, ttl_s=ttl_s)
        self._cluster = memory
        self._kind = kind.encode() + b" "

    def put(self, name: bytes, value: bytes) -> bool:
        """Remember it here and there; False if it is too long for here, or the store is off."""
        is_kept = super().put(name, value)
        if is_kept:
            self._cluster.put(self._kind + name, value, ttl_s=self._ttl_s)
        return is_kept

    def get(self, name: bytes) -> bytes | None:
        """The value of all gateways, or else the own one."""
        if not self.is_on:
            return None
        found = self._cluster.get(self._kind + name)
        return super().get(name) if found is None else found
