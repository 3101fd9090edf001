"""The folder that a report is written to."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DataError

__all__ = ["make_folder", "write_whole"]


def make_folder(folder: Path) -> None:
    """Before anything is measured: hours of work must not end at a folder that can't be written. Raises DataError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: can't be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder}: can't be written.")


def write_whole(target: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all. Raises DataError."""
    draft = target.with_name(f".{target.name}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        raise DataError(f"{target}: can't be written: {error.strerror}.") from error
