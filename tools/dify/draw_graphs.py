"""Draws the example apps' graphs as SVG for docs/dify.md: the nodes and edges of the DSL, at the places it gives them.

    python tools/dify/draw_graphs.py

A test fails when the pictures in docs/images are not what this script draws.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
Say = Callable[[str], str]
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
    "knowledge-retrieval": "#15803d",
    "document-extractor": "#15803d",
    "assigner": "#475569",
    "iteration": "#be185d",
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
    "knowledge-retrieval": "KNOWLEDGE RETRIEVAL",
    "document-extractor": "DOC EXTRACTOR",
    "assigner": "VARIABLE ASSIGNER",
    "iteration": "ITERATION",
}
LANGUAGES = ("en", "zh-CN")
CHINESE = {
    "START": "用户输入",
    "TOOL": "工具",
    "HTTP REQUEST": "HTTP 请求",
    "IF/ELSE": "条件分支",
    "LLM": "LLM",
    "VARIABLE AGGREGATOR": "变量聚合器",
    "ANSWER": "直接回复",
    "END": "输出",
    "KNOWLEDGE RETRIEVAL": "知识检索",
    "DOC EXTRACTOR": "文档提取器",
    "VARIABLE ASSIGNER": "变量赋值",
    "ITERATION": "迭代",
    "Start": "开始",
    "Check prompt": "检查用户输入",
    "Check output": "检查模型回复",
    "Check texts": "批量检查文本",
    "Prompt is Safe?": "用户输入是 Safe？",
    "Answer is Safe?": "模型回复是 Safe？",
    "How is the prompt?": "用户输入如何？",
    "How is the answer?": "模型回复如何？",
    "LLM, careful": "LLM（谨慎）",
    "The answer": "回复",
    "Answer": "显示回复",
    "Answer with a note": "附说明的回复",
    "Answer withheld": "回复已拦下",
    "Prompt refused": "输入已拒绝",
    "Remember": "记住这一轮",
    "Knowledge": "知识库",
    "Extract text": "提取文本",
    "Each safe document": "逐个处理安全文档",
    "End": "输出",
    "Guarded model": "受保护的模型",
    "Agent's instructions": "Agent 的提示词",
    "your own model": "你自己的模型",
    "its base URL is the service": "API Base URL 是本服务",
    "the user's query": "用户的输入",
    "the user's documents": "用户的文档",
    "POST /moderate, a form:": "POST /moderate，表单：",
    "your knowledge base": "你的知识库",
    "the text of each": "每个文档的文本",
    "as it comes, already checked": "逐字显示，均已检查",
}


def details(data: dict[str, Any]) -> list[str]:
    """What matters of a node, in lines."""
    kind = data["type"]
    if kind == "tool":
        names = ", ".join(name for name, value in data["tool_parameters"].items() if value)
        return [f"from: {names}", f"policy: {data['tool_configurations']['policy']['value']}"]
    if kind == "http-request":
        fields = ", ".join(item["key"] for item in data["body"]["data"])
        return ["POST /moderate, a form:", fields]
    if kind == "llm":
        guarded = data["model"]["provider"].endswith("/openai_api_compatible")
        return ["its base URL is the service" if guarded else "your own model"]
    if kind == "knowledge-retrieval":
        return ["your knowledge base"]
    if kind == "document-extractor":
        return ["the text of each"]
    if kind == "assigner":
        return [f"{'.'.join(one['variable_selector'])} = {one['value'][1]}" for one in data["items"]]
    if kind == "iteration":
        return [".".join(data["iterator_selector"])]
    if kind == "answer":
        lines = [line for line in data["answer"].replace("{{#", "{").replace("#}}", "}").split("\n") if line]
        return [shorten(line) for line in lines]
    if kind == "end":
        return [", ".join(output["variable"] for output in data["outputs"])]
    if kind == "variable-aggregator":
        return [" or ".join(".".join(selector) for selector in data["variables"])]
    if kind == "start":
        asked_for = [variable["variable"] for variable in data["variables"]]
        return ["the user's documents" if "documents" in asked_for else "the user's query"]
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
    """A node on the picture. Nodes of an iteration are drawn behind it, in a row."""

    def __init__(self, node: dict[str, Any], *, say: Say, at: tuple[float, float] = (0, 0)) -> None:
        self.data = node["data"]
        self._say = say
        self.x = MARGIN + (at[0] + node["position"]["x"] - 80) * SCALE_X
        self.middle = (at[1] + node["position"]["y"]) * SCALE_Y
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
        colour, say = COLOURS[self.data["type"]], self._say
        parts = [
            f'<rect x="{self.x:.1f}" y="{self.top:.1f}" width="{WIDTH}" height="{self.height:.1f}" rx="8" fill="#fff" '
            f'stroke="{colour}" stroke-width="1.5"/>',
            _text(self.x + PAD, self.top + 16, say(self.data["title"]), size=12.5, weight="bold"),
            _text(self.x + PAD, self.top + 30, say(KINDS[self.data["type"]]), size=8.5, fill=colour, weight="bold"),
        ]
        y = self.top + HEAD + LINE + 10
        for line in details(self.data):
            parts.append(_text(self.x + PAD, y + 2, shorten(say(line)), size=11, fill="#475569"))
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


def as_graph(dsl: dict[str, Any]) -> dict[str, Any]:
    """The graph of an app; of one without a graph, what it amounts to: a model between question and answer."""
    if "workflow" in dsl:
        graph: dict[str, Any] = dsl["workflow"]["graph"]
        return graph
    config = dsl["model_config"]
    kinds: list[tuple[str, int, int, dict[str, Any]]] = [
        ("start", 80, 100, {"type": "start", "title": "Start", "variables": []}),
        ("llm", 380, 100, {"type": "llm", "title": "Guarded model", "model": config["model"]}),
        ("answer", 680, 100, {"type": "answer", "title": "Answer", "answer": "as it comes, already checked"}),
    ]
    edges = [("start", "llm"), ("llm", "answer")]
    for number, tool in enumerate(config["agent_mode"]["tools"]):
        settings = {"policy": {"value": tool["tool_parameters"]["policy"] or "-"}}
        texts = {name: True for name in ("query", "answer") if name in tool["tool_parameters"]}
        data = {"type": "tool", "title": tool["tool_label"], "tool_parameters": texts, "tool_configurations": settings}
        kinds.append((tool["tool_name"], 680, 240 + 140 * number, data))
        edges.append(("llm", tool["tool_name"]))
    nodes = [{"id": name, "position": {"x": x, "y": y}, "data": data} for name, x, y, data in kinds]
    return {"nodes": nodes, "edges": [{"source": a, "target": b, "sourceHandle": "source"} for a, b in edges]}


def _boxes(nodes: list[dict[str, Any]], say: Say) -> dict[str, Box]:
    """The nodes to draw: without the beginning of an iteration, and its inner nodes below it."""
    places = {node["id"]: node["position"] for node in nodes}
    boxes = {}
    for node in nodes:
        if node["data"]["type"] == "iteration-start":
            continue
        parent = places.get(node.get("parentId"))
        boxes[node["id"]] = Box(node, say=say, at=(parent["x"] + 260, parent["y"] + 90) if parent else (0, 0))
    return boxes


def _inlet(box: Box) -> tuple[float, float]:
    return box.x, box.middle


def draw(dsl: dict[str, Any], language: str = "en") -> str:
    """The picture of an app."""

    def say(text: str) -> str:
        return CHINESE.get(text, text) if language == "zh-CN" else text

    graph = as_graph(dsl)
    boxes = _boxes(graph["nodes"], say)
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
    parents = {node["id"]: node.get("parentId") for node in graph["nodes"]}
    for one in graph["edges"]:
        # The beginning of an iteration is not drawn: its edge leaves the iteration itself.
        source = one["source"] if one["source"] in boxes else parents[one["source"]]
        lines.append(_curve(boxes[source].outlet(one["sourceHandle"]), _inlet(boxes[one["target"]])))
    for box in boxes.values():
        lines += box.draw()
    return "\n".join([*lines, "</svg>"]) + "\n"


def pictures() -> dict[str, str]:
    """The SVG texts by file name."""
    found = {}
    for path in sorted(EXAMPLES.glob("*.yml")):
        dsl, stem = yaml.safe_load(path.read_text("utf-8")), path.stem.replace("_", "-")
        for language in LANGUAGES:
            suffix = "" if language == "en" else f".{language}"
            found[f"dify-{stem}{suffix}.svg"] = draw(dsl, language)
    return found


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, text in pictures().items():
        (PICTURES / name).write_text(text, "utf-8")
        print(PICTURES / name)


if __name__ == "__main__":
    main()
