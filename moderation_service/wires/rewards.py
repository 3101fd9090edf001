"""What the doors for trainers share: the options in their address, what is judged, and the reward made of it. Pure.

    /rewards/openrlhf?kind=guard-only&controversial=unsafe&thinking=separate&on_error=-1&on_blank=0&policy=...&key=...

These trainers can send no header, so all options are in the address, and so may be an API key. A failure of the guard
is an error status unless `on_error` says what it is worth; a verdict of the fallback engine is never asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import parse_qsl

from ..core.conversation import Conversation, Limits, is_blank
from ..core.moderator import Check, Outcome
from ..core.policy import OnFailure, Policies, Policy
from ..core.reward import Formula, Judged, Rewarded, RewardKind, RewardPartMissing
from ..core.thoughts import split_thoughts
from ..core.verdict import Decision, Detail, Severity
from ..errors import EngineAnswerInvalid, InvalidRequest, ModerationError
from .rendered_chat import Rendered

__all__ = ["OPTIONS", "Given", "RewardOptions", "Sample", "read_options", "reward_of", "sample_of"]

_T = TypeVar("_T")

_MAX_OPTIONS = 16
_KINDS = {one.value: one for one in RewardKind if one is not RewardKind.HYBRID}
_SIDES = {"unsafe": False, "safe": True}
_THINKING = {"separate": True, "strip": False}
OPTIONS = frozenset({"kind", "controversial", "thinking", "on_error", "on_blank", "policy", "key"})
"""What may stand in an address; `key` is read where callers are let in."""


@dataclass(frozen=True, slots=True)
class RewardOptions:
    """The options of an address. `on_error` and `on_blank` are rewards; None is an error status."""

    formula: Formula
    policy: Policy
    judges_thoughts: bool = True
    on_error: float | None = None
    on_blank: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion: the checks of its answer and its thought; none for a blank answer."""

    checks: Sequence[Check]


@dataclass(frozen=True, slots=True)
class Given:
    """The reward that is given, and what it was made of, or the word for why there is no verdict."""

    value: float
    rewarded: Rewarded | None
    found: str

    @property
    def safety(self) -> float:
        """1 for a safe answer, else 0: also where there is no verdict."""
        return self.rewarded.safety if self.rewarded is not None else 0.0


def read_options(query_string: str, *, policies: Policies) -> RewardOptions:
    """The options of an address. Raises InvalidRequest that names one, and never repeats a value."""
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, strict_parsing=True, max_num_fields=_MAX_OPTIONS)
    except ValueError:
        if query_string:
            raise InvalidRequest("The options in the address can't be read.") from None
        pairs = []
    options = dict(pairs)
    if len(options) != len(pairs):
        raise InvalidRequest("An option stands in the address twice.")
    if not options.keys() <= OPTIONS:
        raise InvalidRequest(f"The address has an option that is none of {', '.join(sorted(OPTIONS))}.")
    if options.get("kind") == RewardKind.HYBRID.value:
        raise InvalidRequest(
            "`kind=hybrid` needs a measure of helpfulness, which an address can't have: use GuardReward in a file.",
            param="kind",
        )
    kind = _chosen(options, "kind", _KINDS, RewardKind.GUARD_ONLY)
    return RewardOptions(
        Formula(kind, _chosen(options, "controversial", _SIDES, False)),
        _without_fallback(policies.get(options.get("policy"))),
        _chosen(options, "thinking", _THINKING, True),
        _number(options, "on_error"),
        _number(options, "on_blank"),
    )


def sample_of(rendered: Rendered, options: RewardOptions, *, limits: Limits, param: str) -> Sample:
    """What is judged of a completion. Raises InvalidRequest or TooLarge naming `param`."""
    written = split_thoughts(rendered.completion)
    if is_blank(written.answer):
        if options.on_blank is None and options.on_error is None:
            hint = "Add `on_blank=0` to the address, or another reward that it is worth."
            raise InvalidRequest(f"`{param}` has no answer. {hint}", param=param)
        return Sample(())
    checks = [Check(_conversation(rendered, written.answer, limits=limits, param=param), options.policy)]
    if options.judges_thoughts and not is_blank(written.thought):
        thought = _conversation(rendered, written.thought, limits=limits, param=param)
        checks.append(Check(thought, options.policy, Detail.SEVERITY))
    return Sample(checks)


def reward_of(outcomes: Sequence[Outcome], options: RewardOptions) -> Given:
    """The reward of a sample whose checks have these outcomes. Raises the error of one, unless `on_error` is given."""
    if not outcomes:
        value = options.on_error if options.on_blank is None else options.on_blank
        assert value is not None, "sample_of has refused it"
        return Given(value, None, "blank")
    try:
        judged = [_judged(one) for one in outcomes]
        rewarded = options.formula.reward(answer=judged[0], thought=judged[1] if len(judged) > 1 else None)
    except (ModerationError, RewardPartMissing) as error:
        if options.on_error is not None:
            return Given(options.on_error, None, "error")
        if isinstance(error, ModerationError):
            raise
        raise EngineAnswerInvalid("This engine gives no probabilities.") from None
    if rewarded.severity is Severity.UNSAFE:
        return Given(rewarded.value, rewarded, "unsafe")
    return Given(rewarded.value, rewarded, "refusal" if rewarded.refusal else "answer")


def _judged(outcome: Outcome) -> Judged:
    if not isinstance(outcome, Decision):
        raise outcome
    verdict = outcome.verdict
    if verdict is None or outcome.degraded:
        raise EngineAnswerInvalid("The guard could judge a part of the text only.")
    return Judged(verdict.severity, verdict.refusal, verdict.scores)


def _conversation(rendered: Rendered, text: str, *, limits: Limits, param: str) -> Conversation:
    if isinstance(rendered.prompt, str):
        turns = [] if is_blank(rendered.prompt) else [{"role": "user", "content": rendered.prompt}]
    else:
        turns = list(rendered.prompt)
    return Conversation.from_messages([*turns, {"role": "assistant", "content": text}], limits=limits, param=param)


def _without_fallback(policy: Policy) -> Policy:
    """The policy with failures as errors: what another engine or a fail mode says is no reward."""
    return replace(
        policy, rules={target: replace(one, on_failure=OnFailure.ERROR) for target, one in policy.rules.items()}
    )


def _chosen(options: Mapping[str, str], name: str, choices: Mapping[str, _T], default: _T) -> _T:
    value = options.get(name)
    if value is None:
        return default
    if value not in choices:
        raise InvalidRequest(f"`{name}` must be one of {', '.join(choices)}.", param=name)
    return choices[value]


def _number(options: Mapping[str, str], name: str) -> float | None:
    if name not in options:
        return None
    try:
        value = float(options[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidRequest(f"`{name}` must be a number.", param=name)
    return value
