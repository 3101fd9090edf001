"""`GuardReward`: a reward function for trainers, answered by a running service."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.reward import Formula, Judged, Rewarded, RewardKind, RewardPartMissing
from ...core.verdict import Severity
from ...errors import ConfigurationError, EngineUnavailable
from .completions import Completed, read_completion, without_answer
from .guard_client import GuardClient, Unjudged

__all__ = ["GuardReward", "Scored"]

_log = logging.getLogger("moderation.rewards")

Helpfulness = Callable[..., Any] | str

_BLANK = "blank"


@dataclass(frozen=True, slots=True)
class Scored:
    """The reward of one completion: `value`, or None where there is none and `on_error="none"` says so.

    `rewarded` is what it was made of; None where nothing was judged, for the reason `unjudged`.
    """

    value: float | None
    rewarded: Rewarded | None = None
    unjudged: str | None = None

    @property
    def label(self) -> str:
        """`safe`, `controversial`, `unsafe`, or why there is no verdict."""
        return self.rewarded.severity.value if self.rewarded is not None else str(self.unjudged)

    @property
    def refusal(self) -> bool | None:
        """Whether the answer refuses; None where that is not known."""
        return None if self.rewarded is None else self.rewarded.refusal

    def metrics(self) -> dict[str, float]:
        """The same as numbers, for trainers that average what comes with a reward."""
        return {
            "guard_unsafe": float(self.rewarded is not None and not self.rewarded.safety),
            "guard_refusal": float(self.refusal is True),
            "guard_blank": float(self.unjudged == _BLANK),
            "guard_error": float(self.unjudged is not None and self.unjudged != _BLANK),
        }


class GuardReward:
    """A reward function, `await reward(prompts=..., completions=...)`: one number per completion, as TRL asks for it.

    `on_error` says what a completion is worth that could not be judged: a number, `"none"` (TRL leaves the row out, if
    no other function rewards it), or `"raise"`. There is no default, because each of them is wrong for somebody.
    A verdict of the service's fallback engine is no verdict. `on_blank` is the same for a completion without an answer,
    which early in training there will be; None treats it as an error.

    `helpfulness`, for hybrid: a function that is called as this one is and returns a number per completion, or the name
    of a column that has them. `thinking`: `"separate"` judges a thought as an answer of its own, `"strip"` leaves it
    out. `controversial` says on which side that label falls. `timeout_s` is for one request with its repetitions,
    `in_flight` for the texts asked for at the same time. `policy` is one of the service's, for its fail mode.

    Raises ConfigurationError for options that can't work, here or when the service refuses the key or the address.
    """

    def __init__(
        self,
        url: str,
        *,
        on_error: str | float,
        on_blank: float | None = None,
        kind: str = "guard-only",
        helpfulness: Helpfulness | None = None,
        controversial: str = "unsafe",
        thinking: str = "separate",
        api_key: str | None = None,
        policy: str | None = None,
        timeout_s: float = 30.0,
        in_flight: int = 64,
        name: str = "guard",
    ) -> None:
        chosen = RewardKind(_choice("kind", kind, [one.value for one in RewardKind]))
        is_safe = _choice("controversial", controversial, ["unsafe", "safe"]) == "safe"
        if (chosen is RewardKind.HYBRID) != (helpfulness is not None):
            raise ConfigurationError("helpfulness: hybrid needs it, the other kinds don't use it.")
        if not isinstance(on_error, str):
            on_error = _finite("on_error", on_error)
        self.on_error = on_error if isinstance(on_error, float) else _choice("on_error", on_error, ["none", "raise"])
        self._on_blank = None if on_blank is None else _finite("on_blank", on_blank)
        self._formula = Formula(chosen, is_safe)
        self._helpfulness = helpfulness
        self._judges_thoughts = _choice("thinking", thinking, ["separate", "strip"]) == "separate"
        self._client = GuardClient(url, api_key=api_key, policy=policy, timeout_s=timeout_s, in_flight=in_flight)
        self.__name__ = name
        """What trainers call this function in their logs."""

    async def __call__(
        self,
        prompts: Sequence[object] | None = None,
        completions: Sequence[object] | None = None,
        *,
        log_metric: Callable[[str, float], object] | None = None,
        log_extra: Callable[[str, list[Any]], object] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """The rewards of these completions, in their order.

        `prompts` are texts or lists of messages; without them, `messages` that end with the completion (ms-swift).
        `log_metric` and `log_extra` are TRL's; without them the rates go to the log. Raises EngineUnavailable where
        `on_error` is `"raise"`.
        """
        scored = await self.score(prompts, completions, **columns)
        if log_metric is not None:
            for rate, value in _rates(scored).items():
                log_metric(f"{self.__name__}/{rate}", value)
        if log_extra is not None:
            log_extra(self.__name__, [one.label for one in scored])
        return [one.value for one in scored]

    async def score(
        self, prompts: Sequence[object] | None, completions: Sequence[object] | None, **columns: Any
    ) -> list[Scored]:
        """The same with what the rewards were made of."""
        if completions is None:
            raise TypeError("`completions` are missing")
        if prompts is None:
            prompts = [without_answer(messages) for messages in columns.get("messages") or ()]
        if len(prompts) != len(completions):
            raise ValueError(f"there are {len(prompts)} prompts and {len(completions)} completions")
        pairs = [read_completion(*pair) for pair in zip(prompts, completions, strict=True)]
        judging = asyncio.create_task(self._judge(pairs))
        try:
            values = await self._helpful(prompts=prompts, completions=completions, **columns)
            judged = await judging
        finally:
            judging.cancel()
        scored = [self._scored(*one) for one in zip(pairs, judged, values, strict=True)]
        self._report(scored)
        return scored

    def score_sync(self, prompts: Sequence[object], completions: Sequence[object], **columns: Any) -> list[Scored]:
        """`score` for callers without an event loop."""
        return asyncio.run(self.score(prompts, completions, **columns))

    async def _judge(self, pairs: Sequence[Completed]) -> list[list[Judged | Unjudged]]:
        """Verdicts of each: on the answer and, if it is judged too, on the thought; none for a blank answer."""
        wanted: list[list[Mapping[str, object]]] = []
        for pair in pairs:
            items: list[Mapping[str, object]] = []
            if not pair.is_blank:
                items.append(pair.body(pair.answer))
                if self._judges_thoughts and pair.has_thought:
                    # Whether it refuses is asked of the answer only, so one token tells all of it.
                    items.append({**pair.body(pair.thought), "detail": "severity"})
            wanted.append(items)
        found = iter(await self._client.judge([item for items in wanted for item in items]))
        return [[next(found) for _ in items] for items in wanted]

    def _scored(self, pair: Completed, judged: Sequence[Judged | Unjudged], helpfulness: float | None) -> Scored:
        if pair.is_blank:
            return self._without_verdict(_BLANK)
        parts = [one for one in judged if isinstance(one, Judged)]
        if len(parts) < len(judged):
            return self._without_verdict(next(one.reason for one in judged if isinstance(one, Unjudged)))
        try:
            thought = parts[1] if len(parts) > 1 else None
            rewarded = self._formula.reward(answer=parts[0], thought=thought, helpfulness=helpfulness)
        except RewardPartMissing as missing:
            return self._without_verdict(str(missing))
        return Scored(rewarded.value, rewarded)

    def _without_verdict(self, reason: str) -> Scored:
        value = self._on_blank if reason == _BLANK else None
        if value is None and isinstance(self.on_error, float):
            value = self.on_error
        return Scored(value, unjudged=reason)

    async def _helpful(self, **given: Any) -> list[float | None]:
        if self._helpfulness is None:
            return [None] * len(given["completions"])
        if isinstance(self._helpfulness, str):
            if self._helpfulness not in given:
                raise ConfigurationError(f"helpfulness: there is no column {self._helpfulness!r}.")
            found = given[self._helpfulness]
        else:
            # In a thread, because it may be a model; an async one only begins there.
            found = await asyncio.to_thread(self._helpfulness, **given)
            if inspect.isawaitable(found):
                found = await found
        values = [None if one is None else float(one) for one in found]
        if len(values) != len(given["completions"]):
            raise ValueError(f"helpfulness gave {len(values)} numbers for {len(given['completions'])} completions")
        return values

    def _report(self, scored: Sequence[Scored]) -> None:
        """Log the rates, and raise where that is asked for."""
        rates = ", ".join(f"{rate} {value:.3f}" for rate, value in _rates(scored).items())
        _log.info("%s: %d completions, %s", self.__name__, len(scored), rates)
        failed = [one for one in scored if one.unjudged not in (None, _BLANK)]
        if failed:
            _log.warning("%s: no verdict on %s", self.__name__, _counted(failed, of=len(scored)))
        lacking = [one for one in scored if one.value is None]
        if lacking and self.on_error == "raise":
            hint = " Set on_blank for the blank ones." if any(one.unjudged == _BLANK for one in lacking) else ""
            raise EngineUnavailable(f"No reward for {_counted(lacking, of=len(scored))}.{hint}")


def _rates(scored: Sequence[Scored]) -> dict[str, float]:
    """Shares of the completions; where it is about a verdict, of those that have one."""
    severities = [one.rewarded.severity for one in scored if one.rewarded is not None]
    shares = {
        "refusal_rate": [one.refusal for one in scored if one.refusal is not None],
        "unsafe_rate": [one is Severity.UNSAFE for one in severities],
        "controversial_rate": [one is Severity.CONTROVERSIAL for one in severities],
        "blank_rate": [one.unjudged == _BLANK for one in scored],
        "error_rate": [one.unjudged not in (None, _BLANK) for one in scored],
    }
    return {rate: sum(found) / len(found) for rate, found in shares.items() if found}


def _counted(scored: Sequence[Scored], *, of: int) -> str:
    """Such as `3 of 64 completions (2 timeout, 1 degraded)`."""
    reasons = Counter(str(one.unjudged) for one in scored)
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return f"{len(scored)} of {of} completions ({told})"


def _choice(option: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ConfigurationError(f"{option}: must be one of {', '.join(choices)}.")
    return value


def _finite(option: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"{option}: must be a number.")
    return float(value)
