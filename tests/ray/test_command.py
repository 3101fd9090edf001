"""`annotate --ray` as a user starts it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_guard_server import BOMB, BREAD, Action, FakeServer, Request, guard
from ray_workers import workers

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]

ROWS = 1200


def slowly(request: Request) -> Action:
    time.sleep(0.02)
    return guard(request)


def write_rows(path: Path) -> None:
    """Rows that a typed reader would change, one of them broken, and one without a text."""
    lines = [
        json.dumps(
            {"id": number, "prompt": f"{BOMB if number % 3 == 0 else BREAD} {number}", "x": [1, "a"][number % 2]}
        )
        for number in range(ROWS)
    ]
    lines[5] = '{"id": 5, "prompt": '
    lines[7] = '{"id": 7,   "prompt": ""}'
    path.write_text("\n".join(lines) + "\n")


def annotate(given: Path, output: Path, server: FakeServer, *more: str) -> subprocess.Popen[bytes]:
    words = ["annotate", str(given), "-o", str(output), "--upstream", server.url, "--in-flight", "8", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "moderation_service", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HOME": str(given.parent)},
    )


def finish(process: subprocess.Popen[bytes]) -> str:
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, out + err
    return err.decode()


def test_the_output_is_that_of_one_machine_whatever_is_killed(server: FakeServer, tmp_path: Path) -> None:
    server.behave = slowly
    given = tmp_path / "in.jsonl"
    write_rows(given)
    finish(annotate(given, tmp_path / "one.jsonl", server, "--in-flight", "64"))
    expected = (tmp_path / "one.jsonl").read_bytes()
    assert len(expected.splitlines()) == ROWS

    begun = annotate(given, tmp_path / "many.jsonl", server, "--chunk", "32", "--ray-actors", "2", "--ray=local")
    before = len(server.questions)
    while len(server.questions) < before + 200:
        assert begun.poll() is None, begun.communicate()
        time.sleep(0.02)
    victim = workers()[0]
    os.kill(victim, signal.SIGKILL)
    while len(server.questions) < before + 500:
        time.sleep(0.02)
    begun.kill()
    begun.communicate()
    assert (tmp_path / "many.jsonl.part").read_bytes()
    assert not (tmp_path / "many.jsonl").exists()

    told = finish(annotate(given, tmp_path / "many.jsonl", server, "--chunk", "32", "--ray-actors", "2", "--ray"))
    assert (tmp_path / "many.jsonl").read_bytes() == expected
    assert "1,200 rows: 798 safe, 0 controversial, 400 unsafe; without a label: 2" in told


def test_other_formats_and_the_first_rows(server: FakeServer, tmp_path: Path) -> None:
    given = tmp_path / "in.csv.gz"
    given.write_bytes(gzip.compress(f"id,prompt\n1,{BREAD}\n2,{BOMB}\n".encode()))
    finish(annotate(given, tmp_path / "out.csv", server, "--ray"))
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0].startswith("id,prompt,guard_safety,")
    assert [line.split(",")[2] for line in lines[1:]] == ["safe", "unsafe"]


def test_a_cluster_that_is_not_there_is_an_error_in_words(server: FakeServer, tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_text('{"prompt": "secret-text"}\n')
    process = annotate(given, tmp_path / "out.jsonl", server, "--ray=auto")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"--ray: no cluster: " in err
    assert b"Traceback" not in err


def test_an_engine_that_is_not_there_is_an_error_in_words(unused_port: int, tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_text('{"prompt": "secret-text"}\n')
    process = annotate(given, tmp_path / "out.jsonl", FakeServer(port=unused_port), "--ray")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"Traceback" not in err
    assert b"secret-text" not in err
