"""How what the lists say of a text goes into its decision. No I/O.

A block entry's decision is a block, whatever the policy makes of severities. An excuse changes the action alone, and
only as far as the rest of the text, judged by itself, lets it: a text may have more than one bad place, and the engine
names the worst. What was decided without a verdict is not excused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import ModerationError
from .listing import ENGINE, Listing, ListSource
from .verdict import Action, Decision, Verdict

if TYPE_CHECKING:
    from .moderator import Check

__all__ = ["held_from", "is_listed", "listings", "settled"]

Outcome = Decision | ModerationError


def listings(source: ListSource, checks: Sequence[Check]) -> list[Listing | None] | None:
    """What the lists of their policies say of the texts; None where there is nothing."""
    found = [
        source.find(names, check.conversation.target, check.conversation.messages[-1].content, is_open=check.is_open)
        if (names := source.names(check.policy))
        else None
        for check in checks
    ]
    return found if any(one is not None for one in found) else None


def is_listed(source: ListSource | None, check: Check) -> bool:
    """Whether a block entry stands in the text."""
    found = None if source is None else listings(source, [check])
    return found is not None and found[0] is not None and found[0].block is not None


def held_from(source: ListSource | None, check: Check) -> int:
    """The offset from which on an open text may become a hit; its length if none of it."""
    text = check.conversation.messages[-1].content
    if source is None or not (names := source.names(check.policy)):
        return len(text)
    return source.held_from(names, text)


def settled(
    check: Check,
    outcome: Outcome,
    listing: Listing,
    *,
    judge: Callable[[Check], Outcome],
    message: Callable[[Check, Verdict | None], str],
) -> Outcome:
    """The outcome with what the lists make of its action.

    `judge` decides on the rest of a text, `message` gives the text for the end user of a blocked one.
    """
    if not isinstance(outcome, Decision):
        return outcome
    if listing.block is not None:
        shown = outcome.message or message(check, outcome.verdict)
        return replace(outcome, action=Action.BLOCK, message=shown, listed_by=listing.block.listed_by)
    if outcome.action is not Action.ALLOW and outcome.verdict is not None:
        outcome = _excused(check, outcome, listing, judge)
    if listing.flag is not None and outcome.action is Action.ALLOW:
        by = listing.flag.listed_by
        return replace(outcome, action=Action.FLAG, engine=ENGINE, model=by.list_name, cached=False, listed_by=by)
    return outcome


def _excused(check: Check, decision: Decision, listing: Listing, judge: Callable[[Check], Outcome]) -> Decision:
    assert decision.verdict is not None
    excuse = listing.excuse(decision.verdict, check.conversation.messages[-1].content)
    if excuse is None:
        return decision
    action = Action.ALLOW
    if excuse.rest:
        alone = judge(_without_listed(check, excuse.rest))
        if not isinstance(alone, Decision) or alone.verdict is None or alone.verdict.failure is not None:
            return decision
        if alone.degraded and not decision.degraded:
            return decision  # the fallback's word does not go against the engine's
        action = alone.action
    if action.rank >= decision.action.rank:
        return decision
    return replace(decision, action=action, message=None, cached=False, listed_by=excuse.hit.listed_by)


def _without_listed(check: Check, rest: str) -> Check:
    """The same check of what is left of its text."""
    chat = check.conversation
    last = replace(chat.messages[-1], content=rest)
    return replace(check, conversation=replace(chat, messages=(*chat.messages[:-1], last)))
