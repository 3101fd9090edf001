"""What gateways that ask a moderation service have in common: one policy, one text, one word in reply. No I/O.

A gateway's contract knows severities at most, each caller has a bar of its own, and a policy has its own opinion of
what is to be blocked. The policy's counts: a block is a level that every caller's default blocks, what is marked for
review is the level in the middle, and what the policy allows is none, whatever was found. So a caller's bar can be
raised to let marked text through, and a block never passes by default.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.conversation import Conversation, check_text, says_nothing
from ..core.moderator import Check, Outcome
from ..core.policy import Policies, Policy
from ..core.verdict import Decision, Severity, Target
from ..errors import InvalidRequest, ModerationError
from .openai_models import POLICY_HEADER, TARGET_HEADER, Headers

__all__ = ["check_of", "deciding", "found", "policy_of", "target_of"]

_TARGETS = {target.value: target for target in Target}


def policy_of(headers: Headers, policies: Policies) -> Policy:
    """The policy that the header names, otherwise the default one. Raises InvalidRequest."""
    return policies.get(headers.policy, param=POLICY_HEADER)


def target_of(headers: Headers) -> Target:
    """What a text is in a contract without roles: a prompt, unless the header says otherwise. Raises InvalidRequest."""
    target = _TARGETS.get(headers.target or Target.PROMPT.value)
    if target is None:
        raise InvalidRequest(f"`{TARGET_HEADER}` must be one of {', '.join(_TARGETS)}.", param=TARGET_HEADER)
    return target


def check_of(
    text: str, target: Target, policy: Policy, *, param: str, languages: Sequence[str] = (), question: str = ""
) -> Check | None:
    """The check of one text; None where it says nothing to people nor to models.

    `question` is what a response answers, as far as it is known. Raises InvalidRequest naming `param`.
    """
    if says_nothing(text):
        return None
    check_text(text, param=param)
    if target is Target.PROMPT:
        return Check(Conversation.of(prompt=text), policy, languages=languages)
    return Check(Conversation.of(prompt=question or None, response=text), policy, languages=languages)


def deciding(outcomes: Sequence[Outcome]) -> Decision | None:
    """The decision that counts for a call: the strictest, None if nothing was judged.

    One block is enough; without one, a failure is raised rather than guessed around.
    """
    decisions = [one for one in outcomes if isinstance(one, Decision)]
    worst = max(decisions, key=_rank, default=None)
    if worst is None or worst.allowed:
        for outcome in outcomes:
            if isinstance(outcome, ModerationError):
                raise outcome
    return worst


def found(decision: Decision | None) -> Severity:
    """The severity to show to a caller that has a bar of its own: SAFE for what is allowed.

    UNSAFE where the policy blocks without a verdict.
    """
    if decision is None or (decision.verdict is None and decision.allowed):
        return Severity.SAFE
    if decision.verdict is None:
        return Severity.UNSAFE
    severity = decision.verdict.severity
    if not decision.allowed:
        # Of safe text by its label too: the policy's thresholds, or a list, found more in it.
        return Severity.UNSAFE if severity is Severity.SAFE else severity
    return Severity.CONTROVERSIAL if decision.is_flagged else Severity.SAFE


def _rank(decision: Decision) -> tuple[int, int]:
    return decision.action.rank, decision.verdict.severity.rank if decision.verdict else 0
