"""The one thread of a worker that owns its connections, reads their requests and hands whole ones to the threads.

        port ── accept ──> READING ── head whole ──> triage: needs no thread? ──> answered here
                            │   ^                        │ body whole
           oldest strangers │   │ keep-alive             v
         make room for new  │   └──────── SERVED <── WAITING (bounded queue) ── full, or too long ──> 429, here
                            v               │ socket full
                         CLOSING <───── WRITING (the rest of a reply that is known)

A thread is taken from the moment a whole request of an authorised caller is there until its reply is made: clients that
are slow, silent or strangers cost a descriptor and some memory, of which both have bounds.

All connections are watched by one epoll, edge-triggered and registered once. An event marks a connection's `news`, and
only where the connection is the poller's it is read. A thread that is done makes it the poller's first and looks at
`news` after that, so nothing is missed between the two.
"""

from __future__ import annotations

import logging
import math
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from ..observability.logs import log_event, write_access_lines
from ..web.lifecycle import OVERLOADED
from ..web.triage import Place, Triage
from .body_memory import BodyMemory
from .clients import WATCHED, Clients
from .connection import READ_BYTES, Connection, State
from .exchange import Exchange, environ_of, refusal
from .port import Port
from .request_parser import BadRequest, Request
from .thread_pool import ThreadPool

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Poller", "PollerOptions"]

_log = logging.getLogger("moderation.server")

_HUNG_UP = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TLS_HANDSHAKE = 0x16
# A client that sends as fast as we read takes its turn with the others.
_READS_PER_TURN = 16
_EVENTS_PER_TURN = 64
_REFUSALS_PER_TURN = 16
# A request may take so many times as long to come as a connection may be idle.
_PAUSES = 3
_LINGER_S = 2.0
# Refusals of bodies up to this size are made by the poller itself, even if they have to read them.
_SMALL_BYTES = 64 * 1024
# Of the memory for bodies, what callers without a key may take, at the few doors whose refusal has to see the body.
_STRANGERS_SHARE = 1 / 8
_TICK_S = 0.05
_HOUSEKEEPING_S = 0.5
# A worker that ends keeps idle connections that long, for a request that is on its way already.
_LAST_REQUEST_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PollerOptions:
    """What the poller needs to know of the settings. `shares_port`: other workers accept from the same port."""

    threads: int
    keep_alive_s: float
    connections: int
    body_memory_bytes: int
    shares_port: bool


class Poller:
    """The connections of one worker.

    `wakeup` is a descriptor that becomes readable when a signal came. `grace_s` is asked then, and whenever the poller
    looks up: None means go on, a number means end, and let what was begun take so many seconds. `heartbeat` is called
    about twice a second.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        triage: Triage,
        listeners: Sequence[socket.socket],
        options: PollerOptions,
        wakeup: int,
        grace_s: Callable[[], float | None],
        heartbeat: Callable[[], None],
    ) -> None:
        self._app = app
        self._triage = triage
        self._keep_alive_s = options.keep_alive_s
        self._grace_s = grace_s
        self._heartbeat = heartbeat
        self._bodies = BodyMemory(options.body_memory_bytes)
        self._strangers_bodies = BodyMemory(int(options.body_memory_bytes * _STRANGERS_SHARE))
        # Given back by threads, with something left to do.
        self._inbox: deque[Connection] = deque()
        self._is_asleep = self._is_behind = False
        self._ends_at = self._last_call = math.inf
        self._epoll = select.epoll()
        self._port = Port(listeners, self._epoll, is_shared=options.shares_port)
        self._clients = Clients(self._port, self._epoll, limit=options.connections, keep_alive_s=options.keep_alive_s)
        self._wakeup = wakeup
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        for fd in (wakeup, self._bell):
            self._epoll.register(fd, select.EPOLLIN)
        self._pool = ThreadPool.for_requests(self._serve, threads=options.threads)
        self._aside = ThreadPool.aside(self._serve)

    def run(self) -> None:
        """Serve until told to end and every request that was read is answered, or the time for that is over."""
        self._pool.start()
        self._aside.start()
        tidy_at, grace_s = 0.0, None
        while self._port.is_open or len(self._clients):
            self._turn()
            now = monotonic()
            if (asked := self._grace_s()) != grace_s and asked is not None:
                grace_s = asked
                self._begin_to_end(now, grace_s)
            if now >= self._ends_at:
                break
            if now >= tidy_at:
                tidy_at = now + (_HOUSEKEEPING_S if self._port.is_open else _TICK_S)
                self._heartbeat()
                self._close_expired(now)
                write_access_lines()
        self._pool.end()
        self._aside.end()
        for connection in self._clients:
            self._clients.close(connection)
        write_access_lines()

    def _begin_to_end(self, now: float, grace_s: float) -> None:
        """Take in who has connected already, close the port, and from now on let nobody stay."""
        self._ends_at = min(self._ends_at, now + grace_s)
        self._last_call = min(self._last_call, now + _LAST_REQUEST_S)
        self._clients.admit_no_more()

    def _turn(self) -> None:
        """Wait for something to do, and do it."""
        self._is_asleep = True  # before looking into the inbox: who puts something in afterwards rings the bell
        has_waiting = self._pool.has_waiting() or self._aside.has_waiting()
        wait_s = _TICK_S if has_waiting or not self._port.is_open else _HOUSEKEEPING_S
        found = self._epoll.poll(0 if self._inbox or self._is_behind else wait_s, _EVENTS_PER_TURN)
        self._is_asleep = False
        for fd, events in found:
            connection = self._clients.get(fd)
            if connection is not None:
                connection.news = True
                if events & _HUNG_UP:
                    connection.has_hung_up = True
                self._attend(connection)
            elif fd in self._port:
                self._clients.accept(fd)
            elif fd in (self._wakeup, self._bell):
                os.read(fd, 4096)  # a signal, whose handler has run, or a thread that gave something back
        for _ in range(len(self._inbox)):
            self._attend(self._inbox.popleft())
        if has_waiting:
            self._refuse_overdue()
        if not found or self._pool.is_idle():
            write_access_lines()

    def _attend(self, connection: Connection) -> None:
        """Do what is to be done for a connection, if it is ours. A fault costs this connection, not the worker."""
        try:
            if connection.state is State.READING:
                self._read(connection)
            elif connection.state is State.ANSWERED:
                self._go_on(connection)
            elif connection.state is State.WRITING:
                self._write(connection)
            elif connection.state is State.CLOSING and not connection.discard_input():
                self._clients.close(connection)
        except Exception as error:
            log_event(_log, logging.ERROR, "connection_failed", error=type(error).__name__)
            self._clients.close(connection)

    # Requests are read

    def _read(self, connection: Connection) -> None:
        """Read what has come until there is a whole request, or a reason to refuse one."""
        parser = connection.parser
        for _ in range(_READS_PER_TURN):
            if not connection.news or parser.whole or parser.fault is not None:
                break
            connection.news = False
            try:
                data = connection.receive()
            except OSError:
                return self._clients.close(connection)
            if data is None:
                break
            if not data:
                connection.has_ended = True
                parser.end()
                break
            # After less than there was room for, there is nothing more; the end of the stream is another matter.
            connection.news = len(data) == READ_BYTES or connection.has_hung_up
            if not connection.has_begun:
                self._begin_request(connection, data)
            parser.feed(data)
            if parser.begun is not None and not self._admit_body(connection, parser.begun):
                return None
        self._use(connection)
        if connection.news and connection.state is State.READING:
            self._inbox.append(connection)
        return None

    def _begin_request(self, connection: Connection, data: bytes) -> None:
        connection.has_begun = True
        connection.expires_at = monotonic() + _PAUSES * self._keep_alive_s
        if data[0] == _TLS_HANDSHAKE:
            connection.parser.fault = BadRequest(400, "it begins like TLS, and this port speaks plain HTTP")

    def _use(self, connection: Connection) -> None:
        """Go on with what was read, if it is enough for that."""
        parser = connection.parser
        if parser.whole:
            self._dispatch(self._exchange(connection, parser.whole.popleft()))
        elif parser.fault is not None:
            self._refuse(connection, parser.fault)
        elif connection.has_ended:
            self._clients.close(connection)
        elif parser.begun is not None and connection.exchange is None:
            self._admit_body(connection, parser.begun)

    def _exchange(self, connection: Connection, request: Request) -> Exchange:
        """The exchange of a request whose head is there, made once."""
        exchange: Exchange | None = connection.exchange
        if exchange is None or exchange.request is not request:
            environ = environ_of(request, connection)
            exchange = connection.exchange = Exchange(connection, request, environ, self._triage.judge(environ))
            if exchange.entry.place is Place.THREAD:
                self._clients.know(connection)
        return exchange

    def _admit_body(self, connection: Connection, request: Request) -> bool:
        """Decide from its head whether the rest of a request is read; False if it was answered instead."""
        if connection.parser.whole:
            return True  # others are before it
        is_new = connection.exchange is None or connection.exchange.request is not request
        exchange = self._exchange(connection, request)
        if exchange.entry.body_bytes == 0 or exchange.is_too_large():
            self._answer_from_head(exchange)
            return False
        memory = self._bodies if exchange.entry.place is Place.THREAD else self._strangers_bodies
        if not connection.hold_body(request.size, memory):
            exchange.environ[OVERLOADED] = True
            self._answer_from_head(exchange)
            return False
        if is_new and request.expects_continue:
            try:
                connection.send(_CONTINUE)
            except OSError:
                self._clients.close(connection)
                return False
        return True

    # Requests are answered

    def _dispatch(self, exchange: Exchange) -> None:
        """Answer a whole request, or give it to those who do."""
        if exchange.entry.is_keyed_by_body:
            exchange.entry = self._triage.judge_body(exchange.environ, exchange.request.body)
        place = exchange.entry.place
        if place is Place.HERE or (place is Place.THREAD and exchange.is_too_large()):
            return self._answer_here(exchange)
        exchange.connection.state = State.WAITING
        if not (self._pool if place is Place.THREAD else self._aside).offer(exchange):
            self._refuse_load(exchange)
        return None

    def _answer_from_head(self, exchange: Exchange) -> None:
        """Answer a request whose body is not there and won't be read. The connection ends with that."""
        exchange.connection.closes = True
        return self._dispatch(exchange) if exchange.entry.place is Place.ASIDE else self._answer_here(exchange)

    def _refuse_load(self, exchange: Exchange) -> None:
        """Answer that there is too much to do, in the shape of the door that was asked."""
        is_first = OVERLOADED not in exchange.environ
        exchange.environ[OVERLOADED] = True
        if is_first and exchange.request.size > _SMALL_BYTES and self._aside.offer(exchange):
            return
        self._answer_here(exchange)

    def _refuse_overdue(self) -> None:
        """Refuse those that have waited for too long; not all at once, for others want an answer too."""
        self._is_behind = False
        for pool in (self._pool, self._aside):
            overdue = pool.overdue(most=_REFUSALS_PER_TURN)
            self._is_behind |= len(overdue) == _REFUSALS_PER_TURN
            for exchange in overdue:
                self._refuse_load(exchange)

    def _answer_here(self, exchange: Exchange) -> None:
        exchange.connection.state = State.SERVED
        exchange.connection.forget_body()
        exchange.answer(self._app, patience_s=None)
        if self._after(exchange):
            self._inbox.append(exchange.connection)

    def _serve(self, exchange: Exchange) -> None:
        """What a thread does with a whole request."""
        connection = exchange.connection
        connection.state = State.SERVED
        connection.forget_body()
        exchange.answer(self._app, patience_s=self._keep_alive_s)
        if self._after(exchange):
            self._inbox.append(connection)
            if self._is_asleep:
                self._is_asleep = False
                os.eventfd_write(self._bell, 1)

    def _after(self, exchange: Exchange) -> bool:
        """Give the connection of an answered request back to the poller; True if that has something to do."""
        connection = exchange.connection
        # Not `closes`, which may have been set since: what the reply has said of the connection holds.
        connection.is_over = not exchange.keeps_alive
        if connection.is_over or connection.unsent:
            connection.state = State.ANSWERED
            return True
        parser = connection.parser
        connection.has_begun = not parser.is_idle
        pauses = _PAUSES if connection.has_begun else 1
        connection.expires_at = monotonic() + pauses * self._keep_alive_s
        connection.state = State.READING  # from here on it is the poller's
        return connection.news or connection.has_begun or parser.fault is not None

    # Replies that the client takes slowly, and the end of a connection

    def _go_on(self, connection: Connection) -> None:
        """After a reply that is not sent yet, or that was the last."""
        if connection.unsent:
            connection.state = State.WRITING
            connection.expires_at = monotonic() + self._keep_alive_s
            self._epoll.modify(connection.fd, WATCHED | select.EPOLLOUT)
        else:
            self._begin_to_close(connection)

    def _write(self, connection: Connection) -> None:
        try:
            connection.flush()
        except OSError:
            return self._clients.close(connection)
        if connection.unsent:
            return None
        self._epoll.modify(connection.fd, WATCHED)
        if connection.is_over:
            return self._begin_to_close(connection)
        connection.state, connection.news = State.READING, True
        connection.has_begun = not connection.parser.is_idle
        connection.expires_at = monotonic() + self._keep_alive_s
        return self._read(connection)

    def _refuse(self, connection: Connection, fault: BadRequest) -> None:
        """Answer what is no request; the connection ends with that."""
        log_event(_log, logging.WARNING, "bad_http", status=fault.status, reason=fault.reason)
        try:
            connection.send(refusal(fault))
        except OSError:
            return self._clients.close(connection)
        return self._begin_to_close(connection)

    def _begin_to_close(self, connection: Connection) -> None:
        connection.forget_body()
        connection.parser.begun = None
        connection.state, connection.expires_at = State.CLOSING, monotonic() + _LINGER_S
        try:
            connection.end_output()
        except OSError:
            return self._clients.close(connection)
        if connection.has_ended or not connection.discard_input():
            self._clients.close(connection)
        return None

    def _close_expired(self, now: float) -> None:
        """Close the connections that were idle for too long, and refuse the requests that did not come in time."""
        for connection in self._clients:
            state = connection.state
            if state is State.READING:
                is_over = connection.expires_at < now or (not connection.has_begun and self._last_call < now)
                if is_over and connection.parser.begun is not None:
                    self._refuse(connection, BadRequest(400, "its body did not come in time"))
                elif is_over:
                    self._clients.close(connection)
            elif state in (State.WRITING, State.CLOSING) and connection.expires_at < now:
                self._clients.close(connection)
