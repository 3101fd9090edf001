"""Random ids. The operating system is asked for many at a time: each question costs a system call."""

from __future__ import annotations

import os
import threading

__all__ = ["random_hex"]

_DRAWN_BYTES = 2048


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


def _forget() -> None:
    _supply.left = ""


# A forked process would hand out what its parent does.
os.register_at_fork(after_in_child=_forget)
