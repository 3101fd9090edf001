"""Two meanings of SIGHUP, told apart: "read your files again", and "the terminal you were started in was closed"."""

from __future__ import annotations

import os

__all__ = ["Terminal"]


class Terminal:
    """The terminal of this process at the moment this is made; there may be none."""

    def __init__(self) -> None:
        self._descriptors = [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]

    def is_lost(self) -> bool:
        """Whether there was a terminal and it is gone."""
        return any(not os.isatty(descriptor) for descriptor in self._descriptors)
