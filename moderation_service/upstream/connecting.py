"""A socket to a server within a deadline: the name looked up, connected, and TLS agreed on.

The system's own ways know no deadline for the whole: a name server that is away holds `getaddrinfo` for half a minute,
each address of a name gets the full time to connect, and so does each byte of a TLS handshake. Each of them would hold
a thread of the service for longer than its caller waits.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

__all__ = ["connected", "looked_up"]

_Addresses = Sequence[tuple[Any, ...]]
# The time that a lookup gets where earlier addresses are known, so that some is left to try these.
_SHARE_OF_LOOKUP = 0.5


def connected(
    address: str, port: int, *, timeout_s: float, tls: ssl.SSLContext | None = None, name: str = ""
) -> socket.socket:
    """A socket that never blocks, connected, with TLS for `name` where asked for. Raises OSError or UnicodeError."""
    ends_at = monotonic() + timeout_s
    failure: OSError = TimeoutError("the time was over")
    places = looked_up(address, port, timeout_s=timeout_s)
    for left, (family, kind, protocol, _, place) in zip(range(len(places), 0, -1), places, strict=True):
        # One address that does not answer leaves time for the others.
        share_ends_at = monotonic() + (ends_at - monotonic()) / left
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            _connect(sock, place, share_ends_at)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock if tls is None else _with_tls(sock, tls, name, ends_at)
        except (OSError, ValueError) as error:
            sock.close()
            failure = error if isinstance(error, OSError) else OSError(str(error))
        except BaseException:
            sock.close()
            raise
    raise failure


def _connect(sock: socket.socket, place: Any, ends_at: float) -> None:
    try:
        sock.connect(place)
    except BlockingIOError:
        _wait(sock, select.POLLOUT, ends_at)
        reason = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if reason:
            raise OSError(reason, os.strerror(reason)) from None


def _with_tls(sock: socket.socket, tls: ssl.SSLContext, name: str, ends_at: float) -> ssl.SSLSocket:
    secured = tls.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secured.do_handshake()
                return secured
            except ssl.SSLWantReadError:
                _wait(secured, select.POLLIN, ends_at)
            except ssl.SSLWantWriteError:
                _wait(secured, select.POLLOUT, ends_at)
    except BaseException:
        secured.close()
        raise


def _wait(sock: socket.socket, event: int, ends_at: float) -> None:
    poller = select.poll()
    poller.register(sock, event)
    if not poller.poll(max(0.0, ends_at - monotonic()) * 1000):
        raise TimeoutError("the time was over")


class _Lookup:
    """One lookup of a name, in a thread of its own; all who want to know at that moment wait for it."""

    def __init__(self, address: str, port: int) -> None:
        self.found: _Addresses = ()
        self.failure: OSError | UnicodeError | None = None
        self.is_over = threading.Event()
        threading.Thread(target=self._run, args=(address, port), name="look up", daemon=True).start()

    def _run(self, address: str, port: int) -> None:
        try:
            self.found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self.failure = error
        self.is_over.set()


# By process, because a thread that looks something up does not go along when a process is forked.
_Key = tuple[int, str, int]
_under_way: dict[_Key, _Lookup] = {}
_known: dict[_Key, _Addresses] = {}
_lock = threading.Lock()


def looked_up(address: str, port: int, *, timeout_s: float) -> _Addresses:
    """The addresses to try, in order; those that were found last while the name server is away.

    As `socket.getaddrinfo` gives them. Raises OSError or UnicodeError; TimeoutError where none are known in time.
    """
    try:
        return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # a name
    key = (os.getpid(), address, port)
    with _lock:
        lookup = _under_way.get(key)
        if lookup is None or lookup.is_over.is_set():
            lookup = _under_way[key] = _started(address, port)
    known = _known.get(key)
    share = 1.0 if known is None else _SHARE_OF_LOOKUP
    if not lookup.is_over.wait(max(0.0, timeout_s) * share):
        if known is None:
            raise TimeoutError("the name was not looked up in time")
        return known
    if lookup.failure is not None:
        raise lookup.failure
    _known[key] = lookup.found
    return lookup.found


def _started(address: str, port: int) -> _Lookup:
    try:
        return _Lookup(address, port)
    except RuntimeError as error:  # no thread can be had
        raise OSError(str(error)) from error
