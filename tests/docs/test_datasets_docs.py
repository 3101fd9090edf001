"""The pages on data sets: their commands are run one after the other, in a folder with the examples in it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / f"datasets{end}" for end in (".md", ".zh-CN.md")]
_NUMBER = re.compile(r"\d+(\.\d+)? s\b|\d+ in flight")


def shown(page: Path) -> list[tuple[list[str], str]]:
    """The commands of a page, and what is shown below each."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.replace("\\\n", "").partition("\n")
            found.append((shlex.split(line), output))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_the_page_print_what_is_shown(page: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    assert shown(page)
    for words, output in shown(page):
        command = [sys.executable, "-m", "moderation_service", *words[1:]]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
        )
        assert done.returncode == 0, done.stdout.decode()
        assert _NUMBER.sub("#", done.stdout.decode()) == _NUMBER.sub("#", output)
    row = json.loads(re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[0])
    written = [json.loads(line) for line in (tmp_path / "labelled.jsonl").read_text(encoding="utf-8").splitlines()]
    assert written[3] == {**row, "response": written[3]["response"]}
