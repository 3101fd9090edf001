"""What the terminal is told of the console when the service starts."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
import requests
from processes import SERVE_FAKE, environment, free_port, run_command, running, until

pytestmark = pytest.mark.slow


def entered_by(link: str) -> requests.Response:
    """The page that comes once the button behind this link was pressed."""
    with requests.Session() as browser:
        page = browser.get(link, timeout=30)
        form = dict(re.findall(r'name="(csrf|token)" value="([^"]*)"', page.text))
        return browser.post(link.partition("?")[0], data=form, timeout=30)


def test_a_link_on_the_terminal_signs_in(tmp_path: Path) -> None:
    port = free_port()
    ours, theirs = pty.openpty()
    command = [*SERVE_FAKE, "--port", str(port), "--workers", "1"]
    variables = environment(MODERATION_STORE=f"sqlite:///{tmp_path / 'm.db'}")
    with subprocess.Popen(command, stderr=theirs, env=variables) as process:
        os.close(theirs)
        shown = ""
        try:
            while "token=" not in shown:
                shown += os.read(ours, 4096).decode()
            shown += os.read(ours, 4096).decode() if not shown.rstrip(" ").endswith("\n") else ""
            link = re.search(rf"console: (http://127\.0\.0\.1:{port}/console/enter\?token=\S+)", shown)
            assert link is not None, shown
            entered = entered_by(link[1])
            assert entered.url == f"http://127.0.0.1:{port}/console"
            assert "Overview" in entered.text
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            os.close(ours)


def test_a_log_gets_no_link(tmp_path: Path) -> None:
    with running("--workers", "1", MODERATION_STORE=f"sqlite:///{tmp_path / 'm.db'}") as service:
        assert service.request("GET", "/console").status == 303
        told = [line for line in service.lines if "console: " in line]
    assert len(told) == 1
    assert "token" not in told[0]
    assert f"`moderation-service console link --port {service.port}`" in told[0]


def test_the_command_for_a_link_is_told_with_what_leads_to_the_same_database(tmp_path: Path) -> None:
    file = tmp_path / "my settings.yaml"
    file.write_text(f"store: sqlite:///{tmp_path / 'm.db'}\n")
    with running("--workers", "1", "--config", str(file), MODERATION_STORE=None) as service:
        until(lambda: any("console: " in line for line in service.lines))
        (told,) = [line for line in service.lines if "console: " in line]
        command = re.search(r"`moderation-service (console link .*)`", told)
        assert command is not None
        link = run_command(*shlex.split(command[1]), MODERATION_STORE=None).stdout.decode().strip()
        assert "Overview" in entered_by(link).text


def test_without_a_store_there_is_no_console_to_be_told_of() -> None:
    with running("--workers", "1") as service:
        assert service.request("GET", "/console").status == 404
        assert not [line for line in service.lines if "console: " in line]
