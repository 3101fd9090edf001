"""The figures of a bench as JSON, as Markdown and as a picture. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.charts import Series, curves, standalone
from .load import Measured

__all__ = ["PERCENTILES", "point", "render_markdown", "render_picture"]

PERCENTILES = (50, 95, 99)
_MEANING = {
    "plain": "the model server alone, asked as by hand: `model`, `messages`, temperature 0",
    "full": "this service: severity, categories, probabilities, policy",
    "severity": "this service, `detail: severity`",
    "cascade": "this service, the small model first and the larger one where it is unsure",
    "stream": "this service, Qwen3Guard-Stream",
    "lite": "this service, the embedded engine",
}


def point(way: str, clients: int, measured: Measured) -> dict[str, Any]:
    """One measurement as JSON."""
    return {
        "way": way,
        "clients": clients,
        "seconds": round(measured.seconds, 3),
        "verdicts": len(measured.latencies_s),
        "per_second": round(measured.per_second, 2),
        **{f"p{share}_ms": _rounded(measured.percentile_ms(share)) for share in PERCENTILES},
        "errors": dict(measured.errors),
    }


def render_markdown(document: Mapping[str, Any]) -> str:
    """The report for a person to read."""
    points = document["points"]
    plain = {one["clients"]: one["per_second"] for one in points if one["way"] == "plain"}
    lines = ["# How fast verdicts are here", ""]
    lines += [f"* {name}: {_escaped(str(value))}" for name, value in document["facts"].items()]
    lines += ["", "| way | clients | verdicts/s | p50 ms | p95 ms | p99 ms | against plain | errors |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for one in points:
        base = plain.get(one["clients"])
        against = f"{one['per_second'] / base:.2f}" if base else "-"
        errors = ", ".join(f"{name}: {number}" for name, number in one["errors"].items()) or "0"
        shares = " | ".join(_number(one[f"p{share}_ms"]) for share in PERCENTILES)
        row = f"| {one['way']} | {one['clients']} | {_number(one['per_second'])} | {shares} | {against} | {errors} |"
        lines.append(row)
    ways = list(dict.fromkeys(one["way"] for one in points))
    lines += ["", *(f"* **{way}**: {_MEANING[way]}." for way in ways), "", "![verdicts per second](bench.svg)", ""]
    return "\n".join(lines)


def render_picture(document: Mapping[str, Any]) -> str:
    """Verdicts per second over the number of clients, a line for each way."""
    points: Sequence[Mapping[str, Any]] = document["points"]
    clients = sorted({one["clients"] for one in points})
    top = _round_up(max((one["per_second"] for one in points), default=0.0))
    places = {number: index / max(1, len(clients) - 1) for index, number in enumerate(clients)}
    series = [
        Series(way, [(places[one["clients"]], one["per_second"] / top) for one in points if one["way"] == way])
        for way in dict.fromkeys(one["way"] for one in points)
    ]
    return standalone(
        curves(
            "verdicts per second",
            series,
            (),
            x="clients",
            y="verdicts per second",
            x_ticks=[(place, str(number)) for number, place in places.items()],
            y_ticks=[(share / 4, f"{top * share / 4:g}") for share in range(5)],
            legend_at_top=True,
        )
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten, so that quarters of it are short."""
    scale = 1.0
    while value > scale * 8:
        scale *= 10
    while value <= scale * 0.8 and scale > 0.001:
        scale /= 10
    return next((scale * step for step in (1, 2, 4, 8) if value <= scale * step), 1.0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
