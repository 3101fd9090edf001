"""The figures of one data set as tables, for whoever prints them: a console, Markdown, HTML. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.verdict import Action, Severity
from .summary import Document

__all__ = ["FEW", "RATES", "READINGS", "Table", "percent", "tables", "with_interval"]

FEW = 30
"""Groups with fewer texts say little; they are marked."""
RATES = {"f1": "F1", "precision": "precision", "recall": "recall", "false_positive_rate": "FPR"}
"""The rates of a score, and how they are called in a table."""
READINGS = {"strict": "strict reading", "loose": "loose reading"}
_SHOWN_GROUPS = 12
_KINDS = (
    ("by_target", "judged"),
    ("by_language", "language"),
    ("by_source", "source"),
    ("by_length", "characters"),
)
_PROBABILITIES = {"unsafe": "P(unsafe)", "unsafe_or_controversial": "P(unsafe) + P(controversial)"}


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are printed; the first column names the row. `title` is a sentence, or empty."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


def tables(document: Document) -> list[Table]:
    """All tables that have something to say."""
    found = [
        _scores(document),
        _confusion(document["confusion"]),
        _policies(document["policies"], document.get("default_policy")),
        _categories(document["categories"]),
        *(_groups(document[kind], title) for kind, title in _KINDS),
        *_thresholds(document["probabilities"]),
    ]
    return [table for table in found if table.rows]


def percent(rate: float | None) -> str:
    """A share as it is printed."""
    return "-" if rate is None else f"{100 * rate:.1f}%"


def with_interval(score: Mapping[str, Any], name: str) -> str:
    """A rate with its 95 % interval."""
    interval = score["intervals"][name]
    rate = percent(score[name])
    return rate if interval is None else f"{rate} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _scores(document: Document) -> Table:
    rows = [
        [name, *(with_interval(document[key], rate) for rate in RATES)]
        for key, name in {**READINGS, "refusal": "refusal"}.items()
        if any(document[key][rate] is not None for rate in RATES)
    ]
    told = "Readings of the label: strict counts controversial as unsafe, loose as safe. 95 % intervals in brackets."
    return Table(["", *RATES.values()], rows, told)


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> Table:
    found = [*(severity.value for severity in Severity), "not_judged"]
    rows = [[wanted, *(str(row[name]) for name in found)] for wanted, row in confusion.items() if any(row.values())]
    return Table(["gold \\ found", *(name.replace("_", " ") for name in found)], rows)


def _policies(policies: Mapping[str, Mapping[str, Any]], default: str | None) -> Table:
    rows = [
        [
            name + (" (default)" if name == default else ""),
            *(str(policy["actions"][action.value]) for action in Action),
            with_interval(policy["block"], "recall"),
            with_interval(policy["block"], "false_positive_rate"),
            percent(policy["flag_or_block"]["recall"]),
            percent(policy["flag_or_block"]["false_positive_rate"]),
        ]
        for name, policy in policies.items()
        if any(policy["actions"].values())
    ]
    heads = ["policy", *(action.value for action in Action), "rightly blocked", "wrongly blocked"]
    told = "Policies: of the texts that it would block (or flag) if the guard were always right, and of the others."
    return Table([*heads, "rightly stopped or flagged", "wrongly"], rows, told)


def _categories(categories: Mapping[str, Any]) -> Table:
    rows = [
        [
            _marked(name, one["items"]),
            str(one["items"]),
            percent(one["found_strict"] / one["items"]),
            percent(one["found_loose"] / one["items"]),
            percent(one["right"] / one["named"] if one["named"] else None),
        ]
        for name, one in categories["by_gold"].items()
    ]
    told = (
        f"Categories: the first one found is right in {percent(categories['hit_rate'])} of {categories['items']} texts."
    )
    return Table(["gold category", "items", "recall strict", "recall loose", "named right"], rows, told)


def _groups(groups: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    rows = []
    for name, group in list(groups.items())[:_SHOWN_GROUPS] if len(groups) > 1 else ():
        row = [_marked(name, group["items"]), str(group["items"])]
        for reading in READINGS:
            row += [percent(group[reading][rate]) for rate in ("f1", "recall", "false_positive_rate")]
        rows.append(row)
    heads = [f"{rate} {reading}" for reading in READINGS for rate in ("F1", "recall", "FPR")]
    return Table([title, "items", *heads], rows)


def _thresholds(probabilities: Mapping[str, Any] | None) -> list[Table]:
    found = []
    for key, name in _PROBABILITIES.items():
        one = None if probabilities is None else probabilities[key]
        if one is None or one["thresholds"] is None:
            continue
        limited, reached = one["thresholds"]["at_false_positive_rate"], one["thresholds"]["at_recall"]
        rows = [[f"FPR at most {percent(row['limit'])}", *_point(row)] for row in limited]
        rows += [[f"recall at least {percent(row['goal'])}", *_point(row)] for row in reached]
        error = one["reliability"]["expected_calibration_error"]
        told = f"{name}: average precision {percent(one['average_precision'])}, calibration error {percent(error)}."
        found.append(Table(["", "threshold", "precision", "recall", "FPR"], rows, told))
    return found


def _point(row: Mapping[str, float | None]) -> list[str]:
    threshold = row.get("threshold")
    rates = [percent(row.get(name)) for name in ("precision", "recall", "false_positive_rate")]
    # Six digits: a probability near 1 must not be rounded up to 1, which nothing reaches.
    return ["-" if threshold is None else f"{threshold:.6g}", *rates]


def _marked(name: str, items: int) -> str:
    return f"{name} (few)" if items < FEW else name
