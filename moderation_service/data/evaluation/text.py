"""The figures of one data set as plain text, for a console. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...core.verdict import Action, Severity
from .summary import Document

__all__ = ["FEW", "percent", "render_text", "with_interval"]

FEW = 30
"""Groups with fewer texts say little; they are marked."""
_RATES = ("f1", "precision", "recall", "false_positive_rate")
_HEADS = ("F1", "precision", "recall", "FPR")
_SHOWN_GROUPS = 12
_READINGS = {"strict": "strict reading", "loose": "loose reading"}
_KINDS = (
    ("by_target", "judged"),
    ("by_language", "language"),
    ("by_source", "source"),
    ("by_length", "characters"),
)


def render_text(document: Document) -> str:
    """All tables; those that have nothing to say are left out."""
    parts = [
        _head(document),
        _scores(document),
        _confusion(document["confusion"]),
        _policies(document["policies"], document.get("default_policy")),
        _categories(document["categories"]),
        *(_groups(document[kind], title) for kind, title in _KINDS),
        _thresholds(document["probabilities"]),
        _latency(document.get("latency")),
    ]
    return "\n\n".join(part for part in parts if part)


def percent(rate: float | None) -> str:
    """A share as it is printed."""
    return "-" if rate is None else f"{100 * rate:.1f}%"


def with_interval(score: Mapping[str, Any], name: str) -> str:
    """A rate with its 95 % interval."""
    interval = score["intervals"][name]
    rate = percent(score[name])
    return rate if interval is None else f"{rate} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _head(document: Document) -> str:
    errors = ", ".join(f"{name} {count}" for name, count in document["errors"].items())
    missing = document["items"] - document["judged"]
    lines = [
        f"engine      {document['engine']} ({document['model']})",
        f"items       {document['items']}, of them not judged {missing}" + (f": {errors}" if errors else ""),
        "gold        " + _counts(document["gold"]),
        "found       " + _counts(document["found"]),
    ]
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _scores(document: Document) -> str:
    rows = [
        [name, *(with_interval(document[key], rate) for rate in _RATES)]
        for key, name in (*_READINGS.items(), ("refusal", "refusal"))
        if _says_something(document[key])
    ]
    told = "Readings of the label: strict counts controversial as unsafe, loose as safe. 95 % intervals in brackets."
    return told + "\n" + _table(["", *_HEADS], rows)


def _says_something(score: Mapping[str, Any]) -> bool:
    return any(score[rate] is not None for rate in _RATES)


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> str:
    found = [*(severity.value for severity in Severity), "not_judged"]
    rows = [[wanted, *(str(row[name]) for name in found)] for wanted, row in confusion.items() if any(row.values())]
    return _table(["gold \\ found", *(name.replace("_", " ") for name in found)], rows) if rows else ""


def _policies(policies: Mapping[str, Mapping[str, Any]], default: str | None) -> str:
    rows = []
    for name, policy in policies.items():
        if not any(policy["actions"].values()):
            continue
        actions = [str(policy["actions"][action.value]) for action in Action]
        block, flag = policy["block"], policy["flag_or_block"]
        mark = " (default)" if name == default else ""
        rows.append(
            [
                name + mark,
                *actions,
                with_interval(block, "recall"),
                with_interval(block, "false_positive_rate"),
                percent(flag["recall"]),
                percent(flag["false_positive_rate"]),
            ]
        )
    heads = ["policy", *(action.value for action in Action), "rightly blocked", "wrongly blocked"]
    if not rows:
        return ""
    told = "Policies: of the texts that it would block (or flag) if the guard were always right, and of the others."
    return told + "\n" + _table([*heads, "rightly stopped or flagged", "wrongly"], rows)


def _categories(categories: Mapping[str, Any]) -> str:
    if not categories["items"]:
        return ""
    lines = [f"category    {percent(categories['hit_rate'])} right of {categories['items']} items"]
    rows = [
        [
            name + _few(one["items"]),
            str(one["items"]),
            percent(one["found_strict"] / one["items"]),
            percent(one["found_loose"] / one["items"]),
            percent(one["right"] / one["named"] if one["named"] else None),
        ]
        for name, one in categories["by_gold"].items()
    ]
    lines.append(_table(["gold category", "items", "recall strict", "recall loose", "named right"], rows))
    return "\n".join(lines)


def _groups(groups: Mapping[str, Mapping[str, Any]], title: str) -> str:
    if len(groups) < 2:
        return ""
    rows = []
    for name, group in list(groups.items())[:_SHOWN_GROUPS]:
        row = [name + _few(group["items"]), str(group["items"])]
        for reading in ("strict", "loose"):
            row += [percent(group[reading][rate]) for rate in ("f1", "recall", "false_positive_rate")]
        rows.append(row)
    heads = [f"{rate} {reading}" for reading in ("strict", "loose") for rate in ("F1", "recall", "FPR")]
    return _table([title, "items", *heads], rows)


def _thresholds(probabilities: Mapping[str, Any] | None) -> str:
    if probabilities is None:
        return ""
    tables = []
    for key, name in (("unsafe", "P(unsafe)"), ("unsafe_or_controversial", "P(unsafe) + P(controversial)")):
        one = probabilities[key]
        if one["thresholds"] is None:
            continue
        rows = [
            [f"FPR at most {percent(row['limit'])}", *_point(row)]
            for row in one["thresholds"]["at_false_positive_rate"]
        ]
        rows += [[f"recall at least {percent(row['goal'])}", *_point(row)] for row in one["thresholds"]["at_recall"]]
        error = one["reliability"]["expected_calibration_error"]
        told = f"{name}: average precision {percent(one['average_precision'])}, calibration error {percent(error)}"
        tables.append(told + "\n" + _table(["", "threshold", "precision", "recall", "FPR"], rows))
    return "\n\n".join(tables)


def _point(row: Mapping[str, float | None]) -> list[str]:
    threshold = row.get("threshold")
    rates = [percent(row.get(name)) for name in ("precision", "recall", "false_positive_rate")]
    # Six digits: a probability near 1 must not be rounded up to 1, which nothing reaches.
    return ["-" if threshold is None else f"{threshold:.6g}", *rates]


def _latency(latency: Mapping[str, float] | None) -> str:
    if latency is None:
        return ""
    times = ", ".join(f"{name.removesuffix('_ms')} {value:.1f} ms" for name, value in latency.items())
    return f"latency     {times} per item"


def _few(items: int) -> str:
    return " (few)" if items < FEW else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
