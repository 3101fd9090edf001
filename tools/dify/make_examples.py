"""Writes the example apps for Dify: examples/dify/*.yml. A test fails when they are not what this script writes.

    python tools/dify/make_examples.py [PLUGIN_DIR OUT_FOLDER]

Names and the dependency come from the plugin's own manifest, so run it again after a change of the plugin.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import guarded_model_apps
import text_apps
import yaml
from app_dsl import (
    Node,
    PluginRef,
    answer,
    app,
    careful_llm,
    edge,
    gate,
    http_check,
    llm,
    node,
    tool_check,
    variable,
)
from plugin_files import collect, identifier

ROOT = Path(__file__).resolve().parents[2]
REFUSED = "Sorry, I can't help with that."
NOTE = "Please note: this is a sensitive or disputed topic.\n\n"
COLUMNS = [80 + 300 * column for column in range(9)]

Conditions = list[tuple[list[str], str, str, str]]


def plugin_ref(folder: Path) -> PluginRef:
    """What tool nodes need to know of the plugin in this folder."""
    files = collect(folder)
    manifest = yaml.safe_load(files["manifest.yaml"])
    provider = yaml.safe_load(files[manifest["plugins"]["tools"][0]])
    plugin_id = f"{manifest['author']}/{manifest['name']}"
    return PluginRef(plugin_id, provider["identity"]["name"], identifier(files), manifest["version"])


def labelled(check: str, safety: str, action: tuple[str, str]) -> Conditions:
    """`safety` is this label, and the policy agrees."""
    operator, value = action
    return [([check, "safety"], "string", "is", safety), ([check, "action"], "string", operator, value)]


def said_safe(check: str) -> Conditions:
    """The reply of `POST /moderate` says safe and allow. It holds no text of the user, who can't write that into it."""
    return [
        ([check, "status_code"], "number", "=", "200"),
        ([check, "body"], "string", "contains", '"safety":"safe"'),
        ([check, "body"], "string", "contains", '"action":"allow"'),
    ]


def chatflow(plugin: PluginRef) -> dict[str, Any]:
    """Only what is labelled Safe goes on."""
    return _double_guard(plugin, mode="advanced-chat", query="{{#sys.query#}}", name="Guarded chat")


def workflow(plugin: PluginRef) -> dict[str, Any]:
    """The same as a workflow, for the API and for batches."""
    return _double_guard(plugin, mode="workflow", query="{{#start.query#}}", name="Guarded workflow")


def _double_guard(plugin: PluginRef, *, mode: str, query: str, name: str) -> dict[str, Any]:
    x = COLUMNS
    safe = ("is", "allow")
    prompt_check = tool_check(
        plugin, "prompt_check", x[1], 280, "Check prompt", {"query": query}, tool="prompt_check", policy="strict"
    )
    texts = {"query": query, "answer": "{{#llm.text#}}"}
    output_check = tool_check(
        plugin, "output_check", x[4], 200, "Check output", texts, tool="output_check", policy="strict"
    )
    shown, withheld, refused = _ends(mode)
    nodes = [
        _start(mode),
        prompt_check,
        gate("prompt_ok", x[2], 280, "Prompt is Safe?", {"true": labelled("prompt_check", "Safe", safe)}),
        llm("llm", x[3], 200, query),
        output_check,
        gate("output_ok", x[5], 200, "Answer is Safe?", {"true": labelled("output_check", "Safe", safe)}),
        shown,
        withheld,
        refused,
    ]
    description = "Check the prompt, answer, check the answer; only text labelled Safe goes on."
    return app(name, description, mode, nodes, _double_guard_edges(nodes), plugin=plugin)


def _double_guard_edges(nodes: list[Node]) -> list[dict[str, Any]]:
    """The edges of start, check, gate, llm, check, gate, shown, withheld, refused, in this order."""
    start, prompt_check, prompt_ok, model, output_check, output_ok, shown, withheld, refused = nodes
    return [
        edge(start, prompt_check),
        edge(prompt_check, prompt_ok),
        edge(prompt_ok, model, "true"),
        edge(prompt_ok, refused, "false"),
        edge(model, output_check),
        edge(output_check, output_ok),
        edge(output_ok, shown, "true"),
        edge(output_ok, withheld, "false"),
    ]


def _start(mode: str) -> Node:
    variables = []
    if mode == "workflow":
        query = {"variable": "query", "label": "query", "type": "paragraph", "required": True}
        variables = [{**query, "max_length": 10000, "options": []}]
    return node("start", COLUMNS[0], 280, {"type": "start", "title": "Start", "variables": variables})


def _ends(mode: str) -> tuple[Node, Node, Node]:
    """Shown, withheld, refused: Answers in a chatflow, Ends in a workflow."""
    x = COLUMNS
    places: Mapping[str, tuple[int, int, str, list[str]]] = {
        "shown": (x[6], 120, "Answer", ["llm", "text"]),
        "withheld": (x[6], 320, "Answer withheld", ["output_check", "message"]),
        "refused": (x[3], 480, "Prompt refused", ["prompt_check", "message"]),
    }
    made = []
    for node_id, (at_x, at_y, title, selector) in places.items():
        if mode == "advanced-chat":
            made.append(answer(node_id, at_x, at_y, title, "{{#" + ".".join(selector) + "#}}"))
            continue
        outputs = [{"variable": "answer", "value_selector": selector, "value_type": "string"}]
        if selector[1] == "message":
            kinds = {"safety": "string", "categories": "array[string]", "request_id": "string", "error": "string"}
            outputs += [
                {"variable": name, "value_selector": [selector[0], name], "value_type": kind}
                for name, kind in kinds.items()
            ]
        made.append(node(node_id, at_x, at_y, {"type": "end", "title": title, "outputs": outputs}))
    shown, withheld, refused = made
    return shown, withheld, refused


def milder_chatflow(plugin: PluginRef) -> dict[str, Any]:
    """Controversial prompts go to a more careful model; controversial answers are shown with a note."""
    x, query = COLUMNS, "{{#sys.query#}}"

    def cases(check: str) -> dict[str, Conditions]:
        return {
            "true": labelled(check, "Safe", ("is", "allow")),
            "controversial": labelled(check, "Controversial", ("is not", "block")),
        }

    start = _start("advanced-chat")
    prompt_check = tool_check(
        plugin, "prompt_check", x[1], 280, "Check prompt", {"query": query}, tool="prompt_check", policy="balanced"
    )
    prompt_ok = gate("prompt_ok", x[2], 280, "How is the prompt?", cases("prompt_check"))
    model, careful = llm("llm", x[3], 140, query), careful_llm("llm_careful", x[3], 320, query)
    either = {"output_type": "string", "variables": [["llm", "text"], ["llm_careful", "text"]]}
    draft = node("draft", x[4], 220, {"type": "variable-aggregator", "title": "The answer", **either})
    output_check = tool_check(
        plugin,
        "output_check",
        x[5],
        220,
        "Check output",
        {"query": query, "answer": "{{#draft.output#}}"},
        tool="output_check",
        policy="balanced",
    )
    output_ok = gate("output_ok", x[6], 220, "How is the answer?", cases("output_check"))
    shown = answer("shown", x[7], 80, "Answer", "{{#draft.output#}}")
    noted = answer("noted", x[7], 260, "Answer with a note", NOTE + "{{#draft.output#}}")
    withheld = answer("withheld", x[7], 440, "Answer withheld", "{{#output_check.message#}}")
    refused = answer("refused", x[3], 520, "Prompt refused", "{{#prompt_check.message#}}")
    nodes = [start, prompt_check, prompt_ok, model, careful, draft, output_check, output_ok]
    description = "Safe goes on, Controversial takes a milder branch, Unsafe stops."
    nodes += [shown, noted, withheld, refused]
    return app("Guarded chat, three ways", description, "advanced-chat", nodes, _three_way_edges(nodes), plugin=plugin)


def _three_way_edges(nodes: list[Node]) -> list[dict[str, Any]]:
    by_id = {one["id"]: one for one in nodes}
    ways = [
        ("start", "source", "prompt_check"),
        ("prompt_check", "source", "prompt_ok"),
        ("prompt_ok", "true", "llm"),
        ("prompt_ok", "controversial", "llm_careful"),
        ("prompt_ok", "false", "refused"),
        ("llm", "source", "draft"),
        ("llm_careful", "source", "draft"),
        ("draft", "source", "output_check"),
        ("output_check", "source", "output_ok"),
        ("output_ok", "true", "shown"),
        ("output_ok", "controversial", "noted"),
        ("output_ok", "false", "withheld"),
    ]
    return [edge(by_id[source], by_id[target], handle) for source, handle, target in ways]


def http_chatflow(plugin: PluginRef) -> dict[str, Any]:
    """The double guard without the plugin."""
    x, query = COLUMNS, "{{#sys.query#}}"
    fields = {"prompt": query, "policy": "strict"}
    answered = {"prompt": query, "response": "{{#llm.text#}}", "policy": "strict"}
    nodes = [
        _start("advanced-chat"),
        http_check("prompt_check", x[1], 280, "Check prompt", fields),
        gate("prompt_ok", x[2], 280, "Prompt is Safe?", {"true": said_safe("prompt_check")}),
        llm("llm", x[3], 200, query),
        http_check("output_check", x[4], 200, "Check output", answered),
        gate("output_ok", x[5], 200, "Answer is Safe?", {"true": said_safe("output_check")}),
        answer("shown", x[6], 120, "Answer", "{{#llm.text#}}"),
        answer("withheld", x[6], 320, "Answer withheld", REFUSED),
        answer("refused", x[3], 480, "Prompt refused", REFUSED),
    ]
    environment = [
        variable(
            "env", "moderation_url", "http://moderation:8787", "string", "The service, as Dify's containers see it."
        ),
        variable("env", "moderation_key", "", "secret", "One of the service's API keys; empty when it has none."),
    ]
    description = "The double guard with plain HTTP requests, no plugin needed."
    edges = _double_guard_edges(nodes)
    return app("Guarded chat over HTTP", description, "advanced-chat", nodes, edges, plugin=None,
               environment=environment)  # fmt: skip


APPS: Mapping[str, Callable[[PluginRef], dict[str, Any]]] = {
    "guarded_chatflow.yml": chatflow,
    "guarded_chatflow_milder.yml": milder_chatflow,
    "guarded_workflow.yml": workflow,
    "guarded_chatflow_http.yml": http_chatflow,
    "guarded_chatflow_history.yml": text_apps.history_chatflow,
    "guarded_knowledge.yml": text_apps.knowledge_chatflow,
    "guarded_documents.yml": text_apps.documents_workflow,
    "guarded_model_chatflow.yml": guarded_model_apps.chatflow,
    "guarded_model_chatbot.yml": guarded_model_apps.chatbot,
    "guarded_model_agent.yml": guarded_model_apps.agent,
}


def texts(plugin_dir: Path) -> dict[str, str]:
    """The files' contents by name."""
    plugin = plugin_ref(plugin_dir)
    return {
        name: yaml.safe_dump(make(plugin), allow_unicode=True, sort_keys=False, width=120)
        for name, make in APPS.items()
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plugin_dir", type=Path, nargs="?", default=ROOT / "dify_plugin")
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / "examples" / "dify")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in texts(args.plugin_dir).items():
        (args.out / name).write_text(text, "utf-8")
        print(args.out / name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
