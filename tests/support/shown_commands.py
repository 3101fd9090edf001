"""Runs the commands of a console block of the docs, and compares what they print with what is shown."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from processes import environment

__all__ = ["run_shown"]

_ROOT = Path(__file__).parents[2]


def run_shown(block: str, folder: Path) -> None:
    """Run each line after `$ ` in this folder, with a database of its own there."""
    variables = environment(MODERATION_STORE=f"sqlite:///{folder / 'moderation.db'}", PYTHONPATH=str(_ROOT))
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        command = line.replace("moderation-service", f"{sys.executable} -m moderation_service")
        done = subprocess.run(command, shell=True, cwd=folder, env=variables, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode().rstrip() == output.rstrip()
