"""The pipeline: lists -> cache -> engine -> fail mode -> policy -> record. Every wire comes through here."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Protocol

from ..errors import AuditUnavailable, EngineError, EngineUnavailable, FailureReason, ModerationError
from ..ids import ordered_hex
from .cascade import Sureness
from .conversation import Conversation
from .engine import Deadline, Engine, SurenessEngine
from .found import Found, reconciled, with_fallback
from .languages import written_in
from .list_rules import held_from, is_listed, listings, settled
from .listing import Listing, ListSource, listed_verdict
from .policy import OnFailure, Policy, Rules
from .prepared_answer import AnswerSource
from .verdict import Action, Category, Decision, Detail, Verdict
from .verdict_cache import Fingerprint, VerdictCache
from .what_if import would_have_acted

__all__ = ["After", "Check", "Moderator", "Observer", "Outcome", "Record"]

Outcome = Decision | ModerationError
_Way = tuple[Detail, Sureness | None]
After = Callable[["Check", Decision, bytes], Decision]
"""Makes of a check's decision, and the text's fingerprint, the one that stands: as strict, or stricter."""

_FALLBACK_S = 2.0
"""What the fallback gets at least, when an engine that hangs has used up the request's time: it takes milliseconds for
most texts, and a fail mode that comes too late would be none."""


@dataclass(frozen=True, slots=True)
class Check:
    """One conversation to judge, and how the caller wants it judged.

    `languages` are the end user's, best first, for the message shown when blocked; without any it is in the language
    of the judged text, or of the prompt that a response answers. `metadata` is the caller's, for the audit record only.
    `is_open`: more text will follow behind the judged one.
    """

    conversation: Conversation
    policy: Policy
    detail: Detail = Detail.FULL
    languages: Sequence[str] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    is_open: bool = False

    @property
    def rules(self) -> Rules:
        """The rules that it is decided by."""
        return self.policy.rules_for(self.conversation.target, self.conversation.tool)

    def message(self, categories: Sequence[Category] = ()) -> str:
        """The text for the end user if this is blocked for these categories."""
        chat = self.conversation
        return self.policy.message(self.languages or written_in(chat.messages[-1].content, chat.prompt), categories)


def _detail(check: Check) -> Detail:
    """What the engine is asked for: all of it where the policy acts on categories, even if the caller does without.

    Else a check for the severity alone could be decided more mildly than the policy says.
    """
    return Detail.FULL if check.rules.needs_categories else check.detail


class Observer(Protocol):
    """Told of every outcome; must not raise, and must not keep text."""

    def decided(self, check: Check, decision: Decision, fingerprint: bytes) -> None:
        """A decision was made."""

    def failed(self, check: Check, error: ModerationError) -> None:
        """No decision could be made."""

    def engine_called(self, engine: str, seconds: float, failures: int, verdicts: int) -> None:
        """An engine was asked once, for so many conversations."""


class Record(Protocol):
    """Where outcomes are written down before anyone is told of them."""

    def write(self, check: Check, outcome: Outcome, fingerprint: bytes) -> None:
        """Write it down. Raises AuditUnavailable when a decision must not be given for lack of that."""


class Moderator:
    """Decides checks. Safe to use from many threads.

    `fallback` is the engine for policies whose fail mode is `lite`; None when `engine` is the embedded one already.
    `lists` are those that policies name, `answers` what is shown to certain questions when they are blocked.
    `after` has the last word on a decision, before it is written down; it must not raise.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        cache: VerdictCache,
        fallback: Engine | None = None,
        lists: ListSource | None = None,
        answers: AnswerSource | None = None,
        fingerprint: Fingerprint | None = None,
        record: Record | None = None,
        observers: Sequence[Observer] = (),
        after: After | None = None,
        deadline_s: float = 30.0,
    ) -> None:
        self.engine = engine
        self.fallback = fallback
        self.cache = cache
        self._by_sureness = engine if isinstance(engine, SurenessEngine) else None
        self._lists = lists
        self._answers = answers
        self._fingerprint = fingerprint or Fingerprint()
        self._record = record
        self._observers = tuple(observers)
        self._after = after
        self._deadline_s = deadline_s

    def decide(self, checks: Sequence[Check]) -> list[Outcome]:
        """One decision or error per check, in order. A failure of one check does not touch the others."""
        started = perf_counter()
        deadline = Deadline(monotonic() + self._deadline_s)
        prints = [self._fingerprint.of(check.conversation) for check in checks]
        details = [_detail(check) for check in checks]
        listed = None if self._lists is None else listings(self._lists, checks)
        if listed is None:
            found = self._judge(checks, details, prints, deadline)
        else:
            found = self._judge_unlisted(checks, details, prints, deadline, listed)
        outcomes: list[Outcome] = []
        for index, (check, fingerprint, one) in enumerate(zip(checks, prints, found, strict=True)):
            outcome = self._decide_one(check, one, (perf_counter() - started) * 1000.0)
            if listed is not None and (listing := listed[index]) is not None:
                outcome = settled(
                    check, outcome, listing, judge=lambda rest: self._judge_rest(rest, deadline), message=self.message
                )
            outcomes.append(self._recorded(check, outcome, fingerprint))
        return outcomes

    def decide_found(self, check: Check, verdict: Verdict, *, latency_ms: float) -> Decision:
        """The decision on a verdict that was had elsewhere, such as at a token of a growing answer.

        Raises AuditUnavailable.
        """
        decision = self._decide_one(check, Found(verdict), latency_ms)
        assert isinstance(decision, Decision), "a verdict can always be decided on"
        outcome = self._recorded(check, decision, self._fingerprint.of(check.conversation))
        if isinstance(outcome, ModerationError):
            raise outcome
        return outcome

    def message(self, check: Check, verdict: Verdict | None) -> str:
        """The text for the end user if this is blocked: an answer prepared for the question, else the policy's."""
        prepared = None
        if self._answers is not None:
            prepared = self._answers.find(check.policy.name, check.conversation.prompt)
        return prepared or check.message(() if verdict is None else verdict.categories)

    def held_from(self, check: Check) -> int:
        """Up to which offset an open text may be shown: behind it, it may become a list's hit with what follows."""
        return held_from(self._lists, check)

    def is_listed(self, check: Check) -> bool:
        """Whether a list blocks a text, so that no engine would be asked."""
        return is_listed(self._lists, check)

    def unrecorded(self, engine: Engine) -> Moderator:
        """The same with this engine, and nothing of it written down, counted or remembered: to try things out."""
        other = copy.copy(self)
        other.engine, other.cache = engine, VerdictCache(size=0, ttl_s=1)
        other._record, other._observers, other._after = None, (), None
        return other

    def check_ready(self) -> None:
        """Return when a verdict can be had from the engine. Raises EngineError."""
        self.engine.check_ready()

    def close(self) -> None:
        """Close the engines."""
        self.engine.close()
        if self.fallback is not None:
            self.fallback.close()

    def _recorded(self, check: Check, outcome: Outcome, fingerprint: bytes) -> Outcome:
        """The outcome, written down and told to the observers; an error where it may not be given unrecorded."""
        if self._after is not None and isinstance(outcome, Decision):
            outcome = self._after(check, outcome, fingerprint)
        if self._record is not None:
            try:
                self._record.write(check, outcome, fingerprint)
            except AuditUnavailable as error:
                outcome = error
        for observer in self._observers:
            if isinstance(outcome, Decision):
                observer.decided(check, outcome, fingerprint)
            else:
                observer.failed(check, outcome)
        return outcome

    def _judge_unlisted(
        self,
        checks: Sequence[Check],
        details: Sequence[Detail],
        prints: Sequence[bytes],
        deadline: Deadline,
        listed: Sequence[Listing | None],
    ) -> list[Found]:
        """What a block entry stands in is decided by it; the rest is judged."""
        found: list[Found | None] = [None] * len(checks)
        for index, listing in enumerate(listed):
            if listing is not None and listing.block is not None:
                found[index] = Found(listed_verdict(listing.block, checks[index].conversation.target))
        rest = [index for index, one in enumerate(found) if one is None]
        if rest:
            chosen = [checks[index] for index in rest]
            judged = self._judge(
                chosen, [details[index] for index in rest], [prints[index] for index in rest], deadline
            )
            for index, one in zip(rest, judged, strict=True):
                found[index] = one
        return [one for one in found if one is not None]

    def _judge_rest(self, check: Check, deadline: Deadline) -> Outcome:
        """The decision on what a list leaves of a text."""
        (found,) = self._judge([check], [_detail(check)], [self._fingerprint.of(check.conversation)], deadline)
        return self._decide_one(check, found, 0.0)

    def _judge(
        self, checks: Sequence[Check], details: Sequence[Detail], prints: Sequence[bytes], deadline: Deadline
    ) -> list[Found]:
        """Cache, then the engine for what is not in it, then the fallback for what the engine could not judge."""
        found: list[Found | None] = []
        model = self.engine.model.encode()
        for check, detail, fingerprint in zip(checks, details, prints, strict=True):
            verdict = self.cache.get(fingerprint + model, detail) if self.cache.size else None
            if verdict is not None and self._by_sureness is not None:
                verdict = verdict if self._by_sureness.suffices(verdict, Sureness.of(check.rules)) else None
            found.append(None if verdict is None else Found(verdict, cached=True))
        missing = [index for index, one in enumerate(found) if one is None]
        answers = self._ask(self.engine, checks, details, prints, missing, deadline)
        # Asked again: a model server's model may have become known, or another one, with this very call.
        model = self.engine.model.encode()
        retry = []
        for index, answer in answers.items():
            if isinstance(answer, Verdict):
                verdict = self.cache.put(prints[index] + model, details[index], answer)
                failure = verdict.failure if verdict.may_be_worse else None
                one = Found(verdict, failure if isinstance(failure, ModerationError) else None)
            else:
                one = Found(None, answer)
            found[index] = one
            if one.error is not None and self._falls_back(checks[index], one.error):
                retry.append(index)
        if self.fallback is not None and retry:
            late = Deadline(max(deadline.at_s, monotonic() + _FALLBACK_S))
            for index, answer in self._ask(self.fallback, checks, details, prints, retry, late).items():
                if isinstance(answer, Verdict):
                    found[index] = with_fallback(found[index], answer)
        judged = [one for one in found if one is not None]
        return judged if len(judged) == 1 else reconciled(judged, prints)

    def _ask(
        self,
        engine: Engine,
        checks: Sequence[Check],
        details: Sequence[Detail],
        prints: Sequence[bytes],
        indexes: Sequence[int],
        deadline: Deadline,
    ) -> dict[int, Verdict | ModerationError]:
        """Ask once per distinct conversation and way of asking; equal ones in a batch share the answer."""
        by_sureness = self._by_sureness if engine is self.engine else None
        groups: dict[tuple[_Way, bytes], list[int]] = {}
        for index in indexes:
            sureness = None if by_sureness is None else Sureness.of(checks[index].rules)
            groups.setdefault(((details[index], sureness), prints[index]), []).append(index)
        answers: dict[int, Verdict | ModerationError] = {}
        for way in {way for way, _ in groups}:
            same = [group for (asked, _), group in groups.items() if asked == way]
            conversations = [checks[group[0]].conversation for group in same]
            for group, answer in zip(same, self._call(engine, conversations, way, deadline), strict=True):
                answers.update(dict.fromkeys(group, answer))
        return answers

    def _call(
        self, engine: Engine, conversations: Sequence[Conversation], way: _Way, deadline: Deadline
    ) -> list[Verdict | ModerationError]:
        (detail, sureness), started = way, perf_counter()
        try:
            if sureness is None or self._by_sureness is None:
                judged = engine.judge(conversations, detail=detail, deadline=deadline)
            else:
                judged = self._by_sureness.judge_with(conversations, sureness, detail=detail, deadline=deadline)
        except ModerationError as error:
            judged = [error] * len(conversations)
        seconds, failures = perf_counter() - started, sum(not isinstance(answer, Verdict) for answer in judged)
        for observer in self._observers:
            observer.engine_called(engine.name, seconds, failures, len(judged) - failures)
        return judged

    def _falls_back(self, check: Check, error: ModerationError) -> bool:
        return isinstance(error, EngineError) and check.rules.on_failure is OnFailure.LITE

    def _decide_one(self, check: Check, found: Found, latency_ms: float) -> Outcome:
        target = check.conversation.target
        verdict, degraded, reason = found.verdict, found.degraded, None
        if verdict is not None:
            action = check.rules.action(verdict)
            engine, model = verdict.engine, verdict.model
        else:
            action = Action.ALLOW
            engine, model = self.engine.name, self.engine.model
        if not degraded and (verdict is None or found.error is not None):
            error = found.error or EngineUnavailable("The engine gave no answer.")
            # Only an engine's failure has a fail mode; a text over a limit, or too many requests, is the caller's.
            forced = check.rules.on_failure.action if isinstance(error, EngineError) else None
            if forced is None and action is not Action.BLOCK:
                return error
            # What was read of a part of the text is acted on in any case.
            action, degraded = max(action, forced or action, key=lambda one: one.rank), True
        if degraded:
            failed = found.error.reason if isinstance(found.error, EngineError) else FailureReason.UNAVAILABLE
            reason = failed.value
        return Decision(
            id="mod_" + ordered_hex(24),
            target=target,
            verdict=verdict,
            action=action,
            policy=check.policy.name,
            message=self.message(check, verdict) if action is Action.BLOCK else None,
            engine=engine,
            model=model,
            degraded=degraded,
            cached=found.cached,
            latency_ms=latency_ms,
            reason=reason,
            shadow=_shadow(check, found, has_failed=degraded) if check.policy.shadow else (),
        )


def _shadow(check: Check, found: Found, *, has_failed: bool) -> tuple[Action | None, ...]:
    """What the policy's shadow policies would have done."""
    chat = check.conversation
    return would_have_acted(
        check.policy.shadow,
        chat.target,
        found.verdict,
        detail=_detail(check),
        tool=chat.tool,
        has_failed=has_failed,
        by_fallback=found.degraded,
    )
