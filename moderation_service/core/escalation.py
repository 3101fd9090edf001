"""End users who are blocked again and again: what a policy does about them. No I/O.

After so many blocks within a time, everything that this end user sends under the policy is flagged or blocked for a
while, whatever it is. One text counts once: gateways judge a prompt twice, and clients repeat a refused request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from .verdict import Action

__all__ = ["NOTHING", "Escalation", "Standing"]


@dataclass(frozen=True, slots=True)
class Escalation:
    """The rule of a policy."""

    after_blocks: int
    within_minutes: float
    action: Action
    """FLAG or BLOCK: what happens at least."""
    for_minutes: float

    def to_json(self) -> dict[str, object]:
        """The rule by its names in files."""
        return {
            "after_blocks": self.after_blocks,
            "within_minutes": self.within_minutes,
            "action": self.action.value,
            "for_minutes": self.for_minutes,
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """How one end user stands under one policy: the latest blocks as (seconds since 1970, hash of the text)."""

    blocks: tuple[tuple[float, str], ...] = ()
    action: Action | None = None
    until: float = 0.0
    since: float = 0.0
    """When what runs now was begun last."""

    def action_at(self, now: float) -> Action | None:
        """What happens at least to what they send now; None if nothing more than the policy says."""
        return self.action if now < self.until else None

    def after_block(self, rule: Escalation, *, now: float, text: str) -> Standing:
        """The standing once one more text was blocked for what it is."""
        begun = now - rule.within_minutes * 60
        recent = tuple((at, one) for at, one in self.blocks if at > begun)
        if all(one != text for _, one in recent):
            recent = (*recent, (now, text))
        if len(recent) < rule.after_blocks:
            return replace(self, blocks=recent)
        until = now + rule.for_minutes * 60
        running = self.action_at(now)
        # One that goes on is never made shorter or milder by the next.
        action = max(rule.action, running or rule.action, key=lambda one: one.rank)
        return Standing((), action, max(until, self.until if running else until), now)

    def encode(self) -> bytes:
        """As bytes, for memories that workers or machines share."""
        action = None if self.action is None else self.action.value
        content = {"blocks": self.blocks, "action": action, "until": self.until, "since": self.since}
        return json.dumps(content).encode()

    @classmethod
    def decode(cls, raw: bytes | None) -> Standing:
        """The standing of such bytes; of nothing, that of somebody unknown. Raises ValueError for any others."""
        if raw is None:
            return NOTHING
        try:
            found = json.loads(raw)
            blocks = tuple((float(at), str(text)) for at, text in found["blocks"])
            action = None if found["action"] is None else Action(found["action"])
            return cls(blocks, action, float(found["until"]), float(found["since"]))
        except (TypeError, LookupError, RecursionError) as error:
            raise ValueError("not a standing") from error


NOTHING = Standing()
"""The standing of somebody who was not blocked lately."""
