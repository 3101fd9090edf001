"""The cookie of the console's sessions: a random secret, and a mark by which it is known for ours without the database.

The mark opens nothing: whether the session is there, and whose it is, the database says. It keeps what strangers make
up from being looked for, and lets the door read large forms of those only who have signed in.
"""

from __future__ import annotations

import hmac

from .keyed_hash import KeyedHashes

__all__ = ["COOKIES", "has_session_cookie", "marked_secret", "secret_in"]

COOKIES = ("moderation_session", "__Host-moderation_session")
"""Over plain HTTP, and over TLS: of the latter name, no page of a sister domain can set one."""
_MAX_CHARS = 128


def marked_secret(hashes: KeyedHashes, secret: str) -> str:
    """What the cookie holds."""
    return f"{secret}.{hashes.session(secret).hex()}"


def secret_in(hashes: KeyedHashes, value: str | None) -> str | None:
    """The secret in a cookie of ours; None for any other."""
    if not value or len(value) > _MAX_CHARS:
        return None
    secret, _, mark = value.partition(".")
    return secret if hmac.compare_digest(mark.encode(), hashes.session(secret).hex().encode()) else None


def has_session_cookie(hashes: KeyedHashes, header: str) -> bool:
    """Whether a `Cookie` header has one of ours."""
    pairs = (one.strip().partition("=") for one in header.split(";"))
    return any(name in COOKIES and secret_in(hashes, value) is not None for name, _, value in pairs)
