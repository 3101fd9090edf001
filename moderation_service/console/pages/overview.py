"""The first page: what happened in the last hours or days, and whether the engine is well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from werkzeug.wrappers import Response

from ...errors import ModerationError
from ...store.overview import Overview, Sums, checks, overview
from ...store.trail import now_ms
from ..page import Page, Visit
from ..period import DAY_MS, Period, read_period

__all__ = ["page"]

page = Page("overview", title="Overview", order=10)
_MOST_ROWS = 12

_Key = TypeVar("_Key")


@page.get()
def show(visit: Visit) -> Response:
    """The figures at a glance; each leads to the decisions that it counts."""
    now, period = now_ms(), read_period(visit.query)
    with visit.parts.database.read() as connection:
        found = overview(connection, since=now - period.ms, until=now + 1)
        week = checks(connection, since=now - Period.WEEK.ms, until=now + 1)
    return visit.render(
        "overview.html",
        period=period,
        periods=list(Period),
        found=found,
        week=week,
        chart=_chart(visit, found),
        categories=_most(found.categories, lambda sums: (sums.actions["block"], sums.actions["flag"])),
        apps=_most(found.apps, lambda sums: (sums.checks,)),
        doors=_most(found.doors, lambda sums: (sums.checks,)),
        engine=visit.parts.moderator.engine,
        fallback=visit.parts.moderator.fallback,
        engine_error=_engine_error(visit),
    )


def _engine_error(visit: Visit) -> str | None:
    """Why no verdict can be had now, if so."""
    try:
        visit.parts.check_engine()
    except ModerationError as error:
        return error.message
    return None


def _most(sums: Mapping[_Key, Sums], size: Callable[[Sums], tuple[int, ...]]) -> Sequence[tuple[_Key, Sums]]:
    """The largest first, without those that have nothing."""
    found = [one for one in sums.items() if any(size(one[1]))]
    return sorted(found, key=lambda one: size(one[1]), reverse=True)[:_MOST_ROWS]


def _chart(visit: Visit, found: Overview) -> dict[str, object]:
    """What the chart draws, and its table shows: a row per hour or day, those without checks too."""
    first = found.since - found.since % found.step
    times = range(first, found.until, found.step)
    sums = [found.steps.get(time, Sums()) for time in times]
    by_hour = found.step < DAY_MS
    return {
        "times": [time // 1000 for time in times],
        "names": [
            datetime.fromtimestamp(time / 1000, UTC).strftime("%m-%d %H:00" if by_hour else "%m-%d") for time in times
        ],
        "series": [
            {"label": visit.text("Checks"), "color": "accent", "values": [one.checks for one in sums]},
            {"label": visit.text("Flagged"), "color": "controversial", "values": [one.actions["flag"] for one in sums]},
            {
                "label": visit.text("Blocked"),
                "color": "unsafe",
                "dash": True,
                "values": [one.actions["block"] for one in sums],
            },
        ],
    }
