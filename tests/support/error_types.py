"""The `type` of every error that callers may meet."""

from __future__ import annotations

from moderation_service.errors import ModerationError

__all__ = ["error_types"]


def error_types() -> set[str]:
    found, waiting = set(), [ModerationError]
    while waiting:
        kind = waiting.pop()
        found.add(kind.type)
        waiting += kind.__subclasses__()
    return found
