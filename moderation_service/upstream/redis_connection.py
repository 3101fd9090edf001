"""Connections to Valkey or Redis whose lookup of the server's name has a deadline, as all else of them has.

The client's own way asks the system, which waits half a minute for a name server that is away: a request that counts
against its limits would wait for that.
"""

from __future__ import annotations

import socket
from typing import Any

from .connecting import connected

__all__ = ["connection_class"]

_LONGEST_S = 5.0


def connection_class(scheme: str) -> dict[str, Any]:
    """The option of the client that makes connections so; nothing for a socket that has no name to look up."""
    from redis.connection import Connection, SSLConnection

    class Prompt(Connection):
        """A connection to a name or an address."""

        def _connect(self) -> socket.socket:
            return _socket(self)

    class PromptTls(SSLConnection):
        """The same with TLS."""

        def _connect(self) -> socket.socket:
            sock = _socket(self)
            try:
                secured: socket.socket = self._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]
            except BaseException:
                sock.close()
                raise
            return secured

    classes = {"redis": Prompt, "rediss": PromptTls, "valkey": Prompt, "valkeys": PromptTls}
    found = classes.get(scheme)
    return {} if found is None else {"connection_class": found}


def _socket(connection: Any) -> socket.socket:
    sock = connected(connection.host, int(connection.port), timeout_s=connection.socket_connect_timeout or _LONGEST_S)
    sock.settimeout(connection.socket_timeout)
    return sock
