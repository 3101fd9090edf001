"""The pages on data sets: their commands are run one after the other, in a folder with the examples in it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from functools import cache
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


@cache
def run(commands: tuple[tuple[str, ...], ...]) -> tuple[list[str], str]:
    """What they print, and the rows they write; run once, as the pages of both languages show the same."""
    printed = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        for words in commands:
            done = subprocess.run(
                [sys.executable, "-m", "moderation_service", *words[1:]],
                cwd=folder,
                env=environment(),
                timeout=60,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert done.returncode == 0, done.stdout.decode()
            printed.append(done.stdout.decode())
        return printed, (Path(folder) / "labelled.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_the_page_print_what_is_shown(page: Path) -> None:
    assert shown(page)
    printed, labelled = run(tuple(tuple(words) for words, _ in shown(page)))
    for told, (_, output) in zip(printed, shown(page), strict=True):
        assert _NUMBER.sub("#", told) == _NUMBER.sub("#", output)
    row = json.loads(re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[0])
    written = [json.loads(line) for line in labelled.splitlines()]
    assert written[3] == {**row, "response": written[3]["response"]}
