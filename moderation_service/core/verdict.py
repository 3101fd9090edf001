"""The values everything else speaks of: severity, category, verdict, decision. No I/O.

A *verdict* is what an engine found. A *decision* is what a policy makes of it. "Could not be judged" is neither a
severity nor a verdict: a decision then has `verdict=None`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "Action",
    "Category",
    "Coverage",
    "Decision",
    "Detail",
    "ListedBy",
    "PartRead",
    "Scores",
    "Severity",
    "Span",
    "Target",
    "Verdict",
    "strictest",
]


class _Word(enum.Enum):
    """One of few, looked up in tables on the way of each text."""

    # By identity, as they are compared. The one of `Enum` is written in Python, and costs as much as the look-up.
    __hash__ = object.__hash__


class Severity(_Word):
    """How harmful a text is, in Qwen3Guard's three steps; ordered by `rank`."""

    SAFE = "safe"
    """Nothing the safety policy of the model objects to."""
    CONTROVERSIAL = "controversial"
    """Harm depends on context, or people disagree about it."""
    UNSAFE = "unsafe"
    """Harmful in most settings."""

    rank: int

    def __init__(self, value: str) -> None:
        self.rank = ("safe", "controversial", "unsafe").index(value)


def strictest(severities: Iterable[Severity]) -> Severity:
    """The worst of them; SAFE for none."""
    return max(severities, key=lambda one: one.rank, default=Severity.SAFE)


class Category(_Word):
    """Qwen3Guard's nine categories: `value` is our id, `display_name` the model's own words.

    Source: Qwen3Guard's README, "Safety Policy"; the names are the exact strings of Qwen3Guard-Gen's output.
    """

    VIOLENT = "violent"
    """Instructions for, or depiction of, violence and weapons."""
    NON_VIOLENT_ILLEGAL_ACTS = "non_violent_illegal_acts"
    """Hacking, drugs, theft, fraud and the like."""
    SEXUAL_CONTENT = "sexual_content"
    """Sexual imagery or acts, and any sexual content about minors."""
    PII = "pii"
    """Disclosure of personal data without authorisation."""
    SUICIDE_SELF_HARM = "suicide_self_harm"
    """Encouraging or describing suicide or self-harm."""
    UNETHICAL_ACTS = "unethical_acts"
    """Bias, hate, harassment, insults, misinformation."""
    POLITICALLY_SENSITIVE_TOPICS = "politically_sensitive_topics"
    """Deliberately false information about governments, history or public figures."""
    COPYRIGHT_VIOLATION = "copyright_violation"
    """Reproducing protected works without permission."""
    JAILBREAK = "jailbreak"
    """Attempts to override the model's instructions; only ever found in prompts."""

    @property
    def display_name(self) -> str:
        """The model's name of the category."""
        return _DISPLAY_NAMES[self]


_DISPLAY_NAMES = {
    Category.VIOLENT: "Violent",
    Category.NON_VIOLENT_ILLEGAL_ACTS: "Non-violent Illegal Acts",
    Category.SEXUAL_CONTENT: "Sexual Content or Sexual Acts",
    Category.PII: "PII",
    Category.SUICIDE_SELF_HARM: "Suicide & Self-Harm",
    Category.UNETHICAL_ACTS: "Unethical Acts",
    Category.POLITICALLY_SENSITIVE_TOPICS: "Politically Sensitive Topics",
    Category.COPYRIGHT_VIOLATION: "Copyright Violation",
    Category.JAILBREAK: "Jailbreak",
}


class Target(_Word):
    """What is judged: the last turn of the conversation."""

    PROMPT = "prompt"
    """The last turn is the user's."""
    RESPONSE = "response"
    """The last turn is the assistant's."""


class Detail(_Word):
    """How much the caller wants to know."""

    FULL = "full"
    """Severity, categories, refusal, scores."""
    SEVERITY = "severity"
    """The fastest answer that has the severity; categories and refusal may be missing."""


class Action(_Word):
    """What the caller should do with the text; ordered by `rank`, the strictest last."""

    ALLOW = "allow"
    """Let it through."""
    FLAG = "flag"
    """Let it through and mark it for review."""
    BLOCK = "block"
    """Do not let it through; show the policy's message instead."""

    rank: int

    def __init__(self, value: str) -> None:
        self.rank = ("allow", "flag", "block").index(value)


class Coverage(enum.Enum):
    """How well an engine knows the language of a text; ordered by `rank`, the worst last."""

    FULL = "full"
    """Languages that it was made for."""
    PARTIAL = "partial"
    """Languages that it knows less well, and whose figures are worse."""
    NONE = "none"
    """Languages that it does not know: its verdict says next to nothing."""

    rank: int

    def __init__(self, value: str) -> None:
        self.rank = ("full", "partial", "none").index(value)


@dataclass(frozen=True, slots=True)
class Scores:
    """How much the text is of each severity; they sum to 1. Of a model server, probabilities of its label.

    Of the embedded engine they are degrees of its score, not probabilities.
    """

    safe: float
    controversial: float
    unsafe: float


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the judged text, in characters: from `start` up to, and without, `end`."""

    start: int
    end: int


class PartRead(enum.Enum):
    """Why a verdict is not all that was asked for, though its severity was read; a label of logs and metrics."""

    TEXT = "text"
    """Something stands around the verdict's lines: a sentence, a code fence, a control token."""
    CATEGORIES = "categories"
    """Categories are missing, or could not all be read."""
    REFUSAL = "refusal"
    """A response's refusal is missing, or could not be read."""
    CUT = "cut"
    """The answer broke off behind its label."""
    CONTRADICTION = "contradiction"
    """Two readings of one text differ; the stricter one counts."""
    PROBABILITIES = "probabilities"
    """There was no label to read, but the probabilities where it should stand."""
    WINDOWS = "windows"
    """Another part of the text got no verdict."""


_WITHOUT_CATEGORIES = frozenset(PartRead) - {PartRead.TEXT, PartRead.REFUSAL}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an engine found in one conversation.

    `scores` is None where an engine has none, `refusal` is None for prompts and where the engine was
    not asked for it. `windows` counts the pieces a long text was judged in. `span` is where the worst was found; None
    for the whole text, for a safe one, and where an engine can't tell.

    `coverage` is how well the engine knows the text's language, that of its least known part; None for engines that do
    not say. `is_sure` is False where the embedded engine's score is below the one from which it is sure, see
    `policy.LiteBlocks`.

    `read_in_part` says what is missing (`core.never_milder`). `failure` is the error that kept a part of the text from
    being judged: the severity is then the least that the text is. `decoded` names the kinds of disguise that were
    undone before it was judged, for the log.

    `by_small` is True for the smaller model of a cascade. Where its verdict has a `failure`, it was not sure, and
    the larger model, which should have decided, could not.
    """

    target: Target
    severity: Severity
    categories: tuple[Category, ...]
    refusal: bool | None
    scores: Scores | None
    engine: str
    model: str
    windows: int = 1
    span: Span | None = None
    read_in_part: frozenset[PartRead] = frozenset()
    failure: Exception | None = None
    coverage: Coverage | None = None
    is_sure: bool = True
    decoded: tuple[str, ...] = ()
    by_small: bool = False

    @property
    def may_lack_categories(self) -> bool:
        """Whether the text may be of more categories than were read."""
        return not self.read_in_part.isdisjoint(_WITHOUT_CATEGORIES)

    @property
    def may_be_worse(self) -> bool:
        """Whether something was not judged that could change the severity: a part of the text, or by a larger model."""
        return self.failure is not None and (self.severity is not Severity.UNSAFE or self.by_small)


@dataclass(frozen=True, slots=True)
class ListedBy:
    """The entry of a list by which a decision is what it is: `side` is block or allow, `span` where it was found."""

    list_name: str
    entry: str
    side: str
    reason: str
    span: Span


@dataclass(frozen=True, slots=True)
class Decision:
    """What the caller should do, and why.

    `verdict` is None when no verdict could be had and the policy's fail mode decided; then `degraded` is true, and
    `reason` says what the engine's failure was, in a word of `errors.FailureReason`.
    `message` is the policy's text for the end user, present only when `action` is block. `listed_by` is the entry of a
    list that made the action, where one did. `shadow` is what each of the policy's shadow policies would have done, in
    their order; None where that can't be known.
    """

    id: str
    target: Target
    verdict: Verdict | None
    action: Action
    policy: str
    message: str | None
    engine: str
    model: str
    degraded: bool
    cached: bool
    latency_ms: float
    reason: str | None = None
    escalated_until: float | None = None
    """Where the action is stricter than the text alone would have it, because its end user was blocked again and again:
    until when that goes on, in seconds since 1970."""
    shadow: tuple[Action | None, ...] = ()
    listed_by: ListedBy | None = None

    @property
    def allowed(self) -> bool:
        """True unless the action is block."""
        return self.action is not Action.BLOCK

    @property
    def is_flagged(self) -> bool:
        """Whether the text passes, marked for review."""
        return self.action is Action.FLAG
