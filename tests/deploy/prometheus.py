"""A real Prometheus that scrapes what a test starts."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from processes import free_port

__all__ = ["Prometheus", "exposing", "program", "scraping"]

PATIENCE_S = 60


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is not on the path; tests/deploy/run.sh puts it there"
    return found


@dataclass
class Prometheus:
    """Its HTTP API."""

    port: int

    def get(self, path: str, **query: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def query(self, expression: str) -> list[Any]:
        answer = self.get("/api/v1/query", query=expression)
        assert answer["status"] == "success", (expression, answer)
        return list(answer["data"]["result"])

    def found(self, expression: str) -> list[Any]:
        """What a query finds, once it finds something: a busy machine misses scrapes, and then there is a gap."""
        result: list[Any] = []

        def is_there() -> bool:
            result[:] = self.query(expression)
            return bool(result)

        self.until(is_there)
        return result

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.get("/api/v1/targets")
            time.sleep(0.2)


@contextmanager
def scraping(targets: Mapping[str, int], *, rules: Path) -> Iterator[Prometheus]:
    """A Prometheus with these rules that scrapes these jobs, by port, every half second."""
    folder, port = Path(tempfile.mkdtemp(prefix="prometheus-")), free_port()
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]} for job, target in targets.items()
    ]
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(rules)],
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    flags = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program("prometheus"), *flags, f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        )
    prometheus = Prometheus(port)

    def is_ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return bool(prometheus.query("vector(1)"))
        except OSError:
            return False

    try:
        prometheus.until(is_ready)
        yield prometheus
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(folder)


@contextmanager
def exposing(text: Callable[[], bytes]) -> Iterator[int]:
    """The port of a server whose /metrics is this text, made for each scrape."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
