"""The real service with the embedded engine, as its own process on a free port of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


class LiveService:
    """Started on entry, ended on exit. What it logs goes to the file `log`."""

    def __init__(self, *, key: str, log: Path) -> None:
        self.key = key
        self.log = log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> LiveService:
        env = {name: value for name, value in os.environ.items() if not name.startswith("MODERATION_")}
        env["MODERATION_API_KEYS"] = self.key
        command = [sys.executable, "-m", "moderation_service", "serve", "--port", str(self.port), "--workers", "2"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    def credentials(self, **more: str) -> dict[str, str]:
        return {"base_url": self.url, "api_key": self.key, **more}

    def logged(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def _wait(self) -> None:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + 60
        while True:
            try:
                with direct.open(self.url + "/readyz", timeout=5):
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise RuntimeError(f"the service did not get ready: {self.logged()[-3000:]}") from None
                time.sleep(0.1)
