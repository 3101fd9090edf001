"""A test process that grows without end is ended, and says what it was at; a service that writes without end too."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from memory_watch import EXIT_CODE
from processes import Running

_GROWS = """
import memory_watch
memory_watch.watch_memory(most_bytes=200_000_000, report_to=2, every_s=0.02)
def grows_without_end():
    kept = []
    for _ in range(1000):
        kept.append(bytes(1_000_000) + b"x")
grows_without_end()
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_a_process_that_grows_without_end_is_ended_and_its_frames_are_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _GROWS],
        cwd=Path(__file__).parent / "support",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == EXIT_CODE
    assert "more than 200,000,000 bytes" in done.stderr
    assert "in grows_without_end" in done.stderr


def test_a_service_that_logs_without_end_is_killed_and_its_last_lines_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Running, "most_bytes", 100_000)
    service = Running(subprocess.Popen(["sh", "-c", "exec yes again >&2"], stderr=subprocess.PIPE), port=0)
    try:
        assert service.wait() == -signal.SIGKILL
        assert service.lines[-2:] == ["again", "It wrote without end, and was killed."]
    finally:
        service.close()
