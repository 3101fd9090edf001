"""Whether a verdict can be had, known without asking each time: `/readyz` answers at once, whatever the engine does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from ..errors import EngineUnavailable, ModerationError

__all__ = ["Readiness"]

_PERIOD_S = 2.0
# While somebody asks more often than this, the answer is kept up to date.
_INTEREST_S = 150.0
_PATIENCE_S = 4.0


class Readiness:
    """The last answer of `check`, which raises ModerationError where no verdict can be had.

    Before `watch` every question runs the check. After it a thread does, from the first question on and then every two
    seconds for as long as somebody is interested; whoever asks gets the last answer.
    """

    def __init__(self, check: Callable[[], None], *, period_s: float = _PERIOD_S) -> None:
        self._check = check
        self._period_s = period_s
        self._is_watched = False
        self._interest_until = 0.0
        self._asked = threading.Event()
        self._known = threading.Event()
        self._has_ended = threading.Event()
        self._error: Exception | None = None

    @property
    def is_known(self) -> bool:
        """Whether `ask` returns at once."""
        return self._known.is_set()

    def watch(self) -> None:
        """Keep the answer up to date from now on, in this process."""
        self._is_watched = True
        threading.Thread(target=self._keep_up, name="readiness", daemon=True).start()

    def ask(self) -> None:
        """Return if a verdict can be had. Raises what the check raised, or EngineUnavailable."""
        if not self._is_watched:
            return self._check()
        self._want()
        if not self._known.wait(_PATIENCE_S):
            raise EngineUnavailable("It is not known yet whether the engine is ready.")
        error = self._error
        if error is not None:
            raise error.with_traceback(None)
        return None

    def glance(self) -> bool | None:
        """Whether a verdict can be had, without waiting; None if that is not known yet, as for the first who asks."""
        if self._is_watched:
            self._want()
            return self._error is None if self._known.is_set() else None
        try:
            self._check()
        except ModerationError:
            return False
        return True

    def close(self) -> None:
        """Stop watching; the thread ends after the check it is at."""
        self._has_ended.set()
        self._asked.set()

    def _want(self) -> None:
        self._interest_until = monotonic() + _INTEREST_S
        self._asked.set()

    def _keep_up(self) -> None:
        while self._asked.wait() and not self._has_ended.is_set():
            try:
                self._check()
                self._error = None
            except Exception as error:  # raised again where it is asked for; the thread must live on
                self._error = error
            self._known.set()
            if monotonic() > self._interest_until:
                # Nobody asks; what is known now will be old when somebody does.
                self._known.clear()
                self._asked.clear()
            else:
                self._has_ended.wait(self._period_s)
