"""Socket calls that return at once and keep the interpreter lock.

Python gives its lock up around every system call on a socket. With many threads, another one is woken each time, only
to find the lock taken again a few microseconds later: those futile wake-ups cost more than all the rest of a request.
Calls that never wait need not give it up; these are `send` and `recv` of the C library with `MSG_DONTWAIT`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import threading

__all__ = ["has_input", "receive_now", "send_now", "watch_again"]

_BUFFER_BYTES = 32 * 1024
_SEND_FLAGS = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)
_NOT_NOW = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)

# PyDLL, unlike CDLL, keeps the interpreter lock during the call.
_libc = ctypes.PyDLL(None, use_errno=True)
_send = _libc.send
_send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
_send.restype = ctypes.c_ssize_t
_recv = _libc.recv
_recv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_recv.restype = ctypes.c_ssize_t
_EPOLL_CTL_MOD = 3
# struct epoll_event, which has no padding on x86 only.
_event = struct.Struct("=Ii4x" if platform.machine() in ("x86_64", "i686", "i386") else "=I4xi4x").pack


class _Buffer(threading.local):
    """Where a thread's input arrives; one for each, because the lock may go to another before it is copied."""

    def __init__(self) -> None:
        self.content = ctypes.create_string_buffer(_BUFFER_BYTES)
        self.address = ctypes.addressof(self.content)
        self.view = memoryview(self.content)


_buffer = _Buffer()


def send_now(fd: int, data: bytes) -> int:
    """Send as much as the socket takes without waiting; how many bytes that was. Raises OSError."""
    sent: int = _send(fd, data, len(data), _SEND_FLAGS)
    if sent < 0:
        _raise_unless_not_now()
        return 0
    return sent


def receive_now(fd: int, limit: int = _BUFFER_BYTES) -> bytes | None:
    """What has arrived, at most `limit` bytes or 32 KiB; empty at the end of the stream, None if nothing has.

    Raises OSError.
    """
    buffer = _buffer
    count: int = _recv(fd, buffer.address, min(limit, _BUFFER_BYTES), socket.MSG_DONTWAIT)
    if count < 0:
        _raise_unless_not_now()
        return None
    return bytes(buffer.view[:count])


def has_input(fd: int) -> bool:
    """Whether a read would return at once, be it with data, the end of the stream, or an error."""
    count: int = _recv(fd, _buffer.address, 1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    return count >= 0 or ctypes.get_errno() not in _NOT_NOW


def watch_again(epoll_fd: int, fd: int, events: int) -> None:
    """`select.epoll.modify`; a descriptor that is closed or not watched is left alone."""
    _libc.epoll_ctl(epoll_fd, _EPOLL_CTL_MOD, fd, _event(events, fd))


def _raise_unless_not_now() -> None:
    number = ctypes.get_errno()
    if number not in _NOT_NOW:
        raise OSError(number, os.strerror(number))
