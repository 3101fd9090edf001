"""Servers that one name stands for: found, and looked for again while the service runs.

A headless Service of Kubernetes has the addresses of all pods that are ready. Each of them becomes a server of its own
here, with its own connections and its own record, so that one bad pod does not spoil what the others answer.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic
from urllib.parse import urlsplit

from ..observability.logs import log_event
from .replicas import AnyServer, Replica, ReplicaSet

__all__ = ["LOOKUP_PAUSE_S", "Resolver"]

_log = logging.getLogger("moderation.upstream")

# So that a new pod is used within ten seconds, and the processes don't ask in step.
LOOKUP_PAUSE_S = (4.0, 6.0)
"""The least and the most time between two lookups of a name."""


def _addresses_of(url: str) -> list[str]:
    """The IP addresses that the host of a URL has now. Raises OSError."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found})


@dataclass(slots=True)
class _Name(Generic[AnyServer]):
    """One URL, the servers found for it, by their addresses, and whether the last lookup gave none."""

    url: str
    servers: dict[str, Replica[AnyServer]]
    is_missing: bool = False


class Resolver(Generic[AnyServer]):
    """Keeps a `ReplicaSet` as the names say. Its thread begins with `start` and ends with `close`.

    A name that has no address at the moment, or can't be looked up, keeps its servers: when all pods are too busy to
    seem ready, or the name server is away, asking them is better than asking nobody.
    """

    def __init__(
        self,
        replicas: ReplicaSet[AnyServer],
        urls: Sequence[str],
        *,
        make: Callable[[str, str], Replica[AnyServer]],
        pause_s: tuple[float, float] = LOOKUP_PAUSE_S,
    ) -> None:
        self._replicas = replicas
        self._names: list[_Name[AnyServer]] = [_Name(url, {}) for url in urls]
        self._make = make
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._is_found = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resolve upstreams", daemon=True)

    def start(self, *, wait_s: float) -> None:
        """Begin, and wait so long for the first answers."""
        self._thread.start()
        self._is_found.wait(wait_s)

    def close(self) -> None:
        """End the thread; a lookup under way may still come to its end."""
        self._stopping.set()

    def _run(self) -> None:
        chance = random.Random()  # noqa: S311  # no secret
        while True:
            for name in self._names:
                self._refresh(name)
            self._is_found.set()
            if self._stopping.wait(chance.uniform(*self._pause_s)):
                return

    def _refresh(self, name: _Name[AnyServer]) -> None:
        try:
            found = _addresses_of(name.url)
        except (OSError, UnicodeError):
            found = []
        if self._stopping.is_set():
            return
        if not found:
            if not name.is_missing:
                name.is_missing = True
                log_event(_log, logging.WARNING, "upstream_name_unknown", upstream=urlsplit(name.url).netloc)
            return
        name.is_missing = False
        for address in set(found) - set(name.servers):
            replica = name.servers[address] = self._make(name.url, address)
            # The first ones are used as configured servers are, which `/readyz` proves.
            self._replicas.add(replica, in_use=not self._is_found.is_set())
        for address in set(name.servers) - set(found):
            self._replicas.drop(name.servers.pop(address))
