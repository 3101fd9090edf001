"""The listening sockets of a worker, which it may share with others."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["Arrival", "NoDescriptorLeft", "Port"]

Arrival = tuple[socket.socket, Any]
"""A connected socket and the client's address."""

_ACCEPTS_PER_TURN = 16
# Of each new connection, per connection this worker has: whoever has fewest is first to accept, and two workers' are
# seldom more than a few apart. With many, waiting would only keep the port's queue long.
_HEAD_START_S = 20e-6
_FEW_CONNECTIONS = 100
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# Reset before it was accepted, or a fault of the network: the next one may be good.
_OF_ONE_CLIENT = (errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH)


class NoDescriptorLeft(Exception):
    """A client waits, and there is no file descriptor for it; the message is the error's name."""


class Port:
    """Where connections come in."""

    def __init__(self, listeners: Sequence[socket.socket], epoll: select.epoll, *, is_shared: bool) -> None:
        self._epoll = epoll
        self._is_shared = is_shared
        self._listeners = {listener.fileno(): listener for listener in listeners}
        for fd, listener in self._listeners.items():
            listener.setblocking(False)
            epoll.register(fd, select.EPOLLIN)

    def __contains__(self, fd: int) -> bool:
        return fd in self._listeners

    @property
    def is_open(self) -> bool:
        """Whether connections still come in."""
        return bool(self._listeners)

    def accept(self, fd: int, *, connections: int) -> Iterator[Arrival]:
        """Some of those that wait at this socket; `connections` is how many the worker has. Raises NoDescriptorLeft."""
        is_patient = self._is_shared and connections < _FEW_CONNECTIONS
        if is_patient:
            time.sleep(connections * _HEAD_START_S)
        for _ in range(1 if is_patient else _ACCEPTS_PER_TURN):
            arrival = _accept(self._listeners[fd])
            if arrival is None:
                return
            yield arrival

    def close(self) -> list[Arrival]:
        """Take in those that wait already, and close the port.

        Who connects between the last look and the closing is reset; in this order there is next to no time for it.
        """
        arrivals: list[Arrival] = []
        for fd, listener in self._listeners.items():
            self._epoll.unregister(fd)
            try:
                while (arrival := _accept(listener)) is not None:
                    arrivals.append(arrival)
            except NoDescriptorLeft:
                pass
            listener.close()
        self._listeners = {}
        return arrivals


def _accept(listener: socket.socket) -> Arrival | None:
    while True:
        try:
            return listener.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                raise NoDescriptorLeft(errno.errorcode[error.errno]) from None
            if error.errno not in _OF_ONE_CLIENT:
                return None
