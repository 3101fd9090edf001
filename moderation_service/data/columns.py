"""What a data set says of a row: the columns that a verdict becomes. Pure.

    safety            safe, controversial or unsafe; null for a row that could not be judged
    categories        list of category ids; null where the engine was not asked for them
    refusal           whether a response is a refusal; null for prompts, and where the engine was not asked
    p_safe, p_controversial, p_unsafe    probabilities; null where the engine has none
    span              where the worst was found, in characters of the judged text; null for all of it
    model             who judged: the model's name
    error             why there is no verdict: the error's type and a sentence; null for judged rows

Where every turn is judged, the columns are those of the strictest turn, and `turns` lists all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.verdict import Category, Detail, Severity, Verdict
from ..errors import ModerationError

__all__ = ["NAMES", "Outcome", "columns", "error_columns", "turn_columns"]

Outcome = Verdict | ModerationError

NAMES = ("safety", "categories", "refusal", "p_safe", "p_controversial", "p_unsafe", "span", "model", "error")
_DIGITS = 6
_IDS = {category: category.value for category in Category}


def columns(outcome: Outcome, *, detail: Detail = Detail.FULL) -> dict[str, object]:
    """The columns of one judged text, by their bare names and in the order of `NAMES`."""
    if not isinstance(outcome, Verdict):
        return error_columns(outcome)
    if outcome.may_be_worse:
        return error_columns(outcome.failure)
    scores, span = outcome.scores, outcome.span
    categories: list[str] | None = [_IDS[one] for one in outcome.categories]
    if detail is Detail.SEVERITY and not categories and outcome.severity is not Severity.SAFE:
        categories = None
    return {
        "safety": outcome.severity.value,
        "categories": categories,
        "refusal": outcome.refusal,
        "p_safe": None if scores is None else round(scores.safe, _DIGITS),
        "p_controversial": None if scores is None else round(scores.controversial, _DIGITS),
        "p_unsafe": None if scores is None else round(scores.unsafe, _DIGITS),
        "span": None if span is None else {"start": span.start, "end": span.end},
        "model": outcome.model,
        "error": None,
    }


def error_columns(error: Exception | str | None) -> dict[str, object]:
    """The columns of a text without a verdict. The error's words are ours: they name fields and quote nothing."""
    said = f"{error.type}: {error.message}" if isinstance(error, ModerationError) else str(error or "not judged")
    return {**dict.fromkeys(NAMES), "error": said}


def turn_columns(outcomes: Sequence[tuple[str, int, Outcome]], *, detail: Detail = Detail.FULL) -> dict[str, object]:
    """The columns of a conversation whose every turn was judged: (role, number of the turn, what came of it).

    Beside an unsafe turn the errors of others are named, but the conversation is unsafe. Else one turn that could not
    be judged leaves the whole without a label.
    """
    turns: list[dict[str, object]] = []
    for role, number, outcome in outcomes:
        turns.append({"turn": number, "role": role, **columns(outcome, detail=detail)})
    if not turns:
        return {**error_columns("invalid_request: There is no turn to judge."), "turns": []}
    failed = next((turn["error"] for turn in turns if turn["error"] is not None), None)
    worst = max(turns, key=_badness)
    if failed is not None and worst["safety"] != Severity.UNSAFE.value:
        return {**error_columns(str(failed)), "turns": turns}
    return {**{name: worst[name] for name in NAMES}, "error": failed, "turns": turns}


def _badness(turn: Mapping[str, object]) -> tuple[int, float]:
    safety, unsafe = turn["safety"], turn["p_unsafe"]
    rank = -1 if safety is None else Severity(str(safety)).rank
    return rank, unsafe if isinstance(unsafe, float) else 0.0
