"""Passwords, as argon2id hashes. One is hashed at a time: each takes 64 MiB and a quarter of a second of a core."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from ..errors import Overloaded

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["MIN_CHARS", "TOO_MANY", "hash_password", "is_password"]

MIN_CHARS = 12
TOO_MANY = "Too many people are signing in; try again."
_ONE_AT_A_TIME = threading.Lock()
# Each holds a thread of the service, which strangers must not have many of.
_MOST_IN_LINE = 4
_IN_LINE = threading.BoundedSemaphore(_MOST_IN_LINE)
_WAIT_S = 3.0


def hash_password(password: str) -> str:
    """What is kept of a password."""
    with _ONE_AT_A_TIME:
        return _hasher().hash(password)


def is_password(password: str, kept: str | None) -> bool:
    """Whether it is the one that was kept. Takes as long where nothing was kept: nobody learns which names there are.

    Raises Overloaded when it would have to wait for long, behind others that are being checked.
    """
    from argon2.exceptions import Argon2Error, InvalidHashError

    if not _IN_LINE.acquire(blocking=False):
        raise Overloaded(TOO_MANY, retry_after_s=_WAIT_S)
    try:
        with _ONE_AT_A_TIME:
            nobodys = _nobodys()
            return _hasher().verify(kept or nobodys, password) and kept is not None
    except (Argon2Error, InvalidHashError):
        return False
    finally:
        _IN_LINE.release()


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys() -> str:
    return _hasher().hash("nobody has this password, and nobody will")
