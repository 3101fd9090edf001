"""Prepared answers, found by their questions: the same wording, or a near copy of it.

The same wording is that of equal words, whatever their case, width and marks. A near copy is one to the embedded
encoder (cosine from 0.93), shares half of its letter pairs, and has the same numbers and negations: of questions that
are asked otherwise the encoder can't tell those with the same meaning from those with another, so none is answered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ..core.prepared_answer import MAX_QUESTION_CHARS, PreparedAnswer
from ..core.text_views.normal import normal_view

__all__ = ["PreparedAnswers"]

Likeness = Callable[[str, str], float]

_LEAST_LIKENESS, _LEAST_OVERLAP, _MOST_CANDIDATES = 0.93, 0.5, 3
_HAN = "\u3400-\u9fff"
_WORDS = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+")
_NUMBER = re.compile("[0-9]+|[零一二两三四五六七八九十百千万]+")
_NEGATION = re.compile(
    r"\b(?:not?|never|nothing|none|nobody|without|neither|nor|cannot|\w+n t|dont|cant|wont|isnt|nicht|nichts|nie|ohne|"
    r"kein\w*|ne|pas|jamais|sans|nunca|sin|nao|sem)\b|[不没非别勿未莫无免]|ない|ません|안 |못|않|없"
)
_NEGATIVE_BEGINNINGS = ("un", "in", "il", "im", "ir", "dis", "non", "anti")


class PreparedAnswers:
    """Prepared answers by their questions."""

    def __init__(self, answers: Iterable[PreparedAnswer], *, likeness: Likeness | None = None) -> None:
        """`likeness` says how alike two texts are, up to 1; without it only the same wording is found."""
        self._likeness = likeness
        self._answers = list(answers)
        self._wordings = [wording(one.question) for one in self._answers]
        self._same: dict[str, list[int]] = {}
        self._with_pair: dict[str, list[int]] = {}
        for number, text in enumerate(self._wordings):
            self._same.setdefault(text, []).append(number)
            for pair in _pairs(text):
                self._with_pair.setdefault(pair, []).append(number)

    @property
    def all(self) -> Sequence[PreparedAnswer]:
        """All of them."""
        return self._answers

    def find(self, policy: str, question: str) -> str | None:
        """The answer to show to this question, if one is prepared; one for this policy before one for all."""
        if len(question) > 2 * MAX_QUESTION_CHARS:
            return None
        asked = wording(question)
        found = self._first(self._same.get(asked, ()), policy)
        if found is None and self._likeness is not None and asked:
            near = [number for number in self._nearest(asked, policy) if self._is_copy(question, asked, number)]
            found = self._first(near, policy)
        return None if found is None else self._answers[found].answer

    def nearest(self, policy: str, question: str) -> list[PreparedAnswer]:
        """The answers whose questions share the most letter pairs with this one, best first: for people to choose."""
        return [self._answers[number] for number in self._nearest(wording(question), policy, least=0.25)]

    def _first(self, numbers: Sequence[int], policy: str) -> int | None:
        own = [number for number in numbers if policy in self._answers[number].policies]
        general = [number for number in numbers if not self._answers[number].policies]
        return next(iter([*own, *general]), None)

    def _nearest(self, asked: str, policy: str, *, least: float = _LEAST_OVERLAP) -> list[int]:
        """The questions that share the most letter pairs, of those for this policy."""
        pairs = _pairs(asked)
        shared = Counter(number for pair in pairs for number in self._with_pair.get(pair, ()))
        overlaps = [
            (count / (len(pairs) + len(_pairs(self._wordings[number])) - count), number)
            for number, count in shared.items()
            # What shares fewer pairs than this can't reach the bound: the others need not be counted.
            if count >= least * len(pairs) and policy in (self._answers[number].policies or (policy,))
        ]
        best = sorted((one for one in overlaps if one[0] >= least), key=lambda one: (-one[0], one[1]))
        return [number for _, number in best[:_MOST_CANDIDATES]]

    def _is_copy(self, question: str, asked: str, number: int) -> bool:
        known = self._wordings[number]
        if Counter(_NUMBER.findall(asked)) != Counter(_NUMBER.findall(known)) or _differ_in_negation(asked, known):
            return False
        assert self._likeness is not None
        return self._likeness(question, self._answers[number].question) >= _LEAST_LIKENESS


def wording(text: str) -> str:
    """The words of a text and nothing else; between Chinese ones there are no blanks."""
    words = _WORDS.findall(normal_view(text).text)
    return re.sub(rf"(?<=[{_HAN}]) (?=[{_HAN}])", "", " ".join(words))


def _pairs(text: str) -> frozenset[str]:
    padded = f" {text} "
    return frozenset(padded[at : at + 2] for at in range(len(padded) - 1)) if text else frozenset()


def _differ_in_negation(one: str, other: str) -> bool:
    if len(_NEGATION.findall(one)) != len(_NEGATION.findall(other)):
        return True
    ours, theirs = set(one.split()), set(other.split())
    only, others = ours - theirs, theirs - ours
    return any(
        f"{beginning}{word}" in beside
        for word_set, beside in ((only, others), (others, only))
        for word in word_set
        for beginning in _NEGATIVE_BEGINNINGS
    )
