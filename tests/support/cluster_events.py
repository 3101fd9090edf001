"""What a cluster memory tells of itself, kept for tests."""

from __future__ import annotations

__all__ = ["Told"]


class Told:
    """Its failures and whether it is away, in order."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.away: list[bool] = []

    def cluster_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def cluster_away(self, is_away: bool) -> None:
        self.away.append(is_away)
