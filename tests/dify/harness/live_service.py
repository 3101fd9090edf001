"""The real service on a free port of this machine: as its own process, or around an engine of the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from werkzeug.serving import make_server

from moderation_service.config.settings import Secret, Settings
from moderation_service.engines import Engine
from moderation_service.web import create_app
from moderation_service.web.service import build_service


class _Addressed:
    """A service with an address and a key."""

    url: str
    key: str

    def credentials(self, **more: str) -> dict[str, str]:
        return {"base_url": self.url, "api_key": self.key, **more}


class WordService(_Addressed):
    """The web layer around this engine, in a thread."""

    def __init__(self, engine: Engine, *, key: str) -> None:
        self.key = key
        app = create_app(service=build_service(Settings(api_keys=(Secret(key),), log_level="error"), engine=engine))
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> WordService:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class LiveService(_Addressed):
    """The service with the embedded engine as users start it. What it logs goes to the file `log`."""

    def __init__(self, *, key: str, log: Path, settings: Mapping[str, str] | None = None) -> None:
        self.key = key
        self.log = log
        self._settings = {f"MODERATION_{name.upper()}": value for name, value in (settings or {}).items()}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> LiveService:
        env = {name: value for name, value in os.environ.items() if not name.startswith("MODERATION_")}
        env |= {"MODERATION_API_KEYS": self.key, "MODERATION_STORE": "off", **self._settings}
        command = [sys.executable, "-m", "moderation_service", "serve", "--port", str(self.port), "--workers", "2"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        self.process.wait(30)

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
