"""A gunicorn worker whose threads share all connections.

gunicorn's own threaded worker has one thread that waits for input on all connections, and hands each request to a
pool and back. Those hand-overs, and the interpreter lock that is given up at every system call on the way, cost more
than all of this service's own work, and several times as much when many are connected. Here every thread waits for
the next connection with input, answers its request and waits again; the kernel wakes one of them. The parser, the
WSGI environment and the form of the reply are gunicorn's. Besides:

1. *Who sends nothing holds no thread*, and who stalls within a request holds one for `keep_alive_s` at most, or for
   a few times as long by sending a little now and then.
2. *Refusals are JSON.* A request that is not HTTP never reaches the app; gunicorn would answer it with a page.
3. *A worker that ends closes its port.* gunicorn's keeps it open, without accepting, until its last request is
   answered; clients that connect meanwhile wait and are reset in the end.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import select
import socket
import threading
import time
from time import monotonic
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData
from gunicorn.workers import base

from ..errors import InternalError, InvalidRequest
from ..observability.logs import collect_access_lines, log_event, write_access_lines
from ..upstream.crew import Crew
from ..upstream.prompt_io import has_input, watch_again
from .connection import Connection, Response

__all__ = ["Worker"]

_log = logging.getLogger("moderation.server")

_HOUSEKEEPING_S = 1.0
_RELIEF_S = 0.01
# Measured: with two a request waits for a thread to be woken, on a busy machine for milliseconds; with eight they
# begin to get in each other's way.
_AWAKE = 4
# A worker that ends keeps idle connections that long, for a request that is on its way already.
_LAST_REQUEST_S = 2.0
_ENDING_STEP_S = 0.02
# Per connection: two workers' are then seldom more than a few apart. At most 2 ms, with a hundred.
_HEAD_START_S = 20e-6
_MOST_COUNTED = 100
# What is not finished when the worker is told to end at once.
_END_THREADS_S = 1.0
# Once: while a thread has a connection, what comes on it wakes no other.
_WATCHED = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
# There is always room to send, so this is ready at once, behind all others that are.
_READY = _WATCHED | select.EPOLLOUT


class _Config:
    """gunicorn's configuration with every value looked up once; each look-up costs it several calls."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._cfg, name)
        setattr(self, name, value)
        return value


class Worker(base.Worker):  # type: ignore[misc]
    """The worker class that `moderation_service.server.gunicorn_app` runs."""

    def init_process(self) -> None:
        """Prepare what must not be shared with other processes, then run."""
        self._open: set[Connection] = set()
        # By descriptor. Who takes a connection out of here, in one step, is the only one to touch it.
        self._idle: dict[int, Connection] = {}
        self._idle_until = math.inf
        self._epoll = select.epoll()
        self._epoll_fd = self._epoll.fileno()
        self._end, self._end_writer = os.pipe()
        self._crew = Crew(awake=_AWAKE, on_all_busy=self._wake_up)
        self._is_watchful = False
        self._epoll.register(self._end, select.EPOLLIN)
        self._threads = [
            threading.Thread(target=self._serve_until_the_end, name=f"request-{number}", daemon=True)
            for number in range(self.cfg.threads)
        ]
        self._config = _Config(self.cfg)
        super().init_process()

    def run(self) -> None:
        """Accept connections until told to end; then finish what was begun."""
        collect_access_lines()
        for thread in self._threads:
            thread.start()
        listeners = {listener.fileno(): listener for listener in self.sockets}
        poller = select.poll()
        poller.register(self.PIPE[0], select.POLLIN)
        for listener in self.sockets:
            listener.setblocking(False)
        tidy_at = 0.0
        while self.alive and self.ppid == os.getppid():
            has_room = len(self._open) < self.cfg.worker_connections
            for fd in listeners:
                poller.register(fd, select.POLLIN if has_room else 0)
            for fd, _ in poller.poll((_RELIEF_S if self._is_watchful else _HOUSEKEEPING_S) * 1000):
                if fd in listeners:
                    self._let_others_accept()
                    self._accept(listeners[fd])
                else:
                    os.read(fd, 4096)  # a signal, whose handler has run, or `_wake_up`
            # In this order: a wake-up that comes in between must not be forgotten.
            self._is_watchful = False
            if self._crew.relieve():
                self._is_watchful = True
            if monotonic() >= tidy_at:
                tidy_at = monotonic() + _HOUSEKEEPING_S
                self.notify()
                self._close_expired()
                write_access_lines()
        self._finish()

    def _wake_up(self) -> None:
        """No thread waits for requests any more: look after them more often until one does."""
        if not self._is_watchful:
            self._is_watchful = True
            os.write(self.PIPE[1], b"\0")

    def handle_quit(self, sig: int, frame: object) -> None:
        """SIGINT or SIGQUIT: end at once."""
        self.alive = False
        self._end_threads()
        super().handle_quit(sig, frame)

    def _let_others_accept(self) -> None:
        """Wait the longer the more connections this worker has; all are woken, and who has fewest is first."""
        if self.cfg.workers > 1:
            time.sleep(min(len(self._open), _MOST_COUNTED) * _HEAD_START_S)

    def _accept(self, listener: socket.socket) -> bool:
        """Take the next connection that waits, if there is one."""
        try:
            connected, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                # The listener stays ready: without a pause this loop would only spin.
                log_event(_log, logging.ERROR, "cannot_accept", reason=errno.errorcode[error.errno])
                time.sleep(0.1)
            return error.errno == errno.ECONNABORTED
        try:
            connection = Connection(connected, cfg=self._config, client=client, server=listener.getsockname())
        except OSError:
            connected.close()  # the client is gone already
            return True
        self._open.add(connection)
        self._idle[connection.fd] = connection
        self._epoll.register(connection.fd, _WATCHED)
        return True

    def _close_expired(self) -> None:
        """Close the connections that were idle for too long, but not those with a request no thread has time for."""
        now = monotonic()
        for fd, connection in list(self._idle.items()):
            is_over = min(connection.expires_at, self._idle_until) < now
            if is_over and (connection.is_closing or not has_input(fd)) and self._idle.pop(fd, None):
                self._close(connection)

    def _finish(self) -> None:
        """Accept who is waiting already, close the port, and wait for the requests under way."""
        for listener in self.sockets:
            while self._accept(listener):
                pass
            listener.close()
        ends_at = monotonic() + self.cfg.graceful_timeout
        self._idle_until = monotonic() + _LAST_REQUEST_S
        while self._open and monotonic() < ends_at:
            self.notify()
            time.sleep(_ENDING_STEP_S)
            self._crew.relieve()
            self._close_expired()
        self._end_threads()

    def _end_threads(self) -> None:
        os.write(self._end_writer, b"\0")
        self._crew.end()
        ends_at = monotonic() + _END_THREADS_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, ends_at - monotonic()))
        write_access_lines()

    def _serve_until_the_end(self) -> None:
        """What every thread does."""
        crew = self._crew
        while crew.enter():
            fd = self._next_ready()
            crew.begin()
            if fd == self._end:
                return
            connection = self._idle.pop(fd, None)
            # None: it expired at this very moment.
            if connection is not None:
                self._serve(connection)
            crew.finish()

    def _next_ready(self) -> int:
        """The next connection with input, after the others that have some."""
        # This gives the interpreter's lock up even if it need not wait, so that those whose model server has answered
        # come first; otherwise, when all are busy, some of them would wait for most of a second.
        found = self._epoll.poll(0, 1)
        if not found:
            write_access_lines()
            found = self._epoll.poll(-1, 1)
        fd: int = found[0][0]
        return fd

    def _serve(self, connection: Connection) -> None:
        """Answer one request, or go on closing, and give the connection back."""
        try:
            is_kept = not connection.is_closing and self._answer(connection)
        except (NoMoreData, StopIteration, OSError):
            is_kept = False
            log_event(_log, logging.DEBUG, "client_gone")
        except Exception as error:  # what the parser refuses, or what left the app; the thread must live on
            is_kept = False
            self._refuse(connection, error)
        if is_kept:
            connection.expires_at = monotonic() + self._config.keepalive
        elif not connection.is_closing:
            connection.begin_to_close()
        if connection.is_closing and not connection.discard_input():
            self._close(connection)
        else:
            self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        is_ready = not connection.is_closing and connection.has_read_ahead()
        # From here on it may be another thread's.
        self._idle[connection.fd] = connection
        watch_again(self._epoll_fd, connection.fd, _READY if is_ready else _WATCHED)

    def _close(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    def _answer(self, connection: Connection) -> bool:
        """Answer one request; False if the connection can't be used for another. Raises what gunicorn's parser does."""
        connection.begin_request()
        request = next(connection.parser)
        response, environ = wsgi.create(
            request, connection, connection.client, connection.server, self._config, response_class=Response
        )
        environ["wsgi.multithread"] = True
        if not self.alive:
            response.force_close()
        parts = self.wsgi(environ, response.start_response)
        try:
            for part in parts:
                response.write(part)
            response.close()
        finally:
            if hasattr(parts, "close"):
                parts.close()
        # A deadline, any deadline, bounds what is read of a body that the app did not want.
        return not response.should_close() and connection.parser.finish_body(deadline=math.inf)

    def _refuse(self, connection: Connection, error: Exception) -> None:
        """Answer what gunicorn could not read, or an exception that left the app, in our error shape."""
        name = type(error).__name__
        is_callers = type(error).__module__.startswith("gunicorn.http.errors")
        log_event(_log, logging.WARNING if is_callers else logging.ERROR, "bad_http", error=name)
        if connection.has_answered:
            return  # a second reply would be read as a part of the first
        if is_callers:
            shown: InvalidRequest | InternalError = InvalidRequest(f"This is not an HTTP request we can read ({name}).")
        else:
            shown = InternalError("Something went wrong in the service.")
        status = {"LimitRequestLine": 414, "LimitRequestHeaders": 431}.get(name, shown.status)
        body = json.dumps({"error": shown.to_json()}).encode()
        head = f"HTTP/1.1 {status} Error\r\nConnection: close\r\nContent-Type: application/json\r\n"
        try:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        except OSError:
            log_event(_log, logging.DEBUG, "client_gone")
