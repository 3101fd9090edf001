"""A server that sends bytes, waits and breaks connections as a script says, one script for each request."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["CLOSE", "HANG", "RESET", "Request", "ScriptedServer", "Step"]

HANG_S = 30.0


@dataclass(frozen=True)
class Request:
    path: str
    body: Any


class _Ending:
    """What a script may end with instead of keeping the connection."""


CLOSE, RESET, HANG = _Ending(), _Ending(), _Ending()
Step = bytes | float | _Ending
"""Bytes are sent, a number is a pause in seconds, an ending is the last."""
Script = Callable[[Request], Iterable[Step]]


class ScriptedServer:
    """Listens on a loopback port until it is stopped; can be started there again."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self._server: socketserver.ThreadingTCPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        scripted = self
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                scripted._open.add(self.connection)
                with suppress(OSError, ValueError):
                    scripted._serve(self.connection, self.rfile)
                scripted._open.discard(self.connection)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            request_queue_size = 1024

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hung up is not worth a word."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        """End like a killed process: the port is closed, and every connection breaks."""
        if self._server is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._server.socket.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.server_close()
        self._server = None

    def _serve(self, connection: socket.socket, lines: Any) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (request := _read(lines)) is not None:
            for step in self.script(request):
                if isinstance(step, bytes):
                    connection.sendall(step)
                elif isinstance(step, (int, float)):
                    if self._stopping.wait(step):
                        return
                elif step is HANG:
                    self._wait_for_the_client(connection)
                    return
                else:
                    if step is RESET:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return

    def _wait_for_the_client(self, connection: socket.socket) -> None:
        ends_at = time.monotonic() + HANG_S
        connection.settimeout(0.1)
        while time.monotonic() < ends_at and not self._stopping.is_set():
            with suppress(TimeoutError):
                if not connection.recv(4096):
                    return


def _read(lines: Any) -> Request | None:
    first = lines.readline().decode()
    if not first:
        return None
    _, path, _ = first.split()
    size = 0
    while (line := lines.readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            size = int(value)
    return Request(path, json.loads(lines.read(size)) if size else None)
