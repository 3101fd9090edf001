"""Two kinds of picture as SVG: curves over two shares, and bars of shares. No I/O.

A drawing library would bring 100 MB for them. Colours come from the page (`currentColor` and the classes `s0`, `s1`,
...), so that a picture follows its dark mode; every text is escaped; the same figures give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["STYLE", "Bar", "Marker", "Series", "bars", "curves", "standalone"]

STYLE = """\
svg.chart{width:100%;max-width:26rem;height:auto;font:11px system-ui,sans-serif;color:inherit}
svg.chart .axis{stroke:currentColor;stroke-opacity:.6}svg.chart .grid{stroke:currentColor;stroke-opacity:.12}
svg.chart text{fill:currentColor}svg.chart .ideal{stroke:currentColor;stroke-opacity:.4;stroke-dasharray:4 4}
svg.chart .line{fill:none;stroke-width:2}svg.chart .s0{stroke:#2563b0}svg.chart .s1{stroke:#b45309}
svg.chart .s2{stroke:#0f766e}svg.chart .s3{stroke:#9d174d}svg.chart .bar{fill:#2563b0;fill-opacity:.55;stroke:none}
svg.chart .whisker{stroke:currentColor;stroke-opacity:.7}svg.chart .mark{fill:currentColor}
@media(prefers-color-scheme:dark){svg.chart .s0{stroke:#7cb2f0}svg.chart .s1{stroke:#f0b46a}
svg.chart .s2{stroke:#5fd0c3}svg.chart .s3{stroke:#f29ac0}svg.chart .bar{fill:#7cb2f0}}"""
"""The rules that a page with charts needs."""

_WIDTH, _HEIGHT = 380, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 40
Tick = tuple[float, str]
_TICKS: tuple[Tick, ...] = tuple((share, f"{share:g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0))
_COLOURS = 4
_LETTER = 6.2
"""About the width of a letter, to keep a marker's name inside the picture."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line through points whose coordinates are shares."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Marker:
    """A point with a name."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar; `low` and `high` are the ends of its interval."""

    name: str
    share: float | None
    low: float | None = None
    high: float | None = None


def curves(
    title: str,
    series: Sequence[Series],
    markers: Sequence[Marker],
    *,
    x: str,
    y: str,
    x_ticks: Sequence[Tick] | None = None,
    y_ticks: Sequence[Tick] | None = None,
    legend_at_top: bool = False,
) -> str:
    """Lines over the unit square, markers on them, and a legend below each other.

    Ticks are places between 0 and 1 and what stands there; otherwise the places themselves, in quarters.
    """
    parts = [_frame(x, y, x_ticks=x_ticks, y_ticks=y_ticks)]
    for index, one in enumerate(series):
        points = " ".join(f"{_x(across):.1f},{_y(up):.1f}" for across, up in one.points)
        colour = f"s{index % _COLOURS}"
        parts.append(f'<polyline class="line {colour}" points="{points}"/>')
        # Bottom left: curves of precision begin at the top and end at the right. Curves that rise leave the top free.
        top = _y(1) + 10 + 15 * index if legend_at_top else _y(0) - 12 - 15 * (len(series) - 1 - index)
        parts.append(f'<line class="line {colour}" x1="{_LEFT + 10}" y1="{top:.1f}" x2="{_LEFT + 28}" y2="{top:.1f}"/>')
        parts.append(f'<text x="{_LEFT + 33}" y="{top + 4:.1f}">{escape(one.name)}</text>')
    for marker in markers:
        parts.append(f'<circle class="mark" cx="{_x(marker.x):.1f}" cy="{_y(marker.y):.1f}" r="4"/>')
        fits = _x(marker.x) + 8 + _LETTER * len(marker.name) < _WIDTH
        place, anchor = (_x(marker.x) + 8, "start") if fits else (_x(marker.x) - 8, "end")
        name = escape(marker.name)
        parts.append(f'<text x="{place:.1f}" y="{_y(marker.y) + 4:.1f}" text-anchor="{anchor}">{name}</text>')
    return _svg(title, parts)


def bars(title: str, found: Sequence[Bar], *, x: str, y: str, ideal: bool = False) -> str:
    """One bar beside the other. `ideal` draws the diagonal on which a bar would end that keeps its promise."""
    parts = [_frame(x, y, names=[one.name for one in found])]
    width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(found))
    for index, one in enumerate(found):
        if one.share is None:
            continue
        left, top = _LEFT + index * width, _y(one.share)
        parts.append(
            f'<rect class="bar" x="{left + 2:.1f}" y="{top:.1f}" width="{width - 4:.1f}" height="{_y(0) - top:.1f}"/>'
        )
        if one.low is not None and one.high is not None:
            middle = left + width / 2
            parts.append(
                f'<line class="whisker" x1="{middle:.1f}" y1="{_y(one.low):.1f}" x2="{middle:.1f}" '
                f'y2="{_y(one.high):.1f}"/>'
            )
    if ideal:
        parts.append(f'<line class="ideal" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>')
    return _svg(title, parts)


def standalone(chart: str) -> str:
    """A chart as a file of its own, which takes no rules from a page."""
    opened = chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    head, end, rest = opened.partition("</title>")
    return f"{head}{end}<style>{STYLE}</style>{rest}\n"


def _svg(title: str, parts: Sequence[str]) -> str:
    name = escape(title)
    head = f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}"><title>{name}</title>'
    return head + "".join(parts) + "</svg>"


def _frame(
    x: str,
    y: str,
    *,
    names: Sequence[str] | None = None,
    x_ticks: Sequence[Tick] | None = None,
    y_ticks: Sequence[Tick] | None = None,
) -> str:
    parts = []
    for place, text in y_ticks or _TICKS:
        up = _y(place)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{up:.1f}" x2="{_WIDTH - _RIGHT}" y2="{up:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{up + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    for place, text in (x_ticks or _TICKS) if names is None else ():
        across = _x(place)
        parts.append(f'<line class="grid" x1="{across:.1f}" y1="{_TOP}" x2="{across:.1f}" y2="{_y(0)}"/>')
        parts.append(f'<text x="{across:.1f}" y="{_y(0) + 15}" text-anchor="middle">{escape(text)}</text>')
    for index, name in enumerate(names or ()):
        middle = _LEFT + (index + 0.5) * (_WIDTH - _LEFT - _RIGHT) / len(names or ())
        parts.append(f'<text x="{middle:.1f}" y="{_y(0) + 15}" text-anchor="middle">{escape(name)}</text>')
    parts.append(f'<polyline class="axis" fill="none" points="{_LEFT},{_TOP} {_LEFT},{_y(0)} {_x(1)},{_y(0)}"/>')
    middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _y(0)) / 2
    parts.append(f'<text x="{middle_x}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x)}</text>')
    turned = f'transform="rotate(-90 12 {middle_y})"'
    parts.append(f'<text x="12" y="{middle_y}" text-anchor="middle" {turned}>{escape(y)}</text>')
    return "".join(parts)


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
