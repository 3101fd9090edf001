"""Find in a Dify app DSL what the import does not: Dify checks the graph only when it runs. Needs PyYAML.

    python tools/dify/check_dsl.py APP.yml [--plugin PLUGIN_DIR ...]

With --plugin the tool nodes are checked against that plugin's tools: names, parameters, outputs and their types.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

VERSION = "0.6.0"  # imported silently by Dify 1.14 and 1.15, with a soft warning by 1.16 and later
DEFAULT_VALUE_TYPES = {"string", "number", "object", "array[number]", "array[string]", "array[object]", "array[file]"}
VARIABLE = re.compile(r"\{\{#([^#{}]+)#\}\}")
GLOBALS = {"sys", "env", "conversation", "context"}
KNOWN_OUTPUTS = {
    "llm": {"text", "usage", "reasoning_content", "structured_output", "finish_reason"},
    "if-else": {"result", "selected_case_id"},
}
TOOL_OUTPUTS = {"text": "string", "json": "array", "files": "array"}


class Plugin:
    """What a plugin's own files say of its tools."""

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
    """Sentences about what is wrong; empty when nothing was found."""
    problems = _frame_problems(dsl)
    plugins = list(plugins)
    _agent_tools(dsl.get("model_config") or {}, plugins, problems.append)
    graph = _Graph((dsl.get("workflow") or {}).get("graph") or {}, plugins, problems.append)
    graph.check()
    return list(dict.fromkeys(problems))


def _frame_problems(dsl: dict[str, Any]) -> list[str]:
    """What is wrong around the graph."""
    found = []
    if not isinstance(dsl.get("version"), str):
        found.append("version must be a string (quote it when it has one dot)")
    elif dsl["version"] != VERSION:
        found.append(
            f"version is {dsl['version']}, want {VERSION}: a newer one leaves the import pending on older Dify"
        )
    if dsl.get("kind") != "app":
        found.append("kind must be app")
    mode = (dsl.get("app") or {}).get("mode")
    if mode in ("chat", "agent-chat"):
        if not isinstance(dsl.get("model_config"), dict) or "workflow" in dsl:
            found.append(f"an app of mode {mode} has a model_config and no workflow")
    elif mode not in ("advanced-chat", "workflow"):
        found.append(f"app.mode is {mode!r}, want advanced-chat, workflow, chat or agent-chat")
    features = (dsl.get("workflow") or {}).get("features") or {}
    if mode == "workflow" and (features.get("sensitive_word_avoidance") or {}).get("enabled"):
        found.append("workflow apps ignore sensitive_word_avoidance: it would protect nothing")
    return found


def _agent_tools(config: dict[str, Any], plugins: Iterable[Plugin], say: Callable[[str], None]) -> None:
    """The tools of an app without a graph."""
    known = {plugin.provider_id: plugin.tools for plugin in plugins}
    for entry in (config.get("agent_mode") or {}).get("tools") or []:
        tool = known.get(str(entry.get("provider_id")), {}).get(str(entry.get("tool_name")))
        if tool is None:
            say(f"agent: no tool {entry.get('provider_id')}/{entry.get('tool_name')}")
            continue
        names = {parameter["name"] for parameter in tool.get("parameters") or []}
        for name in set(entry.get("tool_parameters") or {}) ^ names:
            say(f"agent: {entry['tool_name']}.{name} is missing, or is no parameter")


class _Graph:
    """Nodes, edges, and which outputs each node has."""

    def __init__(self, graph: dict[str, Any], plugins: Iterable[Plugin], say: Callable[[str], None]) -> None:
        self._say = say
        self._plugins = {plugin.provider_id: plugin for plugin in plugins}
        self._nodes = {node["id"]: node["data"] for node in graph.get("nodes") or []}
        if len(self._nodes) != len(graph.get("nodes") or []):
            say("two nodes share an id")
        self._outgoing: dict[str, set[str]] = {}
        for edge in graph.get("edges") or []:
            for end in ("source", "target"):
                if edge[end] not in self._nodes:
                    say(f"edge {edge.get('id')}: {end} {edge[end]!r} does not exist")
            self._outgoing.setdefault(edge["source"], set()).add(edge.get("sourceHandle", "source"))
        self._outputs = {node_id: self._outputs_of(data) for node_id, data in self._nodes.items()}

    def _outputs_of(self, data: dict[str, Any]) -> dict[str, str] | None:
        """The types of a node's outputs by name, '' for unknown; None when the outputs are not known here."""
        plugin = self._plugins.get(str(data.get("provider_id")))
        if data["type"] == "tool" and plugin and data.get("tool_name") in plugin.tools:
            outputs = dict(plugin.outputs(data["tool_name"]))
        elif data["type"] in KNOWN_OUTPUTS:
            outputs = dict.fromkeys(KNOWN_OUTPUTS[data["type"]], "")
        elif data["type"] == "start":
            outputs = {variable["variable"]: "" for variable in data.get("variables") or []}
        else:
            return None
        if data.get("error_strategy") == "fail-branch":
            outputs |= {"error_message": "string", "error_type": "string"}
        return outputs

    def check(self) -> None:
        """Look at every node."""
        for node_id, data in self._nodes.items():
            handles = self._outgoing.get(node_id, set())
            for text in _texts(data):
                for match in VARIABLE.finditer(text):
                    kind = self._refer(node_id, match[1].split("."))
                    if data["type"] == "answer" and kind not in ("", "string"):
                        self._say(f"{node_id}: {match[0]} is {kind}; an Answer prints only string outputs")
            for selector in _selectors(data):
                self._refer(node_id, selector)
            if data["type"] == "if-else":
                self._branches(node_id, data, handles)
            if data["type"] == "tool":
                _tool(node_id, data, self._plugins.get(str(data.get("provider_id"))), handles, self._say)

    def _branches(self, node_id: str, data: dict[str, Any], handles: set[str]) -> None:
        cases = {case["case_id"] for case in data.get("cases") or []}
        for handle in handles - cases - {"false"}:
            self._say(f"{node_id}: no case {handle!r} for its edge")
        for handle in (cases | {"false"}) - handles:
            self._say(f"{node_id}: nothing follows branch {handle!r}")
        for case in data.get("cases") or []:
            for condition in case["conditions"]:
                _condition(node_id, condition, self._refer(node_id, condition["variable_selector"]), self._say)

    def _refer(self, node_id: str, selector: list[str]) -> str:
        """The type of a selected variable ('' unknown); complains when it cannot exist."""
        if not selector or selector[0] in GLOBALS:
            return ""
        if selector[0] not in self._nodes:
            self._say(f"{node_id}: refers to unknown node {selector[0]!r}")
            return ""
        known = self._outputs[selector[0]]
        if known is None or len(selector) < 2:
            return ""
        if selector[1] not in known:
            self._say(f"{node_id}: node {selector[0]!r} has no output {selector[1]!r}")
        return known.get(selector[1], "")


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
    if plugin is not None:
        _tool_of_plugin(node_id, data, plugin, say)


def _tool_of_plugin(node_id: str, data: dict[str, Any], plugin: Plugin, say: Any) -> None:
    """Whether the plugin has such a tool, with such parameters and outputs."""
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
