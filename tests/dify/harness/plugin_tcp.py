"""Drives a Dify plugin folder in the SDK's remote-debug mode: we are the daemon, the plugin connects to us over TCP.

Beside tool calls this mode shows what the plugin *declares*: manifest, providers with credentials, tools with
parameters and output_schema, and its assets.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugin_process import Harness, PluginDied, plugin_env


class TcpPlugin(Harness):
    def __init__(
        self,
        plugin_dir: str | os.PathLike[str],
        *,
        python: str,
        key: str = "debug-key",
        env: Mapping[str, str] | None = None,
        start_timeout: float = 60,
    ) -> None:
        super().__init__()
        self.declarations: dict[str, Any] = {}  # "tool" -> list of providers, ...
        self.assets: dict[str, bytes] = {}
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(start_timeout)
            port = listener.getsockname()[1]
            self.process = subprocess.Popen(
                [python, "-m", "main"],
                cwd=Path(plugin_dir),
                env=plugin_env(
                    {
                        "INSTALL_METHOD": "remote",
                        "REMOTE_INSTALL_URL": f"127.0.0.1:{port}",
                        "REMOTE_INSTALL_KEY": key,
                        **(env or {}),
                    }
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                self._socket, _ = listener.accept()
            except TimeoutError:
                self.process.kill()
                self.process.wait(10)
                raise PluginDied(f"the plugin did not connect within {start_timeout} s") from None
        self._socket.settimeout(start_timeout)
        self._lines = self._socket.makefile("rb")
        self._read_declarations(key)
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read_events, daemon=True)
        self._reader.start()
        if not self.ready.wait(start_timeout):
            self.close()
            raise PluginDied(f"no heartbeat within {start_timeout} s")

    def _next(self) -> dict[str, Any]:
        while True:
            line = self._lines.readline()
            if not line:
                raise EOFError
            if line.strip():
                return json.loads(line)

    def _read_declarations(self, key: str) -> None:
        while True:
            message = self._next()
            kind, data = message.get("type"), message.get("data") or {}
            if kind == "handshake":
                if data != {"key": key}:
                    raise PluginDied(f"unexpected handshake: {data}")
            elif kind == "asset_chunk":
                self.assets[data["filename"]] = self.assets.get(data["filename"], b"") + base64.b64decode(data["data"])
            elif kind == "end":
                break
            elif isinstance(kind, str) and kind.endswith("_declaration"):
                self.declarations[kind.removesuffix("_declaration")] = data
            else:
                self._dispatch(message)  # log events may come in between
        self.manifest = self.declarations["manifest"]

    def _read_events(self) -> None:
        with contextlib.suppress(EOFError, OSError, ValueError):
            while True:
                self._dispatch(self._next())
        self._hang_up()

    def _send(self, line: bytes) -> None:
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise PluginDied(self._why_dead()) from error

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if hasattr(self, "_reader"):
            self._reader.join(5)
        self._lines.close()
        self._socket.close()
