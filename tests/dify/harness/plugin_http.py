"""Drives a Dify plugin folder in the SDK's serverless mode: an HTTP server, as the Marketplace's install test does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plugin_process import Harness, PluginDied, PluginError, plugin_env

# A proxy configured in the environment must not get between us and the plugin.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HttpPlugin(Harness):
    def __init__(
        self,
        plugin_dir: str | os.PathLike[str],
        *,
        python: str,
        env: Mapping[str, str] | None = None,
        start_timeout: float = 60,
    ) -> None:
        super().__init__()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [python, "-m", "main"],
            cwd=Path(plugin_dir),
            env=plugin_env(
                {
                    "INSTALL_METHOD": "serverless",
                    "SERVERLESS_HOST": "127.0.0.1",
                    "SERVERLESS_PORT": str(port),
                    **(env or {}),
                }
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + start_timeout
        while True:
            try:
                with _direct.open(self.url + "/health", timeout=2) as answer:
                    if answer.read() == b"OK":
                        return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise PluginDied(f"the plugin did not answer /health (status {self.process.poll()})")
            time.sleep(0.1)

    def request(self, data: Mapping[str, Any], *, timeout: float = 120, **envelope: Any) -> Iterator[dict[str, Any]]:
        body = {"session_id": str(uuid.uuid4()), "event": "request", "data": dict(data), **envelope}
        post = urllib.request.Request(
            self.url + "/invoke", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with _direct.open(post, timeout=timeout) as answer:
            for line in answer:
                if not line.strip():
                    continue
                message = json.loads(line)["data"]
                if message["type"] == "stream":
                    yield message["data"]
                elif message["type"] == "error":
                    raise PluginError(message["data"])
                elif message["type"] == "end":
                    return
        raise PluginDied("the answer stopped before its end message")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
