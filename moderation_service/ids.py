"""Random ids. The operating system is asked for many at a time: each question costs a system call.

Ids that are kept begin with the time: what a database's indexes get one after the other then lies side by side in them,
where ids that are random from the first digit touch a page each.
"""

from __future__ import annotations

import os
import threading
from time import time

__all__ = ["ordered_hex", "random_hex"]

_DRAWN_BYTES = 2048
_TIME_DIGITS = 8


class _Supply(threading.local):
    """What is left of the last draw, per thread, so that no two take the same."""

    def __init__(self) -> None:
        self.left = ""


_supply = _Supply()


def random_hex(length: int) -> str:
    """So many hexadecimal digits, as good as those of `secrets.token_hex`; never the same twice."""
    left = _supply.left
    if len(left) < length:
        left = os.urandom(_DRAWN_BYTES).hex()
    _supply.left = left[length:]
    return left[:length]


def ordered_hex(length: int) -> str:
    """The same, but the first eight digits are the seconds since 1970; what follows can't be guessed."""
    return f"{int(time()):0{_TIME_DIGITS}x}{random_hex(length - _TIME_DIGITS)}"


def _forget() -> None:
    _supply.left = ""


# A forked process would hand out what its parent does.
os.register_at_fork(after_in_child=_forget)
