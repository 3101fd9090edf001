"""How the signals that end a program become an orderly end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from ..server.terminal import Terminal
from .process import ENDING_SIGNALS

__all__ = ["Ending", "StopRequested"]


class StopRequested(BaseException):
    """A signal asked us to end. Not an Exception: nothing on the way may take it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


class _Child(Protocol):
    def hurry(self) -> None:
        """Be killed now; somebody else waits for the end."""


@dataclass(slots=True)
class Ending:
    """Turns the first SIGTERM, SIGINT or closed terminal into an exception; the second ends the children at once.

    SIGHUP while the terminal is there, or where there never was one, means `reload`.
    """

    children: list[_Child] = field(default_factory=list)
    reload: Callable[[], None] = lambda: None
    _terminal: Terminal = field(default_factory=Terminal)
    _began: bool = False
    _before: dict[int, object] = field(default_factory=dict)

    def begin(self) -> None:
        """The end has begun: no more exceptions."""
        self._began = True

    def __enter__(self) -> Ending:
        for number in ENDING_SIGNALS:
            # Ignored on purpose by whoever started us: `nohup`, or a shell that put us into the background.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not self._terminal.is_lost():
            self.reload()
        elif not self._began:
            self._began = True
            raise StopRequested(number)
        else:
            for child in self.children:
                child.hurry()
