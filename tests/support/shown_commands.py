"""Runs the commands of a console block of the docs, and compares what they print with what is shown."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from processes import environment

__all__ = ["run_shown"]

_ROOT = Path(__file__).parents[2]


def run_shown(block: str, **files: str) -> dict[str, bytes]:
    """Run each line after `$ ` in a folder with these files (`kids` for `kids.yaml`) and a database of its own.

    Returns the files that are there then.
    """
    parts = [part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    printed, left = _run(tuple(line for line, _, _ in parts), tuple(files.items()))
    assert printed == [output.rstrip() for _, _, output in parts]
    return left


@cache
def _run(lines: tuple[str, ...], files: tuple[tuple[str, str], ...]) -> tuple[list[str], dict[str, bytes]]:
    """What the commands print and leave; run once, as the pages of both languages show the same."""
    printed = []
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files:
            (Path(folder) / f"{name}.yaml").write_text(text)
        variables = environment(MODERATION_STORE=f"sqlite:///{folder}/moderation.db", PYTHONPATH=str(_ROOT))
        for line in lines:
            command = line.replace("moderation-service", f"{sys.executable} -m moderation_service")
            done = subprocess.run(command, shell=True, cwd=folder, env=variables, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout.decode().rstrip())
        return printed, {one.name: one.read_bytes() for one in Path(folder).iterdir()}
