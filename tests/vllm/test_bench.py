"""`bench` in front of the real llama.cpp with tiny-guard, short."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import servers

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]


@pytest.fixture
def llamacpp() -> Iterator[servers.ModelServer]:
    with servers.llamacpp().running() as one:
        yield one


def test_a_real_server_is_measured_by_hand_and_through_us(llamacpp: servers.ModelServer, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "moderation_service", "bench", "-o", str(tmp_path), "--upstream", llamacpp.url]
    done = subprocess.run(
        [*command, "--seconds", "1", "--clients", "1,8"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MODERATION_UPSTREAM_API_KEY": servers.KEY},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    points = json.loads((tmp_path / "bench.json").read_text())["points"]
    assert [one["way"] for one in points] == ["plain", "plain", "full", "full", "severity", "severity"]
    assert all(one["verdicts"] > 0 and one["errors"] == {} for one in points), points
    assert all(one["p50_ms"] <= one["p95_ms"] <= one["p99_ms"] for one in points)
