"""What a call costs, on a machine that does other things as well."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import thread_time

__all__ = ["cpu_s", "is_within"]

_TRIES = 3


def cpu_s(call: Callable[[], object]) -> float:
    """The CPU time of this thread that a call takes. Others' garbage isn't looked for meanwhile: that takes as long."""
    gc.disable()
    try:
        began = thread_time()
        call()
        return thread_time() - began
    finally:
        gc.enable()


def is_within(limit_s: float, call: Callable[[], object]) -> bool:
    """Whether a call can be made in so much CPU time: neighbours in the caches may slow down one try, not all."""
    return any(cpu_s(call) < limit_s for _ in range(_TRIES))
