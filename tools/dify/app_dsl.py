"""Nodes and edges of a Dify app in its DSL, version 0.6.0; what the keys mean is in the comments and docs/dify.md."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "GUARDED_MODEL",
    "Node",
    "PluginRef",
    "answer",
    "app",
    "careful_llm",
    "edge",
    "frame",
    "gate",
    "http_check",
    "llm",
    "node",
    "tool_check",
    "variable",
]

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


_TEXT_DEFAULTS = {
    "text": "block: Error",
    "safety": "Error",
    "action": "block",
    "message": UNCHECKED,
    "safe_text": UNCHECKED,
    "request_id": "",
    "error": "the check did not run",
}
_OF_ONE_TEXT = {"categories_text": "", "refusal": "", "coverage": "", "next_history": ""}
_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "prompt_check": {**_TEXT_DEFAULTS, **_OF_ONE_TEXT},
    "output_check": {**_TEXT_DEFAULTS, **_OF_ONE_TEXT},
    "check_texts": {**_TEXT_DEFAULTS, "safe_text": "", "reasons_text": "the check did not run"},
}
_OTHER_DEFAULTS: Mapping[str, Sequence[tuple[str, str, Any]]] = {
    "prompt_check": [("categories", "array[string]", []), ("span", "object", {})],
    "output_check": [("categories", "array[string]", []), ("span", "object", {})],
    "check_texts": [
        ("safe_texts", "array[string]", []),
        ("safe_items", "array[object]", []),
        ("safe_count", "number", 0),
        ("withheld", "array[number]", []),
        ("withheld_count", "number", 1),
        ("reasons", "array[string]", []),
        ("results", "array[object]", []),
    ],
}


def _defaults(tool: str) -> list[dict[str, Any]]:
    """Outputs for what the plugin can't handle itself (daemon down, plugin removed). There is no boolean type here."""
    return [
        *({"key": key, "type": "string", "value": value} for key, value in _DEFAULTS[tool].items()),
        {"key": "score", "type": "number", "value": 1},
        *({"key": key, "type": kind, "value": value} for key, kind, value in _OTHER_DEFAULTS[tool]),
        {"key": "json", "type": "array[object]", "value": [{}]},
        {"key": "files", "type": "array[file]", "value": []},
    ]


def tool_check(
    plugin: PluginRef,
    node_id: str,
    x: int,
    y: int,
    title: str,
    texts: Mapping[str, str | list[str]],
    *,
    tool: str,
    policy: str,
    **more: str,
) -> Node:
    """A node of the plugin; `texts` are its inputs: a text with variables in it, or the selector of a list.

    `more` are settings that only some tools have.
    """
    settings = {"policy": policy, "language": "auto", "on_error": "block", **more}
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
            "tool_parameters": {
                name: {"type": "mixed" if isinstance(value, str) else "variable", "value": value}
                for name, value in texts.items()
            },
            "tool_configurations": {name: {"type": "constant", "value": value} for name, value in settings.items()},
            "retry_config": {"retry_enabled": True, "max_retries": 2, "retry_interval": 500},
            "error_strategy": "default-value",
            "default_value": _defaults(tool),
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


OWN_MODEL = {"provider": "langgenius/openai/openai", "name": "gpt-4o-mini"}
"""The user's own model goes here; this one is only what a new Dify offers first."""
GUARDED_MODEL = {"provider": "langgenius/openai_api_compatible/openai_api_compatible", "name": "guarded"}
"""A model of the provider "OpenAI-API-compatible" whose base URL is this service."""


def llm(
    node_id: str,
    x: int,
    y: int,
    query: str,
    *,
    title: str = "LLM",
    system: str = "You are a helpful assistant.",
    model: Mapping[str, str] = OWN_MODEL,
    context: Sequence[str] = (),
    memory: bool = False,
) -> Node:
    """A model that answers `query`. `context` is the variable behind `{{#context#}}`; `memory` is Dify's own."""
    return node(
        node_id,
        x,
        y,
        {
            "type": "llm",
            "title": title,
            "model": {**model, "mode": "chat", "completion_params": {"temperature": 0.7}},
            "prompt_template": [
                {"id": "system", "role": "system", "text": system},
                # With memory Dify puts the question behind the earlier turns itself.
                *([] if memory else [{"id": "user", "role": "user", "text": query}]),
            ],
            "context": {"enabled": bool(context), "variable_selector": list(context)},
            "vision": {"enabled": False},
            **({"memory": {"query_prompt_template": query, "window": {"enabled": True, "size": 20}}} if memory else {}),
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


def variable(scope: str, name: str, value: Any, kind: str, description: str) -> dict[str, Any]:
    """A variable of the app; `scope` is `env` or `conversation`."""
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        "name": name,
        "value": value,
        "value_type": kind,
        "description": description,
        "selector": [scope, name],
    }


def frame(name: str, description: str, mode: str) -> dict[str, Any]:
    """What every file begins with."""
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
    }


def app(
    name: str,
    description: str,
    mode: str,
    nodes: Sequence[Node],
    edges: Sequence[Mapping[str, Any]],
    *,
    plugin: PluginRef | None,
    environment: Sequence[Mapping[str, Any]] = (),
    conversation: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The whole file of an app with a graph."""
    dependencies = []
    if plugin is not None:
        value = {"plugin_unique_identifier": plugin.identifier, "version": plugin.version}
        dependencies = [{"current_identifier": None, "type": "package", "value": value}]
    return {
        **frame(name, description, mode),
        "dependencies": dependencies,
        "workflow": {
            "conversation_variables": [dict(one) for one in conversation],
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
