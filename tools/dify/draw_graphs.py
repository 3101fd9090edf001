"""Draws the example apps' graphs as SVG for docs/dify.md: the nodes and edges of the DSL, at the places it gives them.

    python tools/dify/draw_graphs.py

A test fails when the pictures in docs/images are not what this script draws.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "dify"
PICTURES = ROOT / "docs" / "images"

# The editor's canvas has 300 pixels from column to column; here it is drawn at 0.62, with wider boxes to read the text.
SCALE_X, SCALE_Y = 0.66, 0.62
WIDTH, HEAD, LINE, PAD, MARGIN = 168, 24, 15, 8, 16
CHARS = 26  # of a line in a box
COLOURS = {
    "start": "#2563eb",
    "tool": "#0f766e",
    "http-request": "#0f766e",
    "if-else": "#0891b2",
    "llm": "#6d28d9",
    "variable-aggregator": "#475569",
    "answer": "#d97706",
    "end": "#d97706",
}
KINDS = {
    "start": "START",
    "tool": "TOOL",
    "http-request": "HTTP REQUEST",
    "if-else": "IF/ELSE",
    "llm": "LLM",
    "variable-aggregator": "VARIABLE AGGREGATOR",
    "answer": "ANSWER",
    "end": "END",
}


def details(data: dict[str, Any]) -> list[str]:
    """What matters of a node, in lines."""
    kind = data["type"]
    if kind == "tool":
        names = ", ".join(data["tool_parameters"])
        return [f"from: {names}", f"policy: {data['tool_configurations']['policy']['value']}"]
    if kind == "http-request":
        fields = ", ".join(item["key"] for item in data["body"]["data"])
        return ["POST /moderate, a form:", fields]
    if kind == "llm":
        return ["your own model"]
    if kind == "answer":
        lines = [line for line in data["answer"].replace("{{#", "{").replace("#}}", "}").split("\n") if line]
        return [shorten(line) for line in lines]
    if kind == "end":
        return [", ".join(output["variable"] for output in data["outputs"])]
    if kind == "variable-aggregator":
        return [" or ".join(".".join(selector) for selector in data["variables"])]
    if kind == "start":
        return ["the user's query"]
    return []


def branches(data: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The cases of an if/else with their conditions, and its else."""
    found = []
    for number, case in enumerate(data["cases"]):
        lines = []
        for one in case["conditions"]:
            name = one["variable_selector"][1]
            operator = one["comparison_operator"].replace("contains", "has")
            lines.append(shorten(f"{name} {operator} {one['value']}"))
        found.append((case["case_id"], ["IF" if number == 0 else "ELIF", *lines]))
    return [*found, ("false", ["ELSE"])]


def shorten(text: str) -> str:
    return text if len(text) <= CHARS else text[: CHARS - 1] + "…"


class Box:
    """A node on the picture."""

    def __init__(self, node: dict[str, Any]) -> None:
        self.data = node["data"]
        self.x = MARGIN + (node["position"]["x"] - 80) * SCALE_X
        self.middle = node["position"]["y"] * SCALE_Y
        self.branches = branches(self.data) if self.data["type"] == "if-else" else []
        lines = sum(len(branch) for _, branch in self.branches) or len(details(self.data))
        self.height = HEAD + LINE + lines * LINE + PAD + 4 * len(self.branches)

    @property
    def top(self) -> float:
        return self.middle - self.height / 2

    def outlet(self, handle: str) -> tuple[float, float]:
        """Where an edge of this handle begins."""
        y = self.top + HEAD + LINE + 2
        for case, lines in self.branches:
            if case == handle:
                return self.x + WIDTH, y + LINE / 2
            y += LINE * len(lines) + 4
        return self.x + WIDTH, self.middle

    def draw(self) -> list[str]:
        colour = COLOURS[self.data["type"]]
        parts = [
            f'<rect x="{self.x:.1f}" y="{self.top:.1f}" width="{WIDTH}" height="{self.height:.1f}" rx="8" fill="#fff" '
            f'stroke="{colour}" stroke-width="1.5"/>',
            _text(self.x + PAD, self.top + 16, self.data["title"], size=12.5, weight="bold"),
            _text(self.x + PAD, self.top + 30, KINDS[self.data["type"]], size=8.5, fill=colour, weight="bold"),
        ]
        y = self.top + HEAD + LINE + 10
        for line in details(self.data):
            parts.append(_text(self.x + PAD, y + 2, shorten(line), size=11, fill="#475569"))
            y += LINE
        y = self.top + HEAD + LINE + 13
        for _, lines in self.branches:
            parts.append(_text(self.x + WIDTH - PAD, y, lines[0], size=10, weight="bold", anchor="end"))
            for number, line in enumerate(lines[1:], start=1):
                parts.append(_text(self.x + PAD, y + number * LINE - 1, line, size=10.5, fill="#475569"))
            y += LINE * len(lines) + 4
        return parts


def _text(
    x: float, y: float, text: str, *, size: float, fill: str = "#0f172a", weight: str = "normal", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    bend = max(24.0, (x2 - x1) / 2)
    return (
        f'<path d="M{x1:.1f} {y1:.1f} C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}" '
        'fill="none" stroke="#94a3b8" stroke-width="1.5" marker-end="url(#arrow)"/>'
    )


def draw(dsl: dict[str, Any]) -> str:
    """The picture of an app."""
    graph = dsl["workflow"]["graph"]
    boxes = {node["id"]: Box(node) for node in graph["nodes"]}
    shift = MARGIN - min(box.top for box in boxes.values())
    for box in boxes.values():
        box.middle += shift
    width = max(box.x for box in boxes.values()) + WIDTH + MARGIN
    height = max(box.top + box.height for box in boxes.values()) + MARGIN
    arrow = '<path d="M0 0 8 4 0 8z" fill="#94a3b8"/>'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="system-ui, sans-serif" role="img">',
        f"<title>{escape(dsl['app']['name'])}: {escape(dsl['app']['description'])}</title>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f"{arrow}</marker></defs>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#f8fafc"/>',
    ]
    for one in graph["edges"]:
        source, target = boxes[one["source"]], boxes[one["target"]]
        lines.append(_curve(source.outlet(one["sourceHandle"]), (target.x, target.middle)))
    for box in boxes.values():
        lines += box.draw()
    return "\n".join([*lines, "</svg>"]) + "\n"


def pictures() -> dict[str, str]:
    """The SVG texts by file name."""
    return {
        f"dify-{path.stem.replace('_', '-')}.svg": draw(yaml.safe_load(path.read_text("utf-8")))
        for path in sorted(EXAMPLES.glob("*.yml"))
    }


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, text in pictures().items():
        (PICTURES / name).write_text(text, "utf-8")
        print(PICTURES / name)


if __name__ == "__main__":
    main()
