"""What a cluster memory tells of itself, kept for tests."""

from __future__ import annotations

__all__ = ["Told"]


class Told:
    """Its failures, whether it is away, and what reads found, in order."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.away: list[bool] = []
        self.found: list[bool] = []

    def cluster_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def cluster_read(self, *, is_found: bool) -> None:
        self.found.append(is_found)

    def cluster_away(self, *, is_away: bool) -> None:
        self.away.append(is_away)
