"""An engine that judges by keywords, and what tests need to see and steer of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from moderation_service.core.conversation import Conversation
from moderation_service.core.verdict import Category, Coverage, Detail, Scores, Severity, Target, Verdict
from moderation_service.engines import Deadline
from moderation_service.errors import ModerationError

__all__ = ["SCORES", "FakeEngine", "verdict"]

_KEYWORDS = {
    "bomb": (Severity.UNSAFE, Category.VIOLENT),
    "ignore all rules": (Severity.UNSAFE, Category.JAILBREAK),
    "election": (Severity.CONTROVERSIAL, Category.POLITICALLY_SENSITIVE_TOPICS),
    "insult": (Severity.CONTROVERSIAL, Category.UNETHICAL_ACTS),
}

SCORES = {
    Severity.SAFE: Scores(0.9, 0.08, 0.02),
    Severity.CONTROVERSIAL: Scores(0.2, 0.7, 0.1),
    Severity.UNSAFE: Scores(0.01, 0.04, 0.95),
}


class FakeEngine:
    """Finds `bomb`, `ignore all rules`, `election` and `insult`; a response with "can't" is a refusal.

    `errors` maps a keyword to the error that a conversation with it gets; `raises` is raised by every call as a
    whole; its verdicts say `coverage` and `is_sure`. While `gate` is a cleared event, calls wait for it (`entered` is
    set as soon as one does).
    """

    def __init__(
        self,
        *,
        name: str = "fake",
        model: str = "fake-1",
        errors: Mapping[str, ModerationError] | None = None,
        raises: BaseException | None = None,
        not_ready: ModerationError | None = None,
        has_scores: bool = True,
        gate: threading.Event | None = None,
        coverage: Coverage | None = None,
        is_sure: bool = True,
    ) -> None:
        self.name = name
        self.model = model
        self.errors = dict(errors or {})
        self.raises = raises
        self.not_ready = not_ready
        self.has_scores = has_scores
        self.gate = gate
        self.coverage = coverage
        self.is_sure = is_sure
        self.entered = threading.Event()
        self.calls: list[tuple[list[str], Detail]] = []
        self.closed = False

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        self.calls.append(([one.messages[-1].content for one in conversations], detail))
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(30), "nobody opened the gate"
        if self.raises is not None:
            raise self.raises
        return [self._judge(one, detail) for one in conversations]

    def check_ready(self) -> None:
        if self.not_ready is not None:
            raise self.not_ready

    def close(self) -> None:
        self.closed = True

    @property
    def asked(self) -> list[str]:
        """Every text that was asked for, in order."""
        return [text for texts, _ in self.calls for text in texts]

    def _judge(self, conversation: Conversation, detail: Detail) -> Verdict | ModerationError:
        text = conversation.messages[-1].content.lower()
        for keyword, error in self.errors.items():
            if keyword in text:
                return error
        found = [hit for keyword, hit in _KEYWORDS.items() if keyword in text]
        severity = max((one for one, _ in found), key=lambda one: one.rank, default=Severity.SAFE)
        is_full = detail is Detail.FULL
        return Verdict(
            target=conversation.target,
            severity=severity,
            categories=tuple(category for _, category in found) if is_full else (),
            refusal="can't" in text if is_full and conversation.target is Target.RESPONSE else None,
            scores=SCORES[severity] if self.has_scores else None,
            engine=self.name,
            model=self.model,
            coverage=self.coverage,
            is_sure=self.is_sure,
        )


def verdict(
    severity: Severity = Severity.SAFE,
    *categories: Category,
    target: Target = Target.PROMPT,
    refusal: bool | None = None,
    scores: Scores | None = None,
    coverage: Coverage | None = None,
    is_sure: bool = True,
) -> Verdict:
    """A verdict of the fake engine."""
    found = Verdict(target, severity, categories, refusal, scores, "fake", "fake-1")
    return replace(found, coverage=coverage, is_sure=is_sure)
