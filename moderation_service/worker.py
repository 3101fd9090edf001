"""gunicorn's threaded worker, with four changes.

1. *A connection stays with its thread for a moment.* The stock worker hands every keep-alive connection back to its
   poller after each reply and to another thread for the next request; the two hand-overs cost more than all of this
   service's own work. Here the thread first waits a few milliseconds for the next request, unless somebody else
   waits for a thread, or so many are connected that waiting threads would only get in each other's way.
2. *Refusals are JSON.* A request that is not HTTP never reaches the app; the stock worker answers it with a page.
3. *Who sends nothing holds no thread.* The stock worker gives a new connection five seconds of a thread for its first
   byte, and one that stalls in the middle of a request a thread for ever: as many of them as there are threads, and
   nobody else is served.
4. *A worker that ends closes its port.* The stock worker keeps it open, without accepting, until its last request is
   answered; clients that connect meanwhile wait and are reset in the end.
"""

from __future__ import annotations

import json
import logging
import select
import socket
import struct
from typing import Any

from gunicorn import util
from gunicorn.workers import gthread

from .errors import InternalError, InvalidRequest
from .logs import log_event

__all__ = ["Worker"]

_LINGER_MS = 5
_LINGERING_SHARE = 4
"""Connections stay with their threads while there are at most a fourth as many of them as threads (measured)."""
_FIRST_BYTE_S = 0.02
_log = logging.getLogger("moderation.server")


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """The worker class that `moderation_service.server` runs."""

    def handle(self, conn: Any) -> object:
        """Serve requests of this connection for as long as they follow closely, then give it back."""
        if not conn.initialized:
            if self.alive and not conn.data_ready and not conn.wait_for_data(_FIRST_BYTE_S):
                return gthread._DEFER
            # A pause of this length ends the read with an OSError: gunicorn then closes the connection.
            timeval = struct.pack("ll", self.cfg.keepalive, 0)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        while True:
            result = super().handle(conn)
            if result is not True or not self._next_request_is_here(conn):
                return result

    def _next_request_is_here(self, conn: Any) -> bool:
        busy = self.nr_conns > self.cfg.threads // _LINGERING_SHARE or self.tpool._work_queue.qsize()
        if busy or not self.alive or conn.parser.unreader.buf.getvalue():
            return False
        poller = select.poll()
        poller.register(conn.sock, select.POLLIN)
        return bool(poller.poll(_LINGER_MS))

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or cease to accept; at the end accept who is waiting already, and close the port."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            poller = select.poll()
            poller.register(listener, select.POLLIN)
            while poller.poll(0):
                self.accept(listener)
            listener.close()

    def finish_request(self, conn: Any, fs: Any) -> None:
        """As in the stock worker, but a connection without a first byte is not closed unheard by a worker that ends."""
        if not self.alive and not fs.cancelled() and fs.exception() is None and fs.result() is gthread._DEFER:
            self.enqueue_req(conn)  # `handle` now waits for it with the stock worker's patience
            return
        super().finish_request(conn, fs)

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: BaseException) -> None:
        """Answer what gunicorn could not read, or an exception that left the app, in our error shape."""
        name = type(exc).__name__
        is_callers = type(exc).__module__.startswith("gunicorn.http.errors")
        log_event(_log, logging.WARNING if is_callers else logging.ERROR, "bad_http", error=name)
        if is_callers:
            error: InvalidRequest | InternalError = InvalidRequest(f"This is not an HTTP request we can read ({name}).")
        else:
            error = InternalError("Something went wrong in the service.")
        status = {"LimitRequestLine": 414, "LimitRequestHeaders": 431}.get(name, error.status)
        body = json.dumps({"error": error.to_json()}).encode()
        head = f"HTTP/1.1 {status} Error\r\nConnection: close\r\nContent-Type: application/json\r\n"
        try:
            util.write_nonblock(client, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        except OSError:
            log_event(_log, logging.DEBUG, "client_gone")
