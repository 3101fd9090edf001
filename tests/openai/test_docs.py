"""The Python examples of docs/openai.md, run as printed against the service as users start it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.openai

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/openai.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with the embedded engine under gunicorn."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("service") / "log"
    env = {name: value for name, value in os.environ.items() if not name.startswith("MODERATION_")}
    env["MODERATION_STORE"] = "off"
    command = [sys.executable, "-m", "moderation_service", "serve", "--port", str(port), "--workers", "1"]
    with log.open("wb") as output, subprocess.Popen(command, env=env, stdout=output, stderr=output, cwd=ROOT) as server:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz", log)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_until_ready(url: str, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    pytest.fail("the service did not start:\n" + log.read_text())


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
def test_an_example_prints_what_the_page_says(address: str, code: str, printed: str) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(code.replace("127.0.0.1:8787", address), {})
    assert output.getvalue() == printed
