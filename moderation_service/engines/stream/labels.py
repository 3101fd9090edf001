"""Rows of logits into verdicts of tokens, by the labels that the model's config names. No I/O.

A row is what the vLLM plugin gives for one token: response risk, response category, query risk, query category, side
by side. Which index means what stands in the checkpoint's `config.json` and is read from there: Qwen3Guard-Stream's
order of risks is Safe, Unsafe, Controversial, and servers that assumed another one got it wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.verdict import Category, Scores, Severity, Target
from ...errors import ConfigurationError, EngineAnswerInvalid

__all__ = ["Labels", "Rows", "TokenVerdict"]

_Label = TypeVar("_Label")

Rows = NDArray[np.float32]
"""Raw logits, one row per token."""

_SEVERITIES = {severity.value: severity for severity in Severity}
# Stream's names, from its model card, beside Gen's, which a later checkpoint may use.
_CATEGORIES = {category.display_name.lower(): category for category in Category} | {
    "violent": Category.VIOLENT,
    "sexual content": Category.SEXUAL_CONTENT,
    "self-harm": Category.SUICIDE_SELF_HARM,
    "political": Category.POLITICALLY_SENSITIVE_TOPICS,
    "pii": Category.PII,
    "copyright": Category.COPYRIGHT_VIOLATION,
    "illegal acts": Category.NON_VIOLENT_ILLEGAL_ACTS,
    "unethical": Category.UNETHICAL_ACTS,
    "jailbreak": Category.JAILBREAK,
}


@dataclass(frozen=True, slots=True)
class TokenVerdict:
    """What the model says at one token. `category` is None for a safe one: its category head is untrained there."""

    severity: Severity
    category: Category | None
    scores: Scores


@dataclass(frozen=True, slots=True)
class _Head:
    """One branch: where its columns begin, and what they stand for."""

    begin: int
    risks: tuple[Severity, ...]
    categories: tuple[Category, ...]

    @property
    def width(self) -> int:
        return len(self.risks) + len(self.categories)


@dataclass(frozen=True, slots=True)
class Labels:
    """The meaning of a row's columns."""

    response: _Head
    prompt: _Head

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Labels:
        """The labels of a checkpoint's config. Raises ConfigurationError for one that is not Qwen3Guard-Stream's."""
        response = _head(config, "response", counts="", begin=0)
        return cls(response, _head(config, "query", counts="query_", begin=response.width))

    @property
    def width(self) -> int:
        """How many columns a row has."""
        return self.response.width + self.prompt.width

    def read(self, rows: Rows, target: Target) -> list[TokenVerdict]:
        """One verdict per row, of the branch for this target; of labels that are level, the strictest.

        Raises EngineAnswerInvalid where all three are level in a row: it says nothing. An unsafe row beside it stands.
        """
        head = self.prompt if target is Target.PROMPT else self.response
        middle = head.begin + len(head.risks)
        risks = rows[:, head.begin : middle]
        probabilities = _softmax(risks)
        level = risks == risks.max(axis=1, keepdims=True)
        strictest_first = [head.risks.index(severity) for severity in reversed(Severity)]
        winners = np.take(strictest_first, level[:, strictest_first].argmax(axis=1)).tolist()
        undecided = level.all(axis=1)
        if undecided.any() and not any(
            head.risks[risk] is Severity.UNSAFE for risk, tie in zip(winners, undecided, strict=True) if not tie
        ):
            raise EngineAnswerInvalid("The engine's answer has rows of equal numbers, which say nothing.")
        categories = rows[:, middle : head.begin + head.width].argmax(axis=1).tolist()
        columns = [head.risks.index(severity) for severity in (Severity.SAFE, Severity.CONTROVERSIAL, Severity.UNSAFE)]
        found = []
        for risk, category, scores in zip(winners, categories, probabilities[:, columns].tolist(), strict=True):
            severity = head.risks[risk]
            named = None if severity is Severity.SAFE else head.categories[category]
            found.append(TokenVerdict(severity, named, Scores(*scores)))
        return found


def _softmax(logits: Rows) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    weights = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _head(config: Mapping[str, object], name: str, *, counts: str, begin: int) -> _Head:
    risk_names = _names(config, f"{name}_risk_level_map", count=f"num_{counts}risk_level")
    category_names = _names(config, f"{name}_category_map", count=f"num_{counts}category")
    risks = tuple(_known(_SEVERITIES, one, f"{name}_risk_level_map") for one in risk_names)
    if sorted(severity.rank for severity in risks) != [0, 1, 2]:
        raise ConfigurationError(f"config.json: {name}_risk_level_map must name each of safe, controversial, unsafe.")
    return _Head(begin, risks, tuple(_known(_CATEGORIES, one, f"{name}_category_map") for one in category_names))


def _names(config: Mapping[str, object], key: str, *, count: str) -> Sequence[str]:
    """The labels of one head, by index. JSON knows only texts as keys."""
    named = config.get(key)
    if not isinstance(named, Mapping) or not named or not all(isinstance(one, str) for one in named.values()):
        raise ConfigurationError(f"config.json: {key} is missing; is this a Qwen3Guard-Stream checkpoint?")
    found = [named.get(str(index)) for index in range(len(named))]
    if None in found or config.get(count) != len(found):
        raise ConfigurationError(f"config.json: {key} must name the indexes from 0, as many as {count} says.")
    return [str(one) for one in found]


def _known(known: Mapping[str, _Label], name: str, key: str) -> _Label:
    found = known.get(name.strip().lower())
    if found is None:
        raise ConfigurationError(f"config.json: {key} has a label that is not known here: {name!r}.")
    return found
