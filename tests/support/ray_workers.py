"""The processes of Ray's actors on this machine."""

from __future__ import annotations

from pathlib import Path

__all__ = ["workers"]


def workers() -> list[int]:
    """Those that hold an engine of ours."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith((b"ray::MapWorker", b"ray::_MapWorker", b"ray::Judge")):
            found.append(int(folder.name))
    return found
