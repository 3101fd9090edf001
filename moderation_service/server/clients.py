"""The open connections of a worker: how they come, and which of them makes room for a new one."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Iterable, Iterator
from time import monotonic

from ..observability.logs import log_event
from .connection import Connection, State
from .port import Arrival, NoDescriptorLeft, Port

__all__ = ["WATCHED", "Clients"]

_log = logging.getLogger("moderation.server")

WATCHED = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
"""What is watched for on a connection, all the time."""
_MAY_BE_CLOSED = (State.READING, State.WRITING, State.CLOSING)
_NO_DESCRIPTOR_PAUSE_S = 0.05


class Clients:
    """All connections, by descriptor; at most `limit`. Only the poller uses this."""

    def __init__(self, port: Port, epoll: select.epoll, *, limit: int, keep_alive_s: float) -> None:
        self._port = port
        self._epoll = epoll
        self._limit = limit
        self._keep_alive_s = keep_alive_s
        self._open: dict[int, Connection] = {}
        # Those that never had an authorised request, oldest first.
        self._strangers: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        """A copy: connections may be closed meanwhile."""
        return iter(list(self._open.values()))

    def get(self, fd: int) -> Connection | None:
        """The connection of this descriptor."""
        return self._open.get(fd)

    def accept(self, fd: int) -> None:
        """Take in those that wait at the port, or some of them."""
        try:
            self._add(self._port.accept(fd, connections=len(self._open)))
        except NoDescriptorLeft as error:
            if not self._make_room():
                # The port stays ready: without a pause the poller would only spin.
                log_event(_log, logging.ERROR, "cannot_accept", reason=str(error))
                time.sleep(_NO_DESCRIPTOR_PAUSE_S)

    def admit_no_more(self) -> None:
        """Take in those that have connected already, and close the port; nobody stays for another request."""
        self._add(self._port.close())
        for connection in self._open.values():
            connection.closes = True

    def know(self, connection: Connection) -> None:
        """It has an authorised request."""
        if not connection.is_known:
            connection.is_known = True
            self._strangers.pop(connection, None)

    def close(self, connection: Connection) -> None:
        """Close a connection now."""
        self._strangers.pop(connection, None)
        self._open.pop(connection.fd, None)
        connection.close()

    def _add(self, arrivals: Iterable[Arrival]) -> None:
        for connected, client in arrivals:
            try:
                if len(self._open) >= self._limit and not self._make_room():
                    raise OSError("All connections are in use.")
                server, expires_at = connected.getsockname(), monotonic() + self._keep_alive_s
                connection = Connection(connected, client=client, server=server, expires_at=expires_at)
            except OSError:
                connected.close()  # no room, or the client is gone already
                continue
            self._open[connection.fd] = connection
            self._strangers[connection] = None
            self._epoll.register(connection.fd, WATCHED)

    def _make_room(self) -> bool:
        """Close the oldest stranger, else the one that has been idle for longest; False where all have a request."""
        least_missed = next((one for one in self._strangers if one.state in _MAY_BE_CLOSED), None)
        if least_missed is None:
            idle = (one for one in self._open.values() if one.state is State.READING and not one.has_begun)
            least_missed = min(idle, key=lambda one: one.expires_at, default=None)
        if least_missed is None:
            return False
        self.close(least_missed)
        return True
