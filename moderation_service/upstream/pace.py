"""How fast a server answers, beside others of the same model. No I/O.

The fewest calls under way is not enough: of three servers of which one takes fifteen times as long, that one would
still get a fiftieth of the calls, and their callers would wait. So a server that is plainly slower counts as busier. It
gets a call now and then all the same, or nobody would see that it is well again.

Texts differ, and so do their times: a server is not slow because it got the long ones. It is slow when its quick
answers take longer than the slow ones of another server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

__all__ = ["Pace", "slow_answers_of_best"]

_PLAINLY = 1.5
"""From how many times the other's slow answers on a server's quick ones make it slow."""
_ANSWERS, _LAST = 8, 4
"""A server's quickest of the last four is compared with another's slowest of the last eight."""
_PENALTY = 16
"""How much busier a slow server counts than it is."""
_TRIAL_TURNS = 512
"""After so many calls elsewhere a slow server gets one: too few to count among a hundred."""


class Pace:
    """The times that a server's last answers took."""

    __slots__ = ("_quick_s", "_seconds", "slow_s")

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_ANSWERS)
        self._quick_s = 0.0
        self.slow_s: float | None = None
        """What the slowest of them took; None before there are enough."""

    def note(self, seconds: float) -> None:
        """An answer took so long."""
        # A copy, of which nothing changes while it is looked at by this thread.
        self._seconds.append(seconds)
        known = list(self._seconds)
        if len(known) >= _LAST:
            self._quick_s, self.slow_s = min(known[-_LAST:]), max(known)

    def load(self, outstanding: int, others_s: float | None, turns_since: int) -> int:
        """How busy a server with so many calls under way counts.

        `others_s` is what `slow_answers_of_best` says; it was last chosen so many turns ago.
        """
        is_slow = others_s is not None and self._quick_s > _PLAINLY * others_s and turns_since <= _TRIAL_TURNS
        return (outstanding + 1) * _PENALTY if is_slow else outstanding


def slow_answers_of_best(paces: Iterable[Pace]) -> float | None:
    """What the slow answers of the fastest server take; None where that is not known."""
    return min((one.slow_s for one in paces if one.slow_s is not None), default=None)
