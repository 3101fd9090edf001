"""Runs Dify app DSLs without Dify: graphon executes the graph, tool nodes run in the real plugin, the LLM is played.

Started by the tests in the environment that has graphon. Reads one JSON job per line on stdin and answers each with one
JSON line, so that importing graphon, which takes seconds, is paid for once:

    {"dsl": PATH, "query": TEXT, "llm": TEXT, "credentials": {...}, "environment": {...},
     "plugin": FOLDER, "plugin_url": URL}  ->  {"path": [...], "failures": [...], "streamed": TEXT, ...}

What graphon has no node for is given: `"given": {"knowledge.result": [...]}` takes the node `knowledge` out of the
graph, and whoever reads its `result` reads that list. `"conversation": {NAME: VALUE}` are conversation variables.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
LLM_PLUGIN = "0.0.1@" + "0" * 64  # graphon resolves a model provider through the DSL's dependencies


@dataclass
class FlowResult:
    path: list[str] = field(default_factory=list)  # ids of the nodes that succeeded, in order
    failures: list[str] = field(default_factory=list)  # "node: error"
    streamed: str = ""  # what a chat user has seen when the run is over
    chunks: list[tuple[str, str]] = field(default_factory=list)  # ("node.variable", text), in the order of arrival
    outputs: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)  # everything that the engine reported
    conversation: dict[str, Any] = field(default_factory=dict)  # what was assigned to conversation variables
    asked_llm: list[Any] = field(default_factory=list)  # the prompts that the LLM was given
    status: str = ""
    error: str = ""


def with_model_dependencies(dsl: dict[str, Any]) -> dict[str, Any]:
    """Model providers the DSL does not list as dependencies (a user picks an own model anyway)."""
    known = json.dumps(dsl.get("dependencies") or [])
    missing = set()
    for node in dsl["workflow"]["graph"]["nodes"]:
        provider = (node["data"].get("model") or {}).get("provider") if node["data"]["type"] == "llm" else None
        if provider and "/".join(provider.split("/")[:2]) + ":" not in known:
            missing.add("/".join(provider.split("/")[:2]))
    extra = [
        {"type": "marketplace", "value": {"marketplace_plugin_unique_identifier": f"{plugin}:{LLM_PLUGIN}"}}
        for plugin in sorted(missing)
    ]
    return {**dsl, "dependencies": [*(dsl.get("dependencies") or []), *extra]}


def with_given(dsl: dict[str, Any], given: dict[str, list[Any]]) -> dict[str, Any]:
    """The app without the nodes whose outputs are given; these become variables."""
    text = json.dumps(dsl)
    for name in given:
        node, output = name.split(".")
        text = text.replace(json.dumps([node, output]), json.dumps(["conversation", f"{node}_{output}"]))
    changed: dict[str, Any] = json.loads(text)
    graph, gone = changed["workflow"]["graph"], {name.split(".")[0] for name in given}
    after = {edge["source"]: edge["target"] for edge in graph["edges"] if edge["source"] in gone}
    graph["nodes"] = [node for node in graph["nodes"] if node["id"] not in gone]
    graph["edges"] = [
        {**edge, "target": after.get(edge["target"], edge["target"])}
        for edge in graph["edges"]
        if edge["source"] not in gone
    ]
    for name, value in given.items():
        kind = "array[object]" if value and isinstance(value[0], dict) else "array[string]"
        node, output = name.split(".")
        entry = {"id": name, "name": f"{node}_{output}", "value": value, "value_type": kind}
        changed["workflow"]["conversation_variables"].append(entry)
    for start in (node["data"] for node in graph["nodes"] if node["data"]["type"] == "start"):
        start["variables"] = [one for one in start["variables"] if one["type"] != "file-list"]
    return changed


def run(job: dict[str, Any]) -> FlowResult:
    """`query` fills both the start node's variable and sys.query."""
    from graphon.dsl import inspect, loads
    from graphon.engine.filter import EngineEventFilterContext, ResponseStreamFilter, filter_engine_events

    dsl = yaml.safe_load(Path(job["dsl"]).read_text("utf-8"))
    for variable in dsl["workflow"]["environment_variables"]:
        variable["value"] = job.get("environment", {}).get(variable["name"], variable["value"])
    for variable in dsl["workflow"]["conversation_variables"]:
        variable["value"] = job.get("conversation", {}).get(variable["name"], variable["value"])
    dsl = with_given(dsl, job.get("given", {}))
    with tempfile.TemporaryDirectory() as temporary:
        launcher, log = Path(temporary, "slim"), Path(temporary, "llm.jsonl")
        python, standin = shlex.quote(sys.executable), shlex.quote(str(HERE / "slim_standin.py"))
        launcher.write_text(f'#!/bin/sh\nexec {python} {standin} "$@"\n')
        launcher.chmod(0o755)
        os.environ["SLIM_BINARY_PATH"] = str(launcher)
        os.environ["SLIM_STANDIN_PLUGIN"] = job["plugin"]
        os.environ["SLIM_STANDIN_URL"] = job["plugin_url"]
        os.environ["SLIM_STANDIN_LLM"] = job["llm"]
        os.environ["SLIM_STANDIN_LOG"] = str(log)
        text = yaml.safe_dump(with_model_dependencies(dsl), allow_unicode=True, sort_keys=False)
        plan = inspect(text)
        if not plan.loadable:
            raise ValueError(plan.load_reason)
        engine = loads(
            text,
            workflow_id="flow",
            start_inputs={"query": job["query"]},
            credentials={
                "model_credentials": [
                    {"vendor": "openai", "values": {"openai_api_key": "not-used"}},
                    {"vendor": "openai_api_compatible", "values": job.get("model_credentials") or {"api_key": "-"}},
                ],
                "tool_credentials": [{"provider": "moderation_guard", "values": job["credentials"]}],
                "slim": {"mode": "local", "plugin_folder": temporary},
            },
        )
        context = EngineEventFilterContext.from_engine(engine)
        result = _read(filter_engine_events(engine.run(), context=context, filters=[ResponseStreamFilter()]))
        if log.exists():
            result.asked_llm = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        return result


def _plain(event: Any) -> dict[str, Any]:
    """An event as JSON, whatever is in it."""
    plain: dict[str, Any] = json.loads(json.dumps(event.model_dump(), default=str))
    return plain


def _read(events: Any) -> FlowResult:
    result = FlowResult()
    try:
        for event in events:
            name = type(event).__name__
            result.events.append({"event": name, **_plain(event)})
            if name == "NodeRunSucceededEvent":
                result.path.append(event.node_id)
                if event.node_type == "assigner":
                    result.conversation |= _plain(event)["node_run_result"]["process_data"]
            elif name in ("NodeRunFailedEvent", "NodeRunExceptionEvent"):
                result.failures.append(f"{event.node_id}: {event.error}")
            elif name == "NodeRunStreamChunkEvent":
                result.chunks.append((".".join(event.selector), event.chunk))
                result.streamed += event.chunk
            elif name.startswith("GraphRun") and name != "GraphRunStartedEvent":
                result.status = name.removeprefix("GraphRun").removesuffix("Event").lower()
                outputs = getattr(event, "outputs", None) or {}
                result.outputs = {key: getattr(value, "value", value) for key, value in outputs.items()}
                result.error = str(getattr(event, "error", "") or "")
    except Exception as error:  # the engine re-raises a node's failure after reporting it
        result.error = result.error or f"{type(error).__name__}: {error}"
    return result


def main() -> None:
    for line in sys.stdin:
        try:
            answer = asdict(run(json.loads(line)))
        except Exception as error:  # the test that asked shows it
            answer = {"status": "not run", "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, ensure_ascii=False, default=str), flush=True)


if __name__ == "__main__":
    main()
