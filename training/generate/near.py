"""Rows that chance has made equal or close to an evaluation item or a probe. They are dropped, never reworded.

`check.py` and the tests of the probes find them; a row is named by its hash, so that the generator stays blind to what
it came near to.
"""

from __future__ import annotations

import hashlib

__all__ = ["is_near"]

_NEAR = frozenset(
    {
        "11e5f3de204f7de9",
        "2e15d6f3b2143aef",
        "550c1698b31c7ff7",
        "6a1fea9cf95fe63f",
        "8f336e9e88d2736c",
        "bf782921dac72535",
        "de18bdeae3223763",
        "f413ef646a52049b",
        "fc5dd3f41bb9fb13",
    }
)


def is_near(prompt: str, response: str = "") -> bool:
    """Whether a row is one of those."""
    return hashlib.sha256(f"{prompt}\0{response}".encode()).hexdigest()[:16] in _NEAR
