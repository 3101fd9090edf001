"""Two reports on the same texts: which guard is better, and is it more than chance? No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.verdict import Severity
from ...errors import DataError
from ..evaluation.paired import difference_of_f1, mcnemar
from ..evaluation.summary import Document, is_found
from ..evaluation.tables import READINGS, Table, percent
from .report import FORMAT

__all__ = ["comparison", "comparison_table", "sets_of"]

_SEVERITIES = {"s": Severity.SAFE, "c": Severity.CONTROVERSIAL, "u": Severity.UNSAFE}


def sets_of(document: object, *, name: str) -> Mapping[str, Document]:
    """The sets in a report, or the one that `eval --json` printed. Raises DataError for anything else."""
    if isinstance(document, dict):
        sets = document.get("sets") if document.get("format") == FORMAT else {"eval": document}
        if isinstance(sets, dict) and all(map(_has_outcomes, sets.values())):
            return sets
    raise DataError(f"{name}: is neither a report of `benchmark run` nor one of `eval --json`, of this version.")


def _has_outcomes(one: object) -> bool:
    outcomes = one.get("outcomes") if isinstance(one, dict) else None
    if not isinstance(outcomes, dict) or not isinstance(outcomes.get("ids"), str):
        return False
    gold, found = outcomes.get("gold"), outcomes.get("found")
    return (
        isinstance(gold, str)
        and isinstance(found, str)
        and len(gold) == len(found)
        and {*gold, *found} <= {*_SEVERITIES, "-"}
    )


def comparison(first: Mapping[str, Document], second: Mapping[str, Document]) -> dict[str, Any]:
    """By set and reading: both F1s, their difference with a 95 % interval, and McNemar's test.

    Texts that one of the two could not judge are left out of both, and counted. Raises DataError for sets that are not
    of the same texts, or if there is no set in common.
    """
    names = [name for name in first if name in second]
    if not names:
        raise DataError("The two reports have no set in common.")
    return {name: _compared(name, first[name]["outcomes"], second[name]["outcomes"]) for name in names}


def comparison_table(found: Mapping[str, Any]) -> Table:
    """A row per set and reading."""
    rows = []
    for name, one in found.items():
        for reading in READINGS:
            score = one[reading]
            difference = score["difference"]
            shown = "-"
            if difference is not None:
                low, high = score["interval"]
                shown = f"{100 * difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            rows.append(
                [
                    f"{name}, {reading}",
                    str(one["items"]),
                    *(percent(score[f"{side}_accuracy"]) for side in ("first", "second")),
                    shown,
                    str(score["only_first_right"]),
                    str(score["only_second_right"]),
                    f"{score['p']:.4f}" if score["p"] >= 0.0001 else "< 0.0001",
                ]
            )
    heads = ["set, reading", "texts", "right A", "right B", "F1 B - A", "only A right", "only B right", "p"]
    told = "p: McNemar's test, the chance of so large a difference if both were equally good."
    return Table(heads, rows, told)


def _compared(name: str, first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, Any]:
    if first["ids"] != second["ids"] or first["gold"] != second["gold"]:
        raise DataError(f"{name}: the two reports are not of the same texts with the same labels.")
    triples = [
        (_SEVERITIES[gold], _SEVERITIES[one], _SEVERITIES[two])
        for gold, one, two in zip(first["gold"], first["found"], second["found"], strict=True)
        if "-" not in (gold, one, two)
    ]
    labelled = sum(gold != "-" for gold in first["gold"])
    return {
        "items": len(triples),
        "left_out": labelled - len(triples),
        **{reading: _by_reading(triples, reading) for reading in READINGS},
    }


def _by_reading(triples: list[tuple[Severity, Severity, Severity]], reading: str) -> dict[str, Any]:
    outcomes = [(is_found(gold, reading), is_found(one, reading), is_found(two, reading)) for gold, one, two in triples]
    right = [(gold == one, gold == two) for gold, one, two in outcomes]
    test = mcnemar(right.count((True, False)), right.count((False, True)))
    f1 = difference_of_f1(outcomes)
    count = max(1, len(right))
    return {
        "first_accuracy": sum(one for one, _ in right) / count,
        "second_accuracy": sum(two for _, two in right) / count,
        "difference": None if f1 is None else f1[0],
        "interval": None if f1 is None else [f1[1].low, f1[1].high],
        "only_first_right": test.only_first_right,
        "only_second_right": test.only_second_right,
        "p": test.p,
        "exact": test.exact,
    }
