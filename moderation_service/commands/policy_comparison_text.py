"""A comparison of two policies as a terminal shows it, and as CSV. No I/O."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from ..core.policy_comparison import Comparison, Hits, Tally
from ..core.what_if import Doubt

__all__ = ["render_csv", "render_text"]

_WHY = {
    Doubt.CATEGORIES: "only the severity was asked for, and a policy acts on categories",
    Doubt.NO_VERDICT: "no verdict could be had then, and `lite` would have been asked",
    Doubt.ERROR: "no verdict could be had then, and the answer would have been an error",
    Doubt.TOOL: "a policy has rules for tools, and it is not recorded what tool the text was of",
}
_ASIDE = {"errors": "ended with an error of their callers", "lists": "were decided by a list"}
_MOST_GROUPS = 20
_FIELDS = Tally.__slots__


def render_text(found: Comparison, aside: Mapping[str, int]) -> str:
    """What people want to know first, first."""
    return "\n".join(_lines(found, aside)) + "\n"


def render_csv(found: Comparison) -> str:
    """One row of counts for all, and for each app, category and day."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("group", "name", *_FIELDS))
    groups = (("all", {"": found.total}), ("app", found.by_app), ("category", found.by_category), ("day", found.by_day))
    for group, tallies in groups:
        for name in sorted(tallies):
            # A spreadsheet must not take the name of an app for a formula.
            shown = f"'{name}" if name[:1] in ("=", "+", "-", "@") else name
            writer.writerow((group, shown, *(getattr(tallies[name], one) for one in _FIELDS)))
    return out.getvalue()


def _lines(found: Comparison, aside: Mapping[str, int]) -> Iterator[str]:
    total, a, b = found.total, found.a.name, found.b.name
    yield f"{total.checks} checks, {a} (A) and {b} (B)"
    yield f"  blocked by A {total.blocked_a}, by B {total.blocked_b}"
    yield f"  B blocks {total.newly_blocked} that A does not, and lets {total.no_longer_blocked} pass that A blocks"
    if total.unknown:
        yield f"  unknown {total.unknown}"
        yield from (f"    {found.doubts[doubt]}: {_WHY[doubt]}" for doubt in Doubt if found.doubts[doubt])
    yield from (f"  {count} more {_ASIDE[name]}" for name, count in sorted(aside.items()))
    for title, tallies in (("app", found.by_app), ("category", found.by_category), ("day", found.by_day)):
        yield from _table(title, tallies)
    if found.reviewed:
        yield ""
        yield f"{found.reviewed} of them were reviewed"
        yield f"  A: {_hits(found.reviewed_a)}"
        yield f"  B: {_hits(found.reviewed_b)}"
    if found.examples:
        yield ""
        yield "examples (id, A, B, safety, categories)"
        for one in found.examples:
            safety = "-" if one.severity is None else one.severity.value
            yield f"  {one.decision_id}  {one.a.value} -> {one.b.value}  {safety}  {', '.join(one.categories)}".rstrip()


def _table(title: str, tallies: Mapping[str, Tally]) -> Iterator[str]:
    if not tallies:
        return
    names = sorted(tallies)
    if title != "day":
        names.sort(key=lambda name: -tallies[name].newly_blocked - tallies[name].no_longer_blocked)
    shown = names[-_MOST_GROUPS:] if title == "day" else names[:_MOST_GROUPS]
    width = max(len(title), *(len(name) for name in shown))
    yield ""
    yield f"{title:<{width}} {'checks':>8} {'A blocks':>9} {'B blocks':>9} {'more':>7} {'fewer':>7} {'unknown':>8}"
    for name in shown:
        one = tallies[name]
        yield (
            f"{name or '-':<{width}} {one.checks:>8} {one.blocked_a:>9} {one.blocked_b:>9} "
            f"{one.newly_blocked:>7} {one.no_longer_blocked:>7} {one.unknown:>8}"
        )
    if len(names) > len(shown):
        yield f"... and {len(names) - len(shown)} more"


def _hits(hits: Hits) -> str:
    precision, recall = ("-" if one is None else f"{one:.0%}" for one in (hits.precision, hits.recall))
    return (
        f"{precision} of its blocks are right, it blocks {recall} of what is to be blocked "
        f"({hits.true_blocks} right, {hits.false_blocks} wrong, {hits.missed} missed)"
    )
