"""Nodes and edges of a Dify app in its DSL, version 0.6.0; what the keys mean is in the comments and docs/dify.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PluginRef", "answer", "app", "careful_llm", "edge", "gate", "http_check", "llm", "node", "tool_check"]

DSL_VERSION = "0.6.0"  # a newer one leaves the import pending on older Dify; an older one is accepted everywhere
UNCHECKED = "The safety check is not available right now. Please try again later."

Node = dict[str, Any]
Condition = tuple[list[str], str, str, str]  # selector, type, operator, value


@dataclass(frozen=True)
class PluginRef:
    """The plugin that tool nodes belong to."""

    plugin_id: str
    provider: str
    identifier: str
    version: str

    @property
    def provider_id(self) -> str:
        """What Dify calls the provider: author/plugin/provider."""
        return f"{self.plugin_id}/{self.provider}"


def node(node_id: str, x: int, y: int, data: Mapping[str, Any]) -> Node:
    """A node of the canvas."""
    place = {"x": x, "y": y}
    return {
        "id": node_id,
        "type": "custom",
        "position": dict(place),
        "positionAbsolute": dict(place),
        "sourcePosition": "right",
        "targetPosition": "left",
        "width": 244,
        "height": 90,
        "selected": False,
        "data": {"selected": False, "desc": "", **data},
    }


def edge(source: Node, target: Node, handle: str = "source") -> dict[str, Any]:
    """`handle` is `source`, a case of an if/else, or `false` for its else."""
    kinds = {"sourceType": source["data"]["type"], "targetType": target["data"]["type"]}
    return {
        "id": f"{source['id']}-{handle}-{target['id']}-target",
        "type": "custom",
        "source": source["id"],
        "sourceHandle": handle,
        "target": target["id"],
        "targetHandle": "target",
        "zIndex": 0,
        "data": {"isInIteration": False, "isInLoop": False, **kinds},
    }


def _defaults() -> list[dict[str, Any]]:
    """Outputs for what the plugin can't handle itself (daemon down, plugin removed). There is no boolean type here."""
    texts = {
        "text": "block: Error",
        "safety": "Error",
        "action": "block",
        "categories_text": "",
        "refusal": "",
        "message": UNCHECKED,
        "safe_text": UNCHECKED,
        "request_id": "",
        "error": "the check did not run",
    }
    return [
        *({"key": key, "type": "string", "value": value} for key, value in texts.items()),
        {"key": "score", "type": "number", "value": 1},
        {"key": "categories", "type": "array[string]", "value": []},
        {"key": "json", "type": "array[object]", "value": [{}]},
        {"key": "files", "type": "array[file]", "value": []},
    ]


def tool_check(
    plugin: PluginRef, node_id: str, x: int, y: int, title: str, texts: Mapping[str, str], *, tool: str, policy: str
) -> Node:
    """A node of the plugin; `texts` are its inputs, with variables in them."""
    settings = {"policy": policy, "language": "auto", "on_error": "block"}
    return node(
        node_id,
        x,
        y,
        {
            "type": "tool",
            "title": title,
            "tool_node_version": "2",
            "provider_type": "builtin",  # plugin tools too
            "provider_id": plugin.provider_id,
            "provider_name": plugin.provider_id,
            "plugin_id": plugin.plugin_id,
            "plugin_unique_identifier": plugin.identifier,
            "is_team_authorization": True,
            "tool_name": tool,
            "tool_label": title,
            "tool_description": "",
            "tool_parameters": {name: {"type": "mixed", "value": value} for name, value in texts.items()},
            "tool_configurations": {name: {"type": "constant", "value": value} for name, value in settings.items()},
            "retry_config": {"retry_enabled": True, "max_retries": 2, "retry_interval": 500},
            "error_strategy": "default-value",
            "default_value": _defaults(),
        },
    )


def http_check(node_id: str, x: int, y: int, title: str, fields: Mapping[str, str]) -> Node:
    """A plain HTTP request to `POST /moderate`.

    A form and not JSON: Dify pastes variables into a JSON body as they are, and a quote in the user's text could end
    the string and replace the prompt that is judged. In a form every value is encoded on its own.
    """
    form = [
        {"id": f"{node_id}-{number}", "key": key, "type": "text", "value": value}
        for number, (key, value) in enumerate(fields.items())
    ]
    return node(
        node_id,
        x,
        y,
        {
            "type": "http-request",
            "title": title,
            "method": "post",
            "url": "{{#env.moderation_url#}}/moderate",
            "authorization": {"type": "no-auth", "config": None},
            "headers": "Authorization:Bearer {{#env.moderation_key#}}",
            "params": "",
            "body": {"type": "x-www-form-urlencoded", "data": form},
            "timeout": {"connect": 5, "read": 30, "write": 10},
            "ssl_verify": True,
            "variables": [],
            "retry_config": {"retry_enabled": True, "max_retries": 1, "retry_interval": 500},
            "error_strategy": "default-value",
            "default_value": [
                {"key": "body", "type": "string", "value": ""},
                {"key": "status_code", "type": "number", "value": 0},
                {"key": "headers", "type": "object", "value": {}},
            ],
        },
    )


def gate(node_id: str, x: int, y: int, title: str, cases: Mapping[str, Sequence[Condition]]) -> Node:
    """An if/else. Every case lists what may pass, all conditions of it at once; anything unexpected goes to ELSE."""
    return node(
        node_id,
        x,
        y,
        {
            "type": "if-else",
            "title": title,
            "cases": [
                {
                    "id": case,
                    "case_id": case,
                    "logical_operator": "and",
                    "conditions": [
                        {
                            "id": f"{node_id}-{case}-{number}",
                            "varType": kind,
                            "variable_selector": selector,
                            "comparison_operator": operator,
                            "value": value,
                        }
                        for number, (selector, kind, operator, value) in enumerate(conditions)
                    ],
                }
                for case, conditions in cases.items()
            ],
        },
    )


def llm(
    node_id: str, x: int, y: int, query: str, *, title: str = "LLM", system: str = "You are a helpful assistant."
) -> Node:
    """The user's own model goes here; the one named is only what a new Dify offers first."""
    return node(
        node_id,
        x,
        y,
        {
            "type": "llm",
            "title": title,
            "model": {
                "provider": "langgenius/openai/openai",
                "name": "gpt-4o-mini",
                "mode": "chat",
                "completion_params": {"temperature": 0.7},
            },
            "prompt_template": [
                {"id": "system", "role": "system", "text": system},
                {"id": "user", "role": "user", "text": query},
            ],
            "context": {"enabled": False, "variable_selector": []},
            "vision": {"enabled": False},
        },
    )


def careful_llm(node_id: str, x: int, y: int, query: str) -> Node:
    """The model for controversial prompts."""
    system = (
        "You are a careful assistant. The topic is sensitive or disputed: stay neutral and factual, present the main "
        "views, give no instructions that could do harm, and suggest professional help where it fits."
    )
    return llm(node_id, x, y, query, title="LLM, careful", system=system)


def answer(node_id: str, x: int, y: int, title: str, text: str) -> Node:
    """An Answer node of a chatflow."""
    return node(node_id, x, y, {"type": "answer", "title": title, "variables": [], "answer": text})


def app(
    name: str,
    description: str,
    mode: str,
    nodes: Sequence[Node],
    edges: Sequence[Mapping[str, Any]],
    *,
    plugin: PluginRef | None,
    environment: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The whole file."""
    dependencies = []
    if plugin is not None:
        value = {"plugin_unique_identifier": plugin.identifier, "version": plugin.version}
        dependencies = [{"current_identifier": None, "type": "package", "value": value}]
    return {
        "app": {
            "name": name,
            "mode": mode,
            "icon": "\U0001f6e1\ufe0f",
            "icon_type": "emoji",
            "icon_background": "#E4F0EF",
            "description": description,
            "use_icon_as_answer_icon": False,
        },
        "kind": "app",
        "version": DSL_VERSION,
        "dependencies": dependencies,
        "workflow": {
            "conversation_variables": [],
            "environment_variables": [dict(one) for one in environment],
            "features": _features(),
            "graph": {"nodes": list(nodes), "edges": list(edges), "viewport": {"x": 0, "y": 0, "zoom": 0.7}},
            "rag_pipeline_variables": [],
        },
    }


def _features() -> dict[str, Any]:
    """The features of a chat app, all off: the guard is in the graph."""
    off = {"enabled": False}
    return {
        "file_upload": dict(off),
        "opening_statement": "",
        "retriever_resource": {"enabled": True},
        "sensitive_word_avoidance": dict(off),
        "speech_to_text": dict(off),
        "suggested_questions": [],
        "suggested_questions_after_answer": dict(off),
        "text_to_speech": {"enabled": False, "language": "", "voice": ""},
    }
