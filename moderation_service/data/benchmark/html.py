"""A report as one HTML file, made from its JSON: no script, nothing fetched, every name escaped.

The page forbids itself everything but its own style by a Content-Security-Policy.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ..evaluation.charts import STYLE, Bar, Marker, Series, bars, curves
from ..evaluation.summary import Document
from ..evaluation.tables import READINGS, tables
from .facts import guard_facts, set_lines
from .report import against_paper, overview

__all__ = ["render_html"]

_CURVES = {"unsafe": "P(unsafe)", "unsafe_or_controversial": "P(unsafe) + P(controversial)"}


def render_html(document: Document) -> str:
    """The whole report."""
    sets = [
        {
            "name": name,
            "anchor": f"set-{number}",
            "facts": set_lines(one),
            "charts": _charts(name, one),
            "tables": [table for table in (*tables(one), against_paper(one)) if table.rows],
        }
        for number, (name, one) in enumerate(document["sets"].items(), 1)
    ]
    return _template().render(
        document=document,
        chart_style=STYLE,
        guard_facts=guard_facts(document),
        overview=overview(document),
        sets=sets,
    )


@cache
def _template() -> Template:
    loader = PackageLoader("moderation_service.data.benchmark")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("report.html")


def _charts(name: str, one: Document) -> list[tuple[str, str]]:
    """Pictures with what stands below them: the curves with our points, and what the probabilities are worth."""
    found = one["probabilities"]
    if found is None:
        return []
    charts = []
    lines = [
        Series(title, [(point[2], point[1]) for point in found[key]["curve"] if point[1] is not None])
        for key, title in _CURVES.items()
        if found[key]["curve"]
    ]
    if lines:
        told = "What other thresholds would give. The points are the guard's own labels."
        title = f"{name}: precision over recall"
        charts.append((told, curves(title, lines, _points(one), x="recall", y="precision")))
    for key, title in _CURVES.items():
        measured = found[key]["reliability"]
        if measured is not None:
            error = 100 * measured["expected_calibration_error"]
            told = f"{title}: unsafe texts by probability; best on the line. Calibration error {error:.1f} points."
            bins = [_bar(one_bin) for one_bin in measured["bins"]]
            charts.append((told, bars(f"{name}: {title}", bins, x=title, y="share of unsafe texts", ideal=True)))
    return charts


def _points(one: Document) -> list[Marker]:
    return [
        Marker(reading, one[reading]["recall"], one[reading]["precision"])
        for reading in READINGS
        if one[reading]["recall"] is not None and one[reading]["precision"] is not None
    ]


def _bar(found: dict[str, Any]) -> Bar:
    low, high = found["interval"] or (None, None)
    return Bar(f"{found['low']:.1f}", found["positive_share"], low, high)
