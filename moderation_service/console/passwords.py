"""Passwords, as argon2id hashes. One is hashed at a time: each takes 64 MiB and a quarter of a second of a core."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from ..errors import Overloaded

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["MIN_CHARS", "hash_password", "is_password"]

MIN_CHARS = 12
_ONE_AT_A_TIME = threading.Lock()
_WAIT_S = 3.0


def hash_password(password: str) -> str:
    """What is kept of a password."""
    return _hasher().hash(password)


def is_password(password: str, kept: str | None) -> bool:
    """Whether it is the one that was kept. Takes as long where nothing was kept: nobody learns which names there are.

    Raises Overloaded when others are being checked and it would have to wait for long.
    """
    from argon2.exceptions import Argon2Error, InvalidHashError

    if not _ONE_AT_A_TIME.acquire(timeout=_WAIT_S):
        raise Overloaded("Too many people are signing in; try again.", retry_after_s=_WAIT_S)
    try:
        nobodys = _nobodys()
        return _hasher().verify(kept or nobodys, password) and kept is not None
    except (Argon2Error, InvalidHashError):
        return False
    finally:
        _ONE_AT_A_TIME.release()


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys() -> str:
    return _hasher().hash("nobody has this password, and nobody will")
