"""Find in a Dify app DSL what the import does not: Dify checks the graph only when it runs. Needs PyYAML.

    python tools/dify/check_dsl.py APP.yml [--plugin PLUGIN_DIR ...]

With --plugin the tool nodes are checked against that plugin's tools: names, parameters, outputs and their types.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

VERSION = "0.6.0"  # imported silently by Dify 1.14 and 1.15, with a soft warning by 1.16 and later
DEFAULT_VALUE_TYPES = {"string", "number", "object", "array[number]", "array[string]", "array[object]", "array[file]"}
VARIABLE = re.compile(r"\{\{#([^#{}]+)#\}\}")
GLOBALS = {"sys", "env", "conversation"}
KNOWN_OUTPUTS = {
    "llm": {"text", "usage", "reasoning_content", "structured_output", "finish_reason"},
    "if-else": {"result", "selected_case_id"},
}
TOOL_OUTPUTS = {"text": "string", "json": "array", "files": "array"}


class Plugin:
    def __init__(self, folder: Path) -> None:
        manifest = yaml.safe_load((folder / "manifest.yaml").read_text("utf-8"))
        self.plugin_id = f"{manifest['author']}/{manifest['name']}"
        provider = yaml.safe_load((folder / manifest["plugins"]["tools"][0]).read_text("utf-8"))
        self.provider_id = f"{self.plugin_id}/{provider['identity']['name']}"
        tools = [yaml.safe_load((folder / path).read_text("utf-8")) for path in provider["tools"]]
        self.tools = {tool["identity"]["name"]: tool for tool in tools}

    def outputs(self, tool: str) -> dict[str, str]:
        schema = (self.tools[tool].get("output_schema") or {}).get("properties") or {}
        return {**TOOL_OUTPUTS, **{name: prop["type"] for name, prop in schema.items()}}


def check(dsl: dict[str, Any], plugins: Iterable[Plugin] = ()) -> list[str]:
    problems: list[str] = []
    say = problems.append
    by_provider = {plugin.provider_id: plugin for plugin in plugins}
    if not isinstance(dsl.get("version"), str):
        say("version must be a string (quote it when it has one dot)")
    elif dsl["version"] != VERSION:
        say(f"version is {dsl['version']}, want {VERSION}: a newer one leaves the import pending on older Dify")
    if dsl.get("kind") != "app":
        say("kind must be app")
    mode = (dsl.get("app") or {}).get("mode")
    if mode not in ("advanced-chat", "workflow"):
        say(f"app.mode is {mode!r}, want advanced-chat or workflow")
    workflow = dsl.get("workflow") or {}
    if mode == "workflow" and ((workflow.get("features") or {}).get("sensitive_word_avoidance") or {}).get("enabled"):
        say("workflow apps ignore sensitive_word_avoidance: it would protect nothing")
    graph = workflow.get("graph") or {}
    nodes = {node["id"]: node for node in graph.get("nodes") or []}
    if len(nodes) != len(graph.get("nodes") or []):
        say("two nodes share an id")
    edges = graph.get("edges") or []
    outgoing: dict[str, set[str]] = {}
    for edge in edges:
        for end in ("source", "target"):
            if edge[end] not in nodes:
                say(f"edge {edge.get('id')}: {end} {edge[end]!r} does not exist")
        outgoing.setdefault(edge["source"], set()).add(edge.get("sourceHandle", "source"))
    outputs: dict[str, dict[str, str] | None] = {}  # node -> outputs, None when not known here
    for node_id, node in nodes.items():
        data = node["data"]
        plugin = by_provider.get(str(data.get("provider_id")))
        if data["type"] == "tool" and plugin and data.get("tool_name") in plugin.tools:
            outputs[node_id] = dict(plugin.outputs(data["tool_name"]))
        elif data["type"] in KNOWN_OUTPUTS:
            outputs[node_id] = dict.fromkeys(KNOWN_OUTPUTS[data["type"]], "")
        elif data["type"] == "start":
            outputs[node_id] = {variable["variable"]: "" for variable in data.get("variables") or []}
        else:
            outputs[node_id] = None
        if data.get("error_strategy") == "fail-branch" and outputs[node_id] is not None:
            outputs[node_id].update(error_message="string", error_type="string")  # type: ignore[union-attr]

    def refer(node_id: str, selector: list[str]) -> str:
        """The type of a selected variable ('' unknown); complains when it cannot exist."""
        if not selector or selector[0] in GLOBALS:
            return ""
        if selector[0] not in nodes:
            say(f"{node_id}: refers to unknown node {selector[0]!r}")
            return ""
        known = outputs[selector[0]]
        if known is not None and len(selector) > 1 and selector[1] not in known:
            say(f"{node_id}: node {selector[0]!r} has no output {selector[1]!r}")
            return ""
        return (known or {}).get(selector[1], "") if len(selector) > 1 else ""

    for node_id, node in nodes.items():
        data, handles = node["data"], outgoing.get(node_id, set())
        for text in _texts(data):
            for match in VARIABLE.finditer(text):
                kind = refer(node_id, match[1].split("."))
                if data["type"] == "answer" and kind not in ("", "string"):
                    say(f"{node_id}: {match[0]} is {kind}; an Answer prints only string outputs")
        for selector in _selectors(data):
            refer(node_id, selector)
        if data["type"] == "if-else":
            cases = {case["case_id"] for case in data.get("cases") or []}
            for handle in handles - cases - {"false"}:
                say(f"{node_id}: no case {handle!r} for its edge")
            for handle in (cases | {"false"}) - handles:
                say(f"{node_id}: nothing follows branch {handle!r}")
            for case in data.get("cases") or []:
                for condition in case["conditions"]:
                    _condition(node_id, condition, refer(node_id, condition["variable_selector"]), say)
        if data["type"] == "tool":
            _tool(node_id, data, by_provider.get(str(data.get("provider_id"))), handles, say)
    return list(dict.fromkeys(problems))


def _condition(node_id: str, condition: dict[str, Any], kind: str, say: Any) -> None:
    value, operator = condition.get("value"), condition.get("comparison_operator")
    is_boolean = condition.get("varType") == "boolean" or kind == "boolean"
    if is_boolean and not isinstance(value, bool) and value not in ("true", "false"):
        say(f'{node_id}: a boolean is compared with {value!r}; want true or "true"')
    if kind in ("number", "integer") and operator in ("is", "is not", "!=", ">=", "<="):
        say(f"{node_id}: operator {operator!r} does not work on a number; there are = ≠ > < ≥ ≤")
    if condition.get("variable_selector", [None, None])[1:2] == ["json"]:
        say(f"{node_id}: `json` is a list of objects, conditions on it are never true")


def _tool(node_id: str, data: dict[str, Any], plugin: Plugin | None, handles: set[str], say: Any) -> None:
    provider = str(data.get("provider_id"))
    if provider != data.get("provider_name") or data.get("provider_type") != "builtin":
        say(f"{node_id}: want provider_id = provider_name and provider_type builtin (plugin tools too)")
    if provider.count("/") != 2:
        say(f"{node_id}: provider_id must be author/plugin/provider")
    if data.get("tool_node_version") != "2":
        say(f'{node_id}: tool_node_version must be "2"')
    for item in data.get("default_value") or []:
        if item.get("type") not in DEFAULT_VALUE_TYPES:
            key, kind = item.get("key"), item.get("type")
            say(f"{node_id}: default_value {key!r} has type {kind!r}: every run of the app would fail")
    if data.get("error_strategy") == "fail-branch" and "fail-branch" not in handles:
        say(f"{node_id}: nothing follows its fail-branch")
    if plugin is None:
        return
    tool = plugin.tools.get(str(data.get("tool_name")))
    if tool is None:
        say(f"{node_id}: plugin {plugin.plugin_id} has no tool {data.get('tool_name')!r}")
        return
    forms = {parameter["name"]: parameter for parameter in tool.get("parameters") or []}
    for place, form in (("tool_parameters", "llm"), ("tool_configurations", "form")):
        given = data.get(place) or {}
        for name in given:
            if name not in forms or forms[name]["form"] != form:
                say(f"{node_id}: {place}.{name} is not a {form} parameter of {data['tool_name']}")
        for name, parameter in forms.items():
            if parameter["form"] == form and parameter.get("required") and name not in given:
                say(f"{node_id}: {place}.{name} is required")
    if data.get("error_strategy") == "default-value":
        missing = {name for name, kind in plugin.outputs(str(data["tool_name"])).items() if kind != "boolean"}
        missing -= {item.get("key") for item in data.get("default_value") or []}
        if missing:
            say(f"{node_id}: default_value lacks {', '.join(sorted(missing))}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _selectors(data: dict[str, Any]) -> Iterator[list[str]]:
    for output in data.get("outputs") or []:
        if isinstance(output, dict) and output.get("value_selector"):
            yield output["value_selector"]
    for place in ("tool_parameters", "tool_configurations"):
        for parameter in (data.get(place) or {}).values():
            if isinstance(parameter, dict) and parameter.get("type") == "variable":
                yield parameter["value"]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsl", type=Path)
    parser.add_argument("--plugin", type=Path, action="append", default=[])
    args = parser.parse_args(argv)
    problems = check(yaml.safe_load(args.dsl.read_text("utf-8")), [Plugin(folder) for folder in args.plugin])
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
