"""What single fields of a policy may say."""

from __future__ import annotations

import enum

from .verdict import Action

__all__ = ["KeepText", "LiteBlocks", "OnFailure", "Streaming"]


class OnFailure(enum.Enum):
    """What happens when the engine gives no verdict."""

    LITE = "lite"
    """The embedded engine answers, marked `degraded`; if it can't, the error is returned."""
    BLOCK = "block"
    """Answer `block` without a verdict, marked `degraded`."""
    FLAG = "flag"
    """Answer `flag` without a verdict, marked `degraded`: unchecked text passes."""
    ALLOW = "allow"
    """Answer `allow` without a verdict, marked `degraded`: unchecked text passes."""
    ERROR = "error"
    """Answer with the HTTP status of the failure (502, 503 or 504)."""

    @property
    def action(self) -> Action | None:
        """The action taken without a verdict; None for LITE and ERROR."""
        return None if self in (OnFailure.LITE, OnFailure.ERROR) else Action(self.value)


class LiteBlocks(enum.Enum):
    """When a verdict of the embedded engine may block; other engines are not concerned."""

    ALWAYS = "always"
    """Whenever the policy's actions say so."""
    SURE = "sure"
    """Only from its threshold for sure; below it, what would be blocked is flagged: harmful text passes."""


class Streaming(enum.Enum):
    """What happens to a streamed answer of the guarded chat model before its verdict is known."""

    HOLD = "hold"
    """Text is held back until it was judged: nothing of a blocked passage is ever shown."""
    SHOW_THEN_CUT = "show-then-cut"
    """Text is shown at once, and the answer is cut when the verdict arrives: harmful text is seen until then."""


class KeepText(enum.Enum):
    """Whether the texts of decisions are kept in the database of records, where there is one."""

    NONE = "none"
    """Never."""
    FLAGGED = "flagged"
    """What is flagged, and what is blocked."""
    BLOCKED = "blocked"
    """What is blocked."""
    ALL = "all"
    """Every text."""

    def keeps(self, action: Action) -> bool:
        """Whether a text of this action is kept."""
        if self is KeepText.FLAGGED:
            return action is not Action.ALLOW
        return self is KeepText.ALL or (self is KeepText.BLOCKED and action is Action.BLOCK)
