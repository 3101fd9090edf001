"""The command annotate, as a user has it: files by name, engines by settings, Ctrl-C, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_guard_server import BOMB, BREAD, Action, Request, answering, guard, reply, running, wait_until
from processes import environment

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "moderation_service", "annotate")


def annotate(
    folder: Path, *words: str, stdin: bytes | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, *words]
    return subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, timeout=60, input=stdin
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    rows: list[dict[str, Any]] = [{"prompt": f"{BREAD} {number}"} for number in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": BOMB}]), encoding="utf-8")
    return path


def test_the_guards_own_word_is_written_for_every_row(source: Path, tmp_path: Path) -> None:
    with running() as server:
        done = annotate(tmp_path, "in.jsonl", "-o", "out.jsonl", "--upstream", server.url)
    assert done.returncode == 0, done.stderr.decode()
    assert b"prompt-response (`prompt`)" in done.stderr
    assert b"engine vllm, model" in done.stderr
    assert b"41 rows: 40 safe, 0 controversial, 1 unsafe; without a label: 0" in done.stderr
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["guard_safety"] for row in found[:40]} == {"safe"}
    assert (found[40]["guard_safety"], found[40]["guard_categories"]) == ("unsafe", ["violent"])
    assert found[40]["guard_p_unsafe"] > 0.5
    # A bar is for terminals.
    assert b"rows/s" not in done.stderr


def test_an_answer_that_is_none_is_an_error_and_never_the_embedded_engines_word(source: Path, tmp_path: Path) -> None:
    # Two of them: with a third one in a row the server would be out of use for a while.
    def nonsense(request: Request) -> Action:
        asked = json.dumps(request.body)
        return reply(200, {"choices": []}) if f'{BREAD} 7"' in asked or f'{BREAD} 30"' in asked else guard(request)

    with running(answering(nonsense)) as server:
        done = annotate(tmp_path, "in.jsonl", "-o", "out.jsonl", "--upstream", server.url)
    assert done.returncode == 1
    assert b"without a label: 2" in done.stderr
    assert b"--max-errors" in done.stderr
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    wrong = [found[7], found[30]]
    assert {row["guard_model"] for row in wrong} == {None}
    assert all(row["guard_error"].startswith("engine_answer_invalid") for row in wrong)
    assert (found[0]["guard_safety"], found[40]["guard_safety"]) == ("safe", "unsafe")


def test_ctrl_c_ends_it_with_what_is_done_and_the_same_command_goes_on(source: Path, tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(request: Request) -> Action:
        if f"{BREAD} 30" in json.dumps(request.body):
            gate.wait(20)
        return guard(request)

    words = ("in.jsonl", "-o", "out.jsonl", "--chunk", "8", "--in-flight", "4")
    with running(answering(slow)) as server:
        command = [*COMMAND, *words, "--upstream", server.url]
        program = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE)
        journal = tmp_path / "out.jsonl.journal"
        assert wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 1, within_s=30)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=20)
        assert program.returncode == 130
        assert b"the same command goes on" in said
        assert b"Traceback" not in said
        gate.set()
        before = len(server.questions)
        assert annotate(tmp_path, *words, "--upstream", server.url).returncode == 0
        assert len(server.questions) - before < 45
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 41


def test_standard_input_goes_on_too_and_another_input_does_not_pass_for_it(source: Path, tmp_path: Path) -> None:
    content = source.read_bytes()
    words = ("-", "-o", "out.jsonl", "--engine", "lite")
    assert annotate(tmp_path, *words, stdin=content).returncode == 0
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").rename(tmp_path / "out.jsonl.part")
    # As if it had been killed after eight rows.
    journal = tmp_path / "out.jsonl.journal"
    head = journal.read_bytes().splitlines(keepends=True)[0]
    rows = annotate(
        tmp_path, "-", "-o", "first.jsonl", "--engine", "lite", stdin=b"".join(content.splitlines(True)[:8])
    )
    assert rows.returncode == 0
    line = (tmp_path / "first.jsonl.journal").read_bytes().splitlines(keepends=True)[-1]
    journal.write_bytes(head + line.replace(b',"end":true', b""))
    other = annotate(tmp_path, *words, stdin=content.replace(b"bread? 1", b"flour? 1"))
    assert other.returncode == 1
    assert b"--fresh" in other.stderr
    assert annotate(tmp_path, *words, stdin=content).returncode == 0
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_rows_go_to_standard_output_and_all_else_to_the_other(source: Path, tmp_path: Path) -> None:
    done = annotate(tmp_path, "in.jsonl", "-o", "-", "--engine", "lite")
    assert [json.loads(line)["prompt"] for line in done.stdout.splitlines()][-1] == BOMB
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}


def test_a_dry_run_prints_labels_and_writes_nothing(source: Path, tmp_path: Path) -> None:
    done = annotate(tmp_path, "in.jsonl", "-o", "out.jsonl", "--engine", "lite", "--dry-run", "3")
    assert [json.loads(line)["guard_safety"] for line in done.stdout.splitlines()] == ["safe"] * 3
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["in.jsonl", "-o", "in.jsonl", "--engine", "lite"], 2, "one of the inputs"),
        (["in.jsonl", "-o", "out.jsonl", "--engine", "lite", "--fields", "prompt"], 2, "PART=COLUMN"),
        (["in.jsonl", "-o", "out.jsonl", "--engine", "lite", "--fields", "body=prompt"], 1, "The parts are"),
        (["in.jsonl", "-o", "out.jsonl", "--engine", "lite", "--cpu"], 2, "no vLLM is started"),
        (["in.jsonl", "-o", "out.jsonl", "--upstream", "http://127.0.0.1:9"], 1, "can't be reached"),
        (["in.jsonl", "-o", "out.txt", "--engine", "lite"], 1, "no place for labels"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    source: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    done = annotate(tmp_path, *words)
    assert done.returncode == code, done.stderr.decode()
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}
