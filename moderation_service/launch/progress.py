"""What `up` tells the person in front of it: lines, and a progress line that redraws itself on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

__all__ = ["Console"]

_REDRAW_S = 0.2
_LINE_S = 15.0
"""Where nobody watches, such as the journal, a line now and then says that it still goes on."""


class Console:
    """Writes to standard error, where the service's own announcement goes too."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        is_terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._is_terminal = self._stream.isatty() if is_terminal is None else is_terminal
        self._clock = clock
        self._last = float("-inf")
        self._drawn = 0

    def say(self, text: str) -> None:
        """A line."""
        self._erase()
        self._write(text + "\n")

    def progress(self, text: str) -> None:
        """How far it has come; called as often as one likes, shown now and then."""
        now = self._clock()
        if now - self._last < (_REDRAW_S if self._is_terminal else _LINE_S):
            return
        self._last = now
        if self._is_terminal:
            self._erase()
            self._drawn = len(text)
            self._write(text)
        else:
            self._write(text + "\n")

    def _erase(self) -> None:
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
