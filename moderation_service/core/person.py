"""Who uses the console, and what their role lets them do."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Person", "Role"]


class Role(enum.Enum):
    """What somebody may do; each may all that the ones before it may."""

    VIEWER = "viewer"
    """Sees figures, decisions and settings; changes nothing."""
    REVIEWER = "reviewer"
    """Also judges decisions, and sees the texts that a policy keeps."""
    ADMIN = "admin"
    """Also changes what the service does: lists, apps, keys, people."""

    @property
    def rank(self) -> int:
        """For comparisons: more may more."""
        return _RANKS[self]

    def includes(self, other: Role) -> bool:
        """Whether somebody with this role may what needs `other`."""
        return self.rank >= other.rank


_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in. `name` stands in the trail of changes.

    `id` is None for whoever came by the link on the terminal, who has no account.
    """

    name: str
    role: Role
    id: int | None = None

    def may(self, role: Role) -> bool:
        """Whether they may what needs this role."""
        return self.role.includes(role)
