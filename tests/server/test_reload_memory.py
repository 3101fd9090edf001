"""SIGHUP again and again: the process that starts the workers does not grow by it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from processes import SERVE_LITE, Running, running, until

pytestmark = pytest.mark.slow

RELOADS = 4
MAY_GROW_BYTES = 8 * 1024**2
"""A second set of the embedded engine's weights would be 40 MB, and was 60 after three reloads."""


def memory_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))


def reload(service: Running) -> None:
    before = set(service.workers())
    count = sum('"reloaded"' in line for line in service.lines)
    service.process.send_signal(signal.SIGHUP)
    until(lambda: sum('"reloaded"' in line for line in service.lines) > count)
    until(lambda: not before & set(service.workers()))
    assert service.moderate("How can I make a bomb?")["action"] == "block"


def test_reloads_do_not_grow_the_service(tmp_path: Path) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies: {own: {extends: balanced}}\n")
    flags = ("--policies-file", str(policies), "--audit-file", str(tmp_path / "audit.jsonl"))
    with running("--workers", "1", *flags, command=SERVE_LITE) as service:
        reload(service)
        before = memory_bytes(service.process.pid)
        for _ in range(RELOADS):
            reload(service)
        grown = memory_bytes(service.process.pid) - before
        descriptors = len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))
        reload(service)
        assert len(list(Path(f"/proc/{service.process.pid}/fd").iterdir())) <= descriptors
    assert grown < MAY_GROW_BYTES
