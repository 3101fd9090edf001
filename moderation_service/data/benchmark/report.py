"""One report of a guard on several sets: a JSON document that everything else is made from. It has no text in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..evaluation.summary import Document
from ..evaluation.tables import READINGS, Table, percent, with_interval
from .paper import CELLS, recall_of_f1
from .registry import BenchmarkSet

__all__ = ["FORMAT", "against_paper", "charge", "overview", "own_facts", "report", "set_facts"]

FORMAT = 1
"""Of the document; another number is not understood by an older `compare`."""


def report(
    sets: Mapping[str, Document], *, guard: Mapping[str, Any], service: str, date: str, gpu_hour_price: float | None
) -> dict[str, Any]:
    """The document. `guard` says who judged; `sets` are the figures by name, each with its facts under `set`."""
    seconds, rows = sum(one["seconds"] for one in sets.values()), sum(one["items"] for one in sets.values())
    return {
        "format": FORMAT,
        "service": service,
        "date": date,
        "guard": dict(guard),
        "rows": rows,
        "judged": sum(one["judged"] for one in sets.values()),
        "seconds": seconds,
        "gpu_hour_price": gpu_hour_price,
        "cost_per_1000_rows": charge(rows, seconds, gpu_hour_price),
        "sets": dict(sets),
    }


def charge(rows: int, seconds: float, gpu_hour_price: float | None) -> float | None:
    """What a thousand rows cost at this price of an hour, in its currency; None where no price was given."""
    return None if gpu_hour_price is None or not rows else gpu_hour_price * seconds / 3600 / rows * 1000


def set_facts(benchmark: BenchmarkSet, *, files: Sequence[Mapping[str, Any]], is_own: bool) -> dict[str, Any]:
    """What the report says of where a set comes from, and the paper's figures of it."""
    return {
        "title": benchmark.title,
        "labels": benchmark.labels.value,
        "licence": benchmark.licence,
        "address": benchmark.address,
        "revision": benchmark.revision,
        "note": benchmark.note,
        "is_own_file": is_own,
        "files": list(files),
        "paper": [asdict(cell) for cell in CELLS.get(benchmark.name, ())],
    }


def overview(document: Document) -> Table:
    """A row per set."""
    rows = []
    for name, one in document["sets"].items():
        row = [name, str(one["items"]), str(one["items"] - one["judged"])]
        for reading in READINGS:
            row += [_main(one[reading]), percent(one[reading]["false_positive_rate"])]
        rows.append([*row, percent(one["refusal"]["f1"]), f"{one['rows_per_s']:.0f}" if one["rows_per_s"] else "-"])
    heads = [head for reading in READINGS for head in (f"F1 {reading}", f"FPR {reading}")]
    told = "R: recall, where all texts are unsafe and there is no F1."
    return Table(["set", "items", "not judged", *heads, "F1 refusal", "rows/s"], rows, told)


def _main(score: Mapping[str, Any]) -> str:
    """F1, or the recall of texts that are all unsafe."""
    if score["f1"] is not None:
        return with_interval(score, "f1")
    return "-" if score["recall"] is None else f"R {with_interval(score, 'recall')}"


def own_facts(file: Path) -> dict[str, Any]:
    """The same of a file of one's own."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    files = [{"file": file.name, "sha256": digest, "is_pinned": None}]
    facts = {"title": file.name, "labels": "", "licence": "-", "address": "", "revision": "", "note": ""}
    return {**facts, "is_own_file": True, "files": files, "paper": []}


def against_paper(one: Document) -> Table:
    """The paper's figures beside these, with the difference in points, by both readings.

    Of texts that are all unsafe the paper's F1 is turned into the recall that it stands for.
    """
    rate = "f1" if one["strict"]["f1"] is not None else "recall"
    rows = []
    for cell in one["set"]["paper"]:
        row = [cell["model"]]
        for reading in READINGS:
            theirs = cell[reading] if rate == "f1" else recall_of_f1(cell[reading])
            ours = one[reading][rate]
            row += [f"{theirs:.1f}", "-" if ours is None else f"{100 * ours - theirs:+.1f}"]
        rows.append(row)
    if rows:
        mine = [percent(one[reading][rate]).rstrip("%") for reading in READINGS]
        rows.insert(0, ["this report", mine[0], "", mine[1], ""])
    what = "F1" if rate == "f1" else "recall (from the paper's F1)"
    told = f"The Qwen3Guard paper's figures of {what}, and this report's less them, in points."
    return Table(["model", "strict", "difference", "loose", "difference"], rows, told)
