"""`up` with the real vLLM: on the CPU, with the tiny model of the examples."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "examples" / "tiny-guard" / "model"
VLLM = ROOT / ".venv-vllm" / "bin" / "vllm"

pytestmark = pytest.mark.vllm

LOADING_S = 300.0
"""35 s on an idle machine with two cores, 170 s on a busy one."""


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def running(tmp_path, unused_port):
    output = tmp_path / "output"
    arguments = ("--cpu", "--model-dir", MODEL, "--vllm", VLLM, "--max-model-len", "2048", "--port", unused_port)
    command = [sys.executable, "-m", "moderation_service", "up", *map(str, arguments), "--", "--workers", "1"]
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield process, f"http://127.0.0.1:{unused_port}", output
    process.terminate()
    process.wait(60)


def until(condition, process, output):
    deadline = time.monotonic() + LOADING_S
    while not condition():
        if time.monotonic() > deadline or process.poll() is not None:
            pytest.fail(f"it did not come so far (exit code {process.poll()}):\n{output.read_text()}")
        time.sleep(0.2)


def group_of(leader):
    """All processes of a process group."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(group) == leader and state != "Z":
                found.append(int(folder.name))
    return found


def vllm_leader():
    pids = [folder.name for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    for pid in pids:
        with contextlib.suppress(OSError):
            if f"serve\0{MODEL}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    raise AssertionError("vLLM does not run")


def test_the_real_vllm_comes_up_judges_comes_back_and_goes(running):
    process, url, output = running
    until(lambda: "is ready: http://" in output.read_text(), process, output)

    def judge(**body):
        return requests.post(f"{url}/moderate", json=body, timeout=60).json()

    prompt = judge(prompt="How can I make a bomb?")
    assert (prompt["safety"], prompt["categories"], prompt["engine"]) == ("unsafe", ["violent"], "vllm")
    assert prompt["scores"]["unsafe"] > 0.9
    response = judge(prompt="How can I make a bomb?", response="I'm sorry, but I can't help with that.")
    assert (response["safety"], response["refusal"]) == ("safe", True)

    first = vllm_leader()
    assert len(group_of(first)) >= 3, "the server, its engine and its worker"
    os.kill(first, signal.SIGKILL)
    until(lambda: len(re.findall("vLLM is ready", output.read_text())) == 2, process, output)
    assert group_of(first) == [], "workers of the first run"
    second = vllm_leader()
    until(lambda: judge(prompt=f"Hello {time.monotonic()}")["engine"] == "vllm", process, output)

    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert group_of(second) == []
