"""From a raw score to a severity and three degrees, by two thresholds, and whether the model is sure by a third."""

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["SeverityName", "Thresholds"]

SeverityName = Literal["safe", "controversial", "unsafe"]
Probabilities = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores from which a text is controversial (`strict`) and unsafe (`loose`), and the width of the transition.

    `sure` is the score from which the model is sure; None where that was not measured: then it never is.

    Controversial is a band of the score, not a learned class: no data labels it.
    """

    strict: float
    loose: float
    width: float
    sure: float | None = None

    def severity(self, score: float) -> SeverityName:
        """Return the severity of a raw score; a threshold belongs to the severity above it."""
        if score >= self.loose:
            return "unsafe"
        return "controversial" if score >= self.strict else "safe"

    def is_sure(self, score: float) -> bool:
        """Whether a raw score is high enough for harmless texts to reach it next to never."""
        return self.sure is not None and score >= self.sure

    def on_scale_of(self, other: "Thresholds", score: float) -> float:
        """The score that is as far between or beyond the other thresholds as this one is between or beyond these."""
        if score > self.loose and self.sure is not None and other.sure is not None:
            share = (score - self.loose) / (self.sure - self.loose)
            # At the threshold itself, whatever rounding makes of it: what is sure stays so.
            return other.sure if score == self.sure else other.loose + share * (other.sure - other.loose)
        return other.strict + (score - self.strict) * (other.loose - other.strict) / (self.loose - self.strict)

    def probabilities(self, score: float) -> Probabilities:
        """Return safe, controversial and unsafe: an ordered logit with the two thresholds as its cut points.

        P(unsafe) = sigmoid((score - loose) / width), P(safe) = sigmoid((strict - score) / width), the rest is
        controversial. Monotone in the score. With a band wider than 2 ln 2 widths the largest one is the severity's
        except within a fraction of a width of a threshold. They follow the thresholds, which differ by language: they
        are degrees of the score, not measured frequencies of harm.
        """
        unsafe = _sigmoid((score - self.loose) / self.width)
        safe = _sigmoid((self.strict - score) / self.width)
        return safe, max(0.0, 1 - safe - unsafe), unsafe


def _sigmoid(value: float) -> float:
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    grown = math.exp(max(value, -700.0))
    return grown / (1 + grown)
