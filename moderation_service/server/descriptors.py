"""File descriptors: how many there may be, and how many of them clients may have."""

from __future__ import annotations

import resource

__all__ = ["connections_within", "raise_descriptor_limit"]

_ENOUGH = 65_536
_MOST_CONNECTIONS = 16_384
_FEWEST_CONNECTIONS = 16
# Log, audit file, metrics of all workers, epoll, pipes, the port, and what libraries open for a moment.
_FILES = 64


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit as far as it may; returns it. Its children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


def connections_within(limit: int, *, calls: int) -> int:
    """How many connections of clients a process with this limit can have, if `calls` to models are to find one each.

    Under a limit that is too low for all that, clients get a quarter: a verdict that can't be had for want of a
    descriptor is worse than a client that has to connect again.
    """
    left = limit - min(calls + _FILES, limit * 3 // 4)
    return max(_FEWEST_CONNECTIONS, min(left, _MOST_CONNECTIONS))
