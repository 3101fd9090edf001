"""What a filter did, on one page: kept, dropped by reason, by severity, by category, by probability. Pure.

The same counts as JSON, as Markdown, or as a page of HTML that needs neither scripts nor a network.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.verdict import Category, Severity
from .filtering import Label

__all__ = ["Summary", "to_html", "to_markdown"]

_BINS = 10
_WIDTH = 40


@dataclass(slots=True)
class Summary:
    """Counts of rows; the tables have (kept, dropped) for each entry."""

    source: str = ""
    rules: str = ""
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    severities: dict[str, list[int]] = field(default_factory=dict)
    categories: dict[str, list[int]] = field(default_factory=dict)
    probabilities: list[list[int]] = field(default_factory=lambda: [[0, 0] for _ in range(_BINS)])

    @property
    def dropped(self) -> int:
        """Rows that are not kept."""
        return self.reasons.total()

    @property
    def rows(self) -> int:
        """All rows."""
        return self.kept + self.dropped

    def add(self, label: Label | None, reason: str | None) -> None:
        """Count a row; `label` is None for one that can't be read."""
        column = 0 if reason is None else 1
        if reason is None:
            self.kept += 1
        else:
            self.reasons[reason] += 1
        if label is None or label.severity is None:
            return
        self.severities.setdefault(label.severity.value, [0, 0])[column] += 1
        for category in label.categories or ():
            self.categories.setdefault(category.value, [0, 0])[column] += 1
        if label.scores is not None:
            place = min(int(label.scores.unsafe * _BINS), _BINS - 1)
            self.probabilities[place][column] += 1

    def to_json(self) -> dict[str, object]:
        """All of it, by name."""
        return {
            "source": self.source,
            "rules": self.rules,
            "rows": self.rows,
            "kept": self.kept,
            "dropped": self.dropped,
            "reasons": dict(self.reasons.most_common()),
            "severities": {name: _pair(counts) for name, counts in self._by_severity()},
            "categories": {name: _pair(counts) for name, counts in self._by_category()},
            "p_unsafe": [{"from": number / _BINS, **_pair(counts)} for number, counts in enumerate(self.probabilities)],
        }

    def tables(self) -> list[tuple[str, list[tuple[str, Sequence[int]]]]]:
        """A title, and its lines: name, kept, dropped."""
        names = [f"{number / _BINS:.1f} to {(number + 1) / _BINS:.1f}" for number in range(_BINS)]
        has_scores = any(any(counts) for counts in self.probabilities)
        return [
            ("Dropped by reason", [(name, (0, count)) for name, count in self.reasons.most_common()]),
            ("By severity", self._by_severity()),
            ("By category", self._by_category()),
            ("By P(unsafe)", list(zip(names, self.probabilities, strict=True)) if has_scores else []),
        ]

    def _by_severity(self) -> list[tuple[str, Sequence[int]]]:
        return [(one.value, self.severities[one.value]) for one in Severity if one.value in self.severities]

    def _by_category(self) -> list[tuple[str, Sequence[int]]]:
        return [(one.value, self.categories[one.value]) for one in Category if one.value in self.categories]


def to_markdown(summary: Summary) -> str:
    """The page for a terminal or a repository, with bars of characters."""
    lines = ["# What was kept", "", f"{summary.source}: {summary.rules}", "", _sentence(summary)]
    for title, rows in summary.tables():
        if rows:
            lines += ["", f"## {title}", "", "| | kept | dropped | |", "|---|---:|---:|---|"]
            most = max(sum(counts) for _, counts in rows)
            for name, (kept, dropped) in rows:
                bar = "#" * _length(kept, most) + "-" * _length(dropped, most)
                lines.append(f"| {name} | {kept:,} | {dropped:,} | `{bar or ' '}` |")
    return "\n".join([*lines, ""])


def to_html(summary: Summary) -> str:
    """The page for a browser."""
    parts = [_HEAD, "<h1>What was kept</h1>", f"<p>{html.escape(summary.source)}: {html.escape(summary.rules)}</p>"]
    parts.append(f"<p><strong>{html.escape(_sentence(summary))}</strong></p>")
    for title, rows in summary.tables():
        if rows:
            most = max(sum(counts) for _, counts in rows)
            parts.append(f"<table><caption>{title}</caption><tr><th></th><th>kept</th><th>dropped</th><th></th></tr>")
            parts += [_row(name, kept, dropped, most) for name, (kept, dropped) in rows]
            parts.append("</table>")
    return "\n".join([*parts, "</body></html>", ""])


def _row(name: str, kept: int, dropped: int, most: int) -> str:
    bars = "".join(
        f'<i class="{kind}" style="width:{100 * count / most:.2f}%"></i>'
        for kind, count in (("kept", kept), ("dropped", dropped))
        if count
    )
    return (
        f"<tr><th>{html.escape(name)}</th><td>{kept:,}</td><td>{dropped:,}</td>"
        f'<td class="bar" aria-hidden="true">{bars}</td></tr>'
    )


def _sentence(summary: Summary) -> str:
    share = 100 * summary.kept / summary.rows if summary.rows else 0.0
    return f"{summary.kept:,} of {summary.rows:,} rows kept ({share:.1f} %), {summary.dropped:,} dropped."


def _length(count: int, most: int) -> int:
    return max(1, round(_WIDTH * count / most)) if count else 0


def _pair(counts: Sequence[int]) -> Mapping[str, int]:
    return {"kept": counts[0], "dropped": counts[1]}


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>What was kept</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
body { color: #1a1a1a; background: #fff }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0 }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { text-align: right; padding: .15rem .6rem; border-bottom: 1px solid #ddd }
th:first-child { text-align: left; font-weight: 400; white-space: nowrap }
td.bar { width: 50%; text-align: left; white-space: nowrap; font-size: 0 }
td.bar i { display: inline-block; height: .9rem }
i.kept { background: #2b7a4b } i.dropped { background: #b3432b }
@media (prefers-color-scheme: dark) { body { color: #e8e8e8; background: #161616 } th, td { border-color: #333 } }
</style></head><body>"""
